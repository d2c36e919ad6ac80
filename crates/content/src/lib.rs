//! Torrents: what content is, how it is cut into pieces, what its pieces must hash to, and the
//! links that name it. BEP 3, 9, 27, 47, 52 and 53.
//!
//! **What it is.** A pure crate: bytes to values and back. It opens no file and no socket; hashing
//! jobs run elsewhere and hand their results in.
//!
//! **Invariants.**
//! - A name from outside reaches a path only through [`name::sanitise`]; a [`FilePath`] is always
//!   relative, has no `..`, and no two files of a [`Layout`] have one path, also where letter case
//!   or Unicode normal form is ignored.
//! - Everything in a parsed [`Info`] is checked: lengths add up, every piece has its hash, both
//!   halves of a hybrid describe the same files, and a [`Metainfo`]'s piece layers fit their roots.
//! - An infohash is taken over the bytes that were read, never over a re-encoded form.
//! - Names are sanitised and content goes on; wrong sizes, hashes and structure are refused with a
//!   named error.
//!
//! **Where to start.** [`Metainfo::parse`] for a `.torrent` file, [`Info::parse`] for what peers
//! send, [`Link::parse`] for what a user types. [`Layout`] maps pieces to files, [`Hashes`] says
//! what a piece must hash to, [`PieceHasher`] finds out whether it does, [`create::Builder`] makes
//! new torrents.

pub mod create;
pub mod hasher;
pub mod hashes;
pub mod layout;
pub mod magnet;
pub mod merkle;
pub mod metainfo;
pub mod name;
#[cfg(test)]
mod testing;

pub use hasher::PieceHasher;
pub use hashes::{Hashes, PieceCheck};
pub use layout::{File, Layout, Span};
pub use magnet::{Link, Magnet};
pub use metainfo::{Info, Metainfo, Version};
pub use name::FilePath;
