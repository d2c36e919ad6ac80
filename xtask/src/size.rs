//! Sizes of files and functions: a ratchet.
//!
//! What is over the limit needs a line in `xtask/size-allow.txt`:
//!
//! ```text
//! crates/x/src/y.rs 912 a table of test vectors
//! crates/x/src/y.rs::parse 84 one arm per message, nothing to share
//! ```
//!
//! The number is the size it may have: it may not grow. A line that is not needed any more fails
//! too, so that the list only gets shorter.

use crate::policy::{FILE_LINES_MAX, FUNCTION_LINES_MAX};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ALLOW_LIST: &str = "xtask/size-allow.txt";

/// Folders whose sources are measured.
const FOLDERS: [&str; 5] = ["crates", "xtask", "fuzz", "bench", "tests"];

/// A source file.
#[derive(Debug)]
pub struct Source {
    /// Path from where the search began.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// What is too long and not allowed, and what is allowed without need.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut sizes = BTreeMap::new();
    for folder in FOLDERS {
        for source in sources(&root.join(folder))? {
            let path = format!("{folder}/{}", source.path.display());
            measure(&path, &source.text, &mut sizes);
        }
    }
    let list = fs::read_to_string(root.join(ALLOW_LIST)).with_context(|| ALLOW_LIST.to_owned())?;
    Ok(judge(&sizes, &list))
}

/// All Rust sources below a folder, in order; none when there is no such folder.
///
/// # Errors
/// When something cannot be read.
pub fn sources(folder: &Path) -> Result<Vec<Source>> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(below) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder.join(&below)) else { continue };
        for entry in entries {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if entry.file_type()?.is_dir() && entry.file_name() != "target" && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(folder.join(&path))?;
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Notes what is over a limit: lines by `path` or `path::function`.
fn measure(path: &str, text: &str, sizes: &mut BTreeMap<String, usize>) {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        sizes.insert(path.to_owned(), lines.len());
    }
    // A table of cases in a test is as long as its cases.
    if path.contains("/tests") || path.contains("/examples/") {
        return;
    }
    for (name, len) in functions(&lines) {
        if len > FUNCTION_LINES_MAX {
            let longest = sizes.entry(format!("{path}::{name}")).or_default();
            *longest = len.max(*longest);
        }
    }
}

/// Names and lengths of the functions. It relies on rustfmt: a function ends at the first line that
/// is a closing brace with the indentation of its signature.
fn functions<'a>(lines: &[&'a str]) -> Vec<(&'a str, usize)> {
    let mut found = Vec::new();
    for (begin, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let one_line = line.ends_with('}') || line.ends_with(';');
        let is_end = |line: &&str| {
            line.strip_prefix(indent)
                .is_some_and(|rest| rest == "}" || rest.ends_with(';') && rest.starts_with(')'))
        };
        if let Some(len) = lines[begin..].iter().position(is_end).filter(|_| !one_line) {
            found.push((name, len + 1));
        }
    }
    found
}

/// The name of the function that begins at this line, if one does.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(' ');
    let modifiers = ["pub", "const", "async", "unsafe", "extern", "\"C\""];
    let first = words.find(|word| !modifiers.contains(word) && !word.starts_with("pub("))?;
    if first != "fn" {
        return None;
    }
    words.next()?.split(['(', '<']).next()
}

fn judge(sizes: &BTreeMap<String, usize>, list: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut allowed = BTreeMap::new();
    for line in list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let mut fields = line.splitn(3, ' ');
        match (fields.next(), fields.next().map(str::parse::<usize>), fields.next()) {
            (Some(what), Some(Ok(lines)), Some(reason)) if !reason.trim().is_empty() => {
                allowed.insert(what, lines);
            }
            _ => problems.push(format!("{ALLOW_LIST}: not \"what lines reason\": {line}")),
        }
    }
    for (what, lines) in sizes {
        let limit = if what.contains("::") { FUNCTION_LINES_MAX } else { FILE_LINES_MAX };
        match allowed.get(what.as_str()) {
            Some(most) if lines <= most => {}
            Some(most) => problems.push(format!("{what} has {lines} lines: it grew from {most}")),
            None => problems.push(format!("{what} has {lines} lines, more than {limit}")),
        }
    }
    let unneeded = allowed.keys().filter(|what| !sizes.contains_key(**what));
    problems.extend(unneeded.map(|what| format!("{ALLOW_LIST}: {what} needs no entry any more")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(indent: &str, signature: &str, body: usize) -> String {
        let body: String = (0..body).map(|_| format!("{indent}    work();\n")).collect();
        format!("{indent}{signature} {{\n{body}{indent}}}\n")
    }

    fn sizes(text: &str) -> BTreeMap<String, usize> {
        let mut sizes = BTreeMap::new();
        measure("a.rs", text, &mut sizes);
        sizes
    }

    #[test]
    fn long_functions_are_found_wherever_they_are() {
        let long = FUNCTION_LINES_MAX - 1;
        let text = [
            function("", "fn short()", long - 1),
            function("", "pub(crate) async fn top<T>(t: T)", long),
            function("    ", "pub const fn method(&self) -> u8", long + 1),
            "fn declared();\nfn one() {}\n".to_owned(),
        ]
        .concat();
        let expected = [("a.rs::method".to_owned(), long + 3), ("a.rs::top".to_owned(), long + 2)];
        assert_eq!(sizes(&text), expected.into());
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(sizes(&"\n".repeat(FILE_LINES_MAX)), BTreeMap::new());
        assert_eq!(sizes(&"\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn the_list_allows_what_it_names_and_lets_nothing_grow() {
        let sizes = BTreeMap::from([("a.rs".to_owned(), 900), ("a.rs::f".to_owned(), 80)]);
        assert_eq!(judge(&sizes, "").len(), 2);
        assert!(judge(&sizes, "# note\na.rs 900 a table\na.rs::f 80 one arm each\n").is_empty());
        assert_eq!(judge(&sizes, "a.rs 899 a table\na.rs::f 80 one arm each\n").len(), 1);
        assert_eq!(judge(&sizes, "a.rs 900 a table\na.rs::f 80 x\nb.rs 900 gone\n").len(), 1);
        assert_eq!(judge(&BTreeMap::new(), "a.rs 900\n").len(), 1, "a reason is missing");
    }
}
