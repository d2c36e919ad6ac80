//! The commands, one file for each group.

mod control;
mod daemon;
mod dht;
mod doctor;
mod handover;
mod key;
mod lab;
mod local;
mod settings;
mod transfer;
mod why;

use std::sync::Arc;

use clap::CommandFactory;
use peerage_api::error::ExitCode;
use peerage_api::reply::Paths;
use peerage_api::request::NodeConfig;

use crate::args::{Cli, Command, Global, Network};
use crate::config::Config;
use crate::output::Output;
use crate::paths;

/// What a command needs besides its own options.
pub struct Context {
    /// The global options.
    pub global: Global,
    /// Where things are kept.
    pub paths: Paths,
    /// How to speak to the user.
    pub output: Output,
}

impl Context {
    /// The configuration in force.
    fn config(&self) -> anyhow::Result<Config> {
        let required = self.global.config.is_some();
        // A variable that is no text is none of ours, and no reason to fail.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Config::load(&self.paths.config, required, variables, &self.global.set)?)
    }

    /// The configuration of a node, with a command's network options over it.
    fn node_config(&self, network: &Network) -> anyhow::Result<NodeConfig> {
        Ok(self.node_config_from(&self.config()?, network))
    }

    fn node_config_from(&self, config: &Config, network: &Network) -> NodeConfig {
        let mut node = config.node(&self.paths.state);
        node.listen = network.listen.or(node.listen);
        node.upload_limit = network.upload_limit.or(node.upload_limit);
        node.download_limit = network.download_limit.or(node.download_limit);
        node.allow_local |= network.allow_local;
        node.port_mapping = network.port_mapping.unwrap_or(node.port_mapping);
        node.encryption = network.encryption.unwrap_or(node.encryption);
        node.relays.extend(network.relays.iter().cloned());
        node.tls = network.tls.unwrap_or(node.tls);
        node.utp = network.utp.unwrap_or(node.utp);
        node.dht = network.dht.unwrap_or(node.dht);
        node.local_discovery &= !network.no_lan;
        if !network.bootstrap.is_empty() {
            node.bootstrap = network
                .bootstrap
                .iter()
                .flat_map(|seeds| seeds.split_whitespace())
                .map(str::to_owned)
                .collect();
        }
        node.via = network.via.unwrap_or(node.via);
        node.bind = network.bind.clone().or(node.bind);
        node
    }
}

/// Runs a command.
///
/// # Errors
/// A [`peerage_api::Failure`] with its exit code, or an error that has none of its own.
pub fn run(cli: Cli, output: Output) -> anyhow::Result<ExitCode> {
    let paths = paths::paths(cli.global.home.as_deref(), cli.global.config.as_deref())?;
    let context = Context { global: cli.global, paths, output };
    match cli.command {
        Command::Share(args) => transfer::share(context, args),
        Command::Get(args) => transfer::get(context, args),
        Command::Daemon(args) => daemon::daemon(context, &args),
        Command::Status(reach) => control::status(&context, &reach),
        Command::Ls(args) => control::list(&context, &args),
        Command::Peers(args) => control::peers(&context, &args),
        Command::Pause(args) => control::pause(&context, &args),
        Command::Resume(args) => control::resume(&context, &args),
        Command::Rm(args) => control::remove(&context, &args),
        Command::Move(args) => control::relocate(&context, &args),
        Command::Limits(args) => control::limits(&context, &args),
        Command::Events(reach) => control::events(&context, &reach),
        Command::Health(reach) => control::health(&context, &reach),
        Command::Token(args) => control::token(&context, &args),
        Command::Dht(args) => dht::dht(&context, args),
        Command::Publish(args) => key::publish(context, args),
        Command::Key(args) => key::key(&context, args),
        Command::Tracker(args) => transfer::tracker(context, &args),
        Command::Relay(args) => transfer::relay(context, &args),
        Command::Create(args) => local::create(context, args),
        Command::Inspect(args) => local::inspect(&context, &args),
        Command::Verify(args) => local::verify(context, &args),
        Command::Doctor(args) => doctor::doctor(&context, &args),
        Command::Why(args) => why::why(&context, args),
        Command::Lab(args) => lab::lab(context, args),
        Command::Paths => settings::show_paths(&context),
        Command::Config(args) => settings::config(&context, &args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "peerage", &mut text);
            context.output.text(&String::from_utf8_lossy(&text))?;
            Ok(ExitCode::Ok)
        }
        Command::Man { out } => settings::man(&context, out.as_deref()),
    }
}

/// A sink of events that shows them to the user. Shared by the threads of a node.
fn sink(output: Output) -> (peerage_node::Sink, Arc<std::sync::Mutex<Output>>) {
    let shared = Arc::new(std::sync::Mutex::new(output));
    let target = Arc::clone(&shared);
    let sink: peerage_node::Sink = Arc::new(move |event| {
        target.lock().unwrap_or_else(std::sync::PoisonError::into_inner).event(event);
    });
    (sink, shared)
}

/// Ends the progress line, before a failure is printed.
fn finish(output: &std::sync::Mutex<Output>) {
    output.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
}
