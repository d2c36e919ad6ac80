//! The map of the code names every crate.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const MAP: &str = "ARCHITECTURE.md";

/// Crates that the map does not name.
///
/// # Errors
/// When the folder of crates cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let map = fs::read_to_string(root.join(MAP)).unwrap_or_default();
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("crates")).context("crates")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(missing(&map, &names))
}

fn missing(map: &str, names: &[String]) -> Vec<String> {
    let named = |name: &&String| map.contains(&format!("`peerage-{name}`"));
    names
        .iter()
        .filter(|name| !named(name))
        .map(|name| format!("{MAP} does not name peerage-{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_the_map_forgets_is_found() {
        let names = ["base".to_owned(), "wire".to_owned()];
        assert_eq!(missing("see `peerage-base`", &names), ["ARCHITECTURE.md does not name peerage-wire"]);
    }
}
