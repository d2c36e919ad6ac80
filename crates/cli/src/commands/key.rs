//! `peerage key` and `peerage publish`.

use std::fmt::Write as _;
use std::io::Read as _;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::KeyInfo;
use peerage_api::request;

use super::Context;
use super::transfer::run_share;
use crate::args::{Key, KeyCommand, Network, Publish};

/// Bytes of a secret that are read: more is none.
const SECRET_BYTES_MAX: u64 = 1024;

/// `peerage publish`: as `peerage share`.
pub fn publish(context: Context, args: Publish) -> anyhow::Result<ExitCode> {
    let config = context.node_config(&args.network)?;
    let request = request::Share {
        paths: vec![args.path],
        name: args.name,
        trackers: args.network.trackers,
        peers: args.network.peers,
        publish: Some(args.key),
        ..request::Share::default()
    };
    run_share(context, request, config)
}

/// `peerage key …`.
pub fn key(context: &Context, args: Key) -> anyhow::Result<ExitCode> {
    let config = context.node_config(&Network::default())?;
    let line = |key: &KeyInfo| format!("{} {}\n", key.name, key.link);
    match args.command {
        KeyCommand::Ls => {
            let keys = peerage_node::key_list(&config)?;
            context.output.reply(&keys, |keys| {
                keys.keys.iter().fold(String::new(), |mut text, key| {
                    let _ = write!(text, "{}", line(key));
                    text
                })
            })?;
        }
        KeyCommand::New { name } => {
            let key = peerage_node::key_new(&name, &config)?;
            context.output.reply(&key, line)?;
        }
        KeyCommand::Export { name } => {
            let secret = peerage_node::key_export(&name, &config)?;
            context.output.reply(&secret, |secret| format!("{}\n", secret.secret))?;
        }
        KeyCommand::Import { name, file } => {
            let (what, read) = match &file {
                Some(file) => (
                    file.display().to_string(),
                    std::fs::File::open(file).and_then(|file| read(file.take(SECRET_BYTES_MAX))),
                ),
                None => ("stdin".to_owned(), read(std::io::stdin().take(SECRET_BYTES_MAX))),
            };
            let secret = read.map_err(|error| Failure::of_kind(error.kind(), format!("{what}: {error}")))?;
            let key = peerage_node::key_import(&name, &secret, &config)?;
            context.output.reply(&key, line)?;
        }
    }
    Ok(ExitCode::Ok)
}

fn read(mut source: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.read_to_string(&mut text).map(|_| text)
}
