//! Where things are kept: the system's usual folders, or one folder for everything.

use std::path::{Path, PathBuf};

use anyhow::Context;
use etcetera::{BaseStrategy, choose_base_strategy};
use peerage_api::{SCHEMA_VERSION, reply::Paths};

/// The folders in force: those of `home` (`--home`, `PEERAGE_HOME`) where it is given, otherwise the
/// XDG folders (the native ones on macOS and Windows).
///
/// # Errors
/// There is neither a home folder of the user nor `--home`.
pub fn paths(home: Option<&Path>, config: Option<&Path>) -> anyhow::Result<Paths> {
    let mut paths = match home {
        Some(home) => Paths {
            schema_version: SCHEMA_VERSION,
            config: home.join("config.toml"),
            data: home.join("data"),
            state: home.join("state"),
            cache: home.join("cache"),
            runtime: home.join("run"),
            downloads: PathBuf::from("."),
        },
        None => native()?,
    };
    if let Some(config) = config {
        paths.config = config.to_path_buf();
    }
    Ok(paths)
}

fn native() -> anyhow::Result<Paths> {
    let base = choose_base_strategy().context("no home folder is known; set PEERAGE_HOME or use --home")?;
    let data = base.data_dir().join("peerage");
    let state = base.state_dir().map_or_else(|| data.join("state"), |dir| dir.join("peerage"));
    Ok(Paths {
        schema_version: SCHEMA_VERSION,
        config: base.config_dir().join("peerage").join("config.toml"),
        cache: base.cache_dir().join("peerage"),
        runtime: base.runtime_dir().map_or_else(|| state.join("run"), |dir| dir.join("peerage")),
        data,
        state,
        downloads: PathBuf::from("."),
    })
}
