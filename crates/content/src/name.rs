//! Names from outside, made safe: the one place where a name becomes part of a path.
//!
//! Rules of [`sanitise`], the same on every platform so that content has the same names everywhere,
//! but for the last:
//! - invalid UTF-8 (overlong forms, surrogates and cut sequences too): `_` for each bad sequence;
//! - separators `/` and `\`, NUL, and characters that are invisible or turn the writing direction
//!   (U+202E and its like): left out. Other control characters: `_`;
//! - dots and spaces at the end: left out (Windows would drop them, so that `..\ ` becomes `..`);
//! - a name of nothing, and so `.` and `..`: `_`;
//! - a drive (`C:`): its colon becomes `_`;
//! - device names of Windows (`CON`, `nul.txt`, `COM1`): `_` is put before them;
//! - more than [`STEM_BYTES_MAX`] bytes: cut there, between characters, keeping a short extension;
//! - on Windows only, `< > : " | ? *`: `_`. They are common in names, and harmless elsewhere.
//!
//! Percent signs are left alone: nothing in Peerage decodes a path.
//!
//! [`resolve_collisions`] then renames files whose paths are equal, also where letter case and
//! Unicode normal form are ignored (macOS and Windows do), and files that stand where a folder must.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use core::fmt;
use sha2::{Digest, Sha256};
use std::{borrow::Cow, collections::BTreeSet};
use unicode_normalization::UnicodeNormalization;

/// Bytes of one sanitised name. Common file systems take 255; the rest is room for `.part`.
pub const NAME_BYTES_MAX: usize = 250;

/// Bytes of one sanitised name before its extension (libtorrent: 240).
pub const STEM_BYTES_MAX: usize = 240;

/// Bytes of an extension, dot included, that outlives cutting (libtorrent: 9).
const EXTENSION_BYTES_MAX: usize = 9;

/// Tries for other names that [`resolve_collisions`] makes altogether (libtorrent: 500).
pub const COLLISIONS_MAX: usize = 500;

/// A relative path of sanitised names, joined by `/`: no name is empty, `.` or `..`, none contains
/// a separator. Safe to append to a folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(Box<str>);

impl FilePath {
    /// Sanitises each name, see the module. Never empty.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut path = String::new();
        for name in names {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&sanitise(name));
        }
        if path.is_empty() {
            path.push('_');
        }
        Self(path.into())
    }

    /// The path with `/` between names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names, outermost first.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The innermost name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.names().next_back().unwrap_or_default()
    }

    /// The same path with a counter before the extension of its innermost name.
    fn numbered(&self, number: usize) -> Self {
        let name = self.file_name();
        let folder = self.0.strip_suffix(name).unwrap_or_default();
        let (stem, extension) = match name.rfind('.') {
            Some(dot) if dot > 0 => name.split_at_checked(dot).unwrap_or((name, "")),
            _ => (name, ""),
        };
        let number = format!(".{number}");
        let room = NAME_BYTES_MAX.saturating_sub(number.len()).saturating_sub(extension.len());
        Self(format!("{folder}{}{number}{extension}", cut(stem, room)).into())
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<std::path::Path> for FilePath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

/// Makes one name safe, see the module. What comes out goes in unchanged.
#[must_use]
pub fn sanitise(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len().min(NAME_BYTES_MAX));
    for chunk in name.utf8_chunks() {
        text.extend(chunk.valid().chars().filter(|c| !is_dropped(*c)).map(replaced));
        if !chunk.invalid().is_empty() {
            text.push('_');
        }
    }
    let has_drive = matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if has_drive {
        text.replace_range(1..2, "_");
    }
    let mut text = trimmed(&shortened(&text)).to_owned();
    if text.is_empty() {
        text.push('_');
    }
    if is_device(&text) {
        text.insert(0, '_');
        text = trimmed(&shortened(&text)).to_owned();
    }
    text
}

