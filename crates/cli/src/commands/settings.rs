//! Commands about the program itself: `paths`, `config`, `man`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory;
use peerage_api::SCHEMA_VERSION;
use peerage_api::error::ExitCode;
use peerage_api::reply::Settings;

use super::Context;
use crate::args::{Cli, Config, ConfigCommand};

/// `peerage paths`.
pub fn show_paths(context: &Context) -> anyhow::Result<ExitCode> {
    let mut paths = context.paths.clone();
    // A wrong configuration is no reason not to say where it is.
    if let Some(folder) = context.config().ok().and_then(|config| config.download_folder()) {
        paths.downloads = folder;
    }
    context.output.reply(&paths, |paths| {
        format!(
            "config     {}\ndata       {}\nstate      {}\ncache      {}\nruntime    {}\ndownloads  {}\n",
            paths.config.display(),
            paths.data.display(),
            paths.state.display(),
            paths.cache.display(),
            paths.runtime.display(),
            paths.downloads.display()
        )
    })?;
    Ok(ExitCode::Ok)
}

/// `peerage config show|check`.
pub fn config(context: &Context, args: &Config) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let reply = Settings { schema_version: SCHEMA_VERSION, settings: config.settings() };
    match args.command {
        ConfigCommand::Show => context.output.reply(&reply, |reply| {
            reply.settings.iter().fold(String::new(), |mut text, setting| {
                let value = if setting.value.is_empty() { "\"\"" } else { &setting.value };
                let _ =
                    writeln!(text, "{} = {value}    # {} ({})", setting.key, setting.help, setting.origin);
                text
            })
        })?,
        ConfigCommand::Check => context.output.reply(&reply, |_| {
            let file = context.paths.config.display();
            if context.paths.config.exists() {
                format!("{file}: right\n")
            } else {
                format!("{file}: not there; defaults are in force\n")
            }
        })?,
    }
    Ok(ExitCode::Ok)
}

/// `peerage man`.
pub fn man(context: &Context, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    match out {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{}: cannot be made", folder.display()))?;
            clap_mangen::generate_to(Cli::command(), folder)
                .with_context(|| format!("{}: the pages cannot be written", folder.display()))?;
        }
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            context.output.text(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(ExitCode::Ok)
}
