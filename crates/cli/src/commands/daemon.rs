//! `peerage daemon`.

use std::path::PathBuf;

use peerage_api::error::ExitCode;
use peerage_node::Stop;

use super::transfer::drive;
use super::{Context, finish, sink};
use crate::args::Daemon;

/// `peerage daemon`: 0 when it was ended by Ctrl-C or SIGTERM, which is how it ends.
pub fn daemon(context: Context, args: &Daemon) -> anyhow::Result<ExitCode> {
    let settings = context.config()?;
    let mut config = context.node_config_from(&settings, &args.network);
    config.upload_limit = config.upload_limit.or(settings.daemon_upload());
    let downloads = args.output.clone().or_else(|| settings.download_folder());
    let downloads = std::path::absolute(downloads.unwrap_or_else(|| usual_folder(&context)))?;
    let mut request = settings.daemon(&context.paths.runtime, &downloads);
    request.api = args.api.or(request.api);
    request.insecure = args.api_insecure;
    let (sink, output) = sink(context.output);
    let stop = Stop::new();
    let result = drive(&stop, peerage_node::daemon(request, config, stop.clone(), sink))?;
    finish(&output);
    result?;
    Ok(ExitCode::Ok)
}

/// Where downloads go when nobody has said so.
fn usual_folder(context: &Context) -> PathBuf {
    match (&context.global.home, std::env::home_dir()) {
        (Some(home), _) => home.join("downloads"),
        (None, Some(home)) => home.join("Downloads"),
        (None, None) => context.paths.data.join("downloads"),
    }
}
