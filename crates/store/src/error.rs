//! What can go wrong, one enum per operation.

use std::{io, path::PathBuf};

use crate::store::WriteJob;

/// The store could not start.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state folder could not be made.
    #[error("cannot use the state folder {path}: {source}")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A torrent could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Another process (or this one) works on the same torrent in the same folder.
    #[error("this torrent is already being worked on in that folder, by this or another process")]
    InUse,
    /// The folder could not be made or opened.
    #[error("cannot use the folder {path}: {source}")]
    Dir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path was given for more, or fewer, files than the torrent has.
    #[error("{given} paths given for {files} files")]
    Paths {
        /// Paths given.
        given: usize,
        /// Files of the torrent.
        files: usize,
    },
    /// The store is closing.
    #[error("the store is closing")]
    Closing,
}

/// A write was not taken; the job comes back.
#[derive(Debug, thiserror::Error)]
pub enum WriteRefused {
    /// The queue is full: try again once [`Store::queued_bytes`](crate::Store::queued_bytes) fell.
    #[error("the write queue is full")]
    Full(WriteJob),
    /// Content seeded in place is never written to; or the torrent or store is closed; or the range
    /// is not within the piece.
    #[error("the torrent takes no such write")]
    Closed(WriteJob),
}

/// A read for a peer failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is not the one that was verified: changed, replaced, truncated or gone. A
    /// [`Report::Lost`](crate::Report::Lost) for its pieces was sent; it is being hashed again.
    #[error("file {file} changed since it was verified")]
    Changed {
        /// Index of the file.
        file: usize,
    },
    /// The range is not within the content, or the piece is not verified.
    #[error("no such verified block")]
    NotHere,
    /// The read failed.
    #[error("file {file}: {source}")]
    Io {
        /// Index of the file.
        file: usize,
        /// Why.
        source: io::Error,
    },
}

/// Content could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file was changed while it was being hashed.
    #[error("{path} changed while it was being read")]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// Nothing to share.
    #[error("{path} holds no file")]
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// The files do not make a torrent (too many, too large, a bad piece length).
    #[error(transparent)]
    Create(#[from] peerage_content::create::CreateError),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Whether an error says that the disk, or the user's share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