/// Makes free text fit to be shown in a line: no control characters, none that turn the direction.
#[must_use]
pub fn printable(text: &[u8]) -> String {
    let mut out = String::new();
    for chunk in text.utf8_chunks() {
        out.extend(chunk.valid().chars().filter(|c| !is_dropped(*c) || matches!(c, '/' | '\\' | '\0')).map(
            |c| {
                if c.is_control() { ' ' } else { c }
            },
        ));
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
    out
}

fn is_dropped(c: char) -> bool {
    matches!(
        c,
        '/' | '\\'
            | '\0'
            | '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

fn replaced(c: char) -> char {
    let is_bad_here = cfg!(windows) && matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
    if c.is_control() || is_bad_here { '_' } else { c }
}

fn trimmed(name: &str) -> &str {
    name.trim_end_matches(['.', ' '])
}

/// A name of at most [`NAME_BYTES_MAX`] bytes, with its extension where that is short.
fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= STEM_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    let dot = name.rfind('.').filter(|dot| name.len().saturating_sub(*dot) <= EXTENSION_BYTES_MAX);
    let (stem, extension) = dot.and_then(|dot| name.split_at_checked(dot)).unwrap_or((name, ""));
    Cow::Owned(format!("{}{extension}", cut(stem, STEM_BYTES_MAX)))
}

/// The beginning of a text: at most `len` bytes, and whole characters.
fn cut(text: &str, len: usize) -> &str {
    text.get(..text.floor_char_boundary(len)).unwrap_or(text)
}

/// Whether Windows takes it for a device, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let upper = stem.to_ascii_uppercase();
    if matches!(&*upper, "CON" | "PRN" | "AUX" | "NUL" | "CLOCK$" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let port = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT"));
    let mut digits = port.unwrap_or_default().chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

/// More files of equal paths than any honest torrent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many files with equal names")]
pub struct TooManyCollisions;

/// Gives files with equal paths different ones (`a.txt`, `a.1.txt`), by their order alone. Paths
/// count as equal also where only letter case or Unicode normal form differ, and a file may not
/// stand where another one's folder does. Names that are unique stay as they are.
///
/// # Errors
/// [`TooManyCollisions`] after [`COLLISIONS_MAX`] vain tries.
pub fn resolve_collisions<'p>(
    paths: impl IntoIterator<Item = &'p mut FilePath>,
) -> Result<(), TooManyCollisions> {
    let mut paths: Vec<&mut FilePath> = paths.into_iter().collect();
    // A single file meets nobody.
    if paths.len() < 2 {
        return Ok(());
    }
    let mut taken = BTreeSet::new();
    let mut last_folder = String::new();
    for path in &paths {
        let Some((folder, _)) = path.as_str().rsplit_once('/') else { continue };
        if folder == last_folder {
            continue;
        }
        folder.clone_into(&mut last_folder);
        let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
        taken.extend(ends.filter_map(|end| folder.get(..end)).map(key));
    }
    let mut tries = 0usize;
    for path in &mut paths {
        if taken.insert(key(path.as_str())) {
            continue;
        }
        let mut number = 1;
        loop {
            let other = path.numbered(number);
            if taken.insert(key(other.as_str())) {
                **path = other;
                break;
            }
            number = number.saturating_add(1);
            tries = tries.saturating_add(1);
            if tries > COLLISIONS_MAX {
                return Err(TooManyCollisions);
            }
        }
    }
    Ok(())
}

/// Equal for paths that some file system takes for one. A hash, since a million paths may be kept.
fn key(path: &str) -> [u8; 16] {
    let mut digest = Sha256::new();
    if path.is_ascii() {
        digest.update(path.to_ascii_lowercase());
    } else {
        // There and back, so that both sharp s and SS are one; and to normal form after it, which
        // letters may leave when their case changes.
        let lower = path.chars().flat_map(char::to_lowercase);
        let folded = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        let folded: String = folded.nfc().collect();
        digest.update(folded);
    }
    let mut short = [0; 16];
    short.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    short
}

#[cfg(test)]
mod tests;
