//! `peerage doctor`.

use std::fmt::Write as _;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::{Check, Diagnosis, Verdict};

use super::Context;
use crate::args::{Doctor, Network};
use crate::config::Config;

/// `peerage doctor`: runs every check, also where the configuration is wrong.
pub fn doctor(context: &Context, args: &Doctor) -> anyhow::Result<ExitCode> {
    let (first, config) = match context.config() {
        Ok(config) => (configuration_is_right(context), config),
        Err(error) => match error.downcast::<Failure>() {
            Ok(failure) => {
                let advice =
                    "mend it, and ask `peerage config check`; the checks below hold for the defaults";
                (Check::failed("configuration", failure.message, advice), Config::defaults())
            }
            Err(error) => return Err(error),
        },
    };
    let network = Network {
        listen: args.listen,
        port_mapping: args.port_mapping,
        relays: args.relays.clone(),
        bind: args.bind.clone(),
        ..Network::default()
    };
    let node = context.node_config_from(&config, &network);
    let downloads = config.download_folder().unwrap_or_else(|| context.paths.downloads.clone());
    let mut checks = vec![first];
    checks.extend(super::transfer::runtime()?.block_on(peerage_node::doctor(&node, &downloads)));
    let diagnosis = Diagnosis::new(checks);
    context.output.reply(&diagnosis, text)?;
    Ok(if diagnosis.ok { ExitCode::Ok } else { ExitCode::Unclassified })
}

fn configuration_is_right(context: &Context) -> Check {
    let file = context.paths.config.display();
    let message = if context.paths.config.exists() {
        format!("{file} is right")
    } else {
        format!("there is no {file}; defaults are in force")
    };
    Check::ok("configuration", message)
}

/// A line for each check, and one more where there is something to do.
fn text(diagnosis: &Diagnosis) -> String {
    diagnosis.checks.iter().fold(String::new(), |mut text, check| {
        let mark = match check.verdict {
            Verdict::Ok => '✓',
            Verdict::Warning => '⚠',
            Verdict::Failed => '✗',
        };
        let _ = writeln!(text, "{mark} {:<13} {}", check.name, check.message);
        if let Some(advice) = &check.advice {
            let _ = writeln!(text, "                {advice}");
        }
        text
    })
}
