//! Bencode (BEP 3): integers, byte strings, lists and dictionaries.
//!
//! [`decode`] checks a whole document once and keeps a flat table of its values, 16 bytes each;
//! [`Value`] is a cheap cursor into it. Nothing of the source is copied, so a large document costs
//! its table only, and [`Value::raw`] gives the exact bytes of any part: an info hash is the hash
//! of such a part.
//!
//! **Strict and lenient.** Both refuse: missing or extra `e`, a key that is not a string, a key
//! without a value, an empty or non-decimal number, an integer outside of `i64`, a string longer
//! than what is left, and more than [`Limits`] allow. [`Limits::strict`] also refuses what has no
//! canonical form: keys that are not in ascending order or repeated, leading zeros (`i03e`,
//! `03:abc`), `i-0e`, and bytes after the document. Lenient decoding accepts those, because old
//! programs wrote such files: a repeated key means its first value, `i-0e` is 0.
//!
//! [`Encoder`] writes the canonical form only.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod encode;
mod parse;
mod value;

pub use encode::{DictEncoder, Encoder};
pub use parse::{Error, ErrorKind};
pub use value::{Dict, DictIter, Document, Kind, List, ListIter, Value};

use peerage_base::limits::{BENCODE_DEPTH_MAX, BENCODE_TOKENS_MAX, TORRENT_FILE_BYTES_MAX};

/// What a document may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lists and dictionaries within each other.
    pub depth: usize,
    /// Values and keys altogether.
    pub tokens: usize,
    /// Bytes of the document. Never more than `u32::MAX`, whatever is set here.
    pub bytes: usize,
    /// Whether only the canonical form is accepted, see the module.
    pub strict: bool,
}

impl Limits {
    /// For a `.torrent` file: as large as [`peerage_base::limits`] allow, lenient.
    pub const TORRENT: Self = Self {
        depth: BENCODE_DEPTH_MAX,
        tokens: BENCODE_TOKENS_MAX,
        bytes: TORRENT_FILE_BYTES_MAX,
        strict: false,
    };

    /// For a message from a peer or a tracker: 4 MiB and 100,000 values, lenient.
    pub const MESSAGE: Self = Self { depth: 32, tokens: 100_000, bytes: 4 * 1024 * 1024, strict: false };

    /// The same limits, accepting only the canonical form.
    #[must_use]
    pub const fn strict(self) -> Self {
        Self { strict: true, ..self }
    }
}

/// Decodes a whole document. Bytes after it are refused when strict, ignored when lenient.
///
/// # Errors
/// The first defect, with its place.
pub fn decode(bytes: &[u8], limits: Limits) -> Result<Document<'_>, Error> {
    let document = parse::parse(bytes, limits)?;
    if limits.strict && !document.rest().is_empty() {
        return Err(Error { kind: ErrorKind::Trailing, offset: document.root().span().end });
    }
    Ok(document)
}

/// Decodes the document that `bytes` begin with, and gives what follows it (BEP 9: a dictionary,
/// then a piece of metadata).
///
/// # Errors
/// The first defect, with its place.
pub fn decode_prefix(bytes: &[u8], limits: Limits) -> Result<(Document<'_>, &[u8]), Error> {
    let document = parse::parse(bytes, limits)?;
    let rest = document.rest();
    Ok((document, rest))
}

#[cfg(test)]
mod tests;
