//! Reads for peers: verified pieces only, out of files that are still the verified ones.
//!
//! A whole file carries the identity that it had when it was verified. It is compared before a read
//! and again after it, so that bytes which another program put there are not handed out. Files that
//! are still being downloaded change all the time by our own hand, and are not compared.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    sync::Arc,
};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::{
    error::ReadError,
    place::{FileIdentity, Home},
    report::Report,
    torrent::Torrent,
};

/// A range of bytes of a piece, at most one block in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    /// The piece.
    pub piece: u32,
    /// First byte within the piece.
    pub begin: u32,
    /// Bytes.
    pub len: u32,
}

/// A file that is read from.
#[derive(Clone, Debug)]
struct Source {
    index: usize,
    file: Arc<File>,
    base: u64,
    identity: Option<FileIdentity>,
}

/// Slices that one call of the kernel takes (`IOV_MAX`).
const SLICES_MAX: usize = 1_024;

/// Neighbouring bytes of one file, and where they go.
struct Run<'a> {
    source: usize,
    offset: u64,
    end: u64,
    slices: Vec<IoSliceMut<'a>>,
}

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    ForDisk,
    Never,
}

impl Torrent {
    /// `false` when it would have to wait and may not; `out` is then of no use.
    pub(crate) fn read_blocks(
        &self,
        blocks: &[BlockRange],
        gap: usize,
        out: &mut Vec<u8>,
        wait: Wait,
    ) -> Result<bool, Failed> {
        self.check_here(blocks)?;
        let total = blocks.iter().map(|block| gap + block.len as usize).sum();
        // Zeros only what the buffer never held: one that is used again costs nothing.
        out.resize(total, 0);
        let mut sources: Vec<Source> = Vec::new();
        let mut runs: Vec<Run<'_>> = Vec::new();
        let mut rest = out.as_mut_slice();
        for block in blocks {
            rest = rest.get_mut(gap..).unwrap_or_default();
            let mut missing = block.len as usize;
            for span in self.layout().spans(block.piece, block.begin, block.len) {
                let (part, after) = rest.split_at_mut_checked(span.len as usize).ok_or(ReadError::NotHere)?;
                rest = after;
                missing = missing.saturating_sub(part.len());
                if span.pad {
                    part.fill(0);
                    continue;
                }
                let source = match sources.iter().rposition(|source| source.index == span.file) {
                    Some(source) => source,
                    None => {
                        let Some(source) = self.source(span.file, wait)? else { return Ok(false) };
                        sources.push(source);
                        sources.len() - 1
                    }
                };
                let offset = sources.get(source).map_or(0, |source| source.base) + span.file_offset;
                let end = offset + u64::from(span.len);
                match runs.last_mut() {
                    Some(run)
                        if run.source == source && run.end == offset && run.slices.len() < SLICES_MAX =>
                    {
                        run.end = end;
                        run.slices.push(IoSliceMut::new(part));
                    }
                    _ => runs.push(Run { source, offset, end, slices: vec![IoSliceMut::new(part)] }),
                }
            }
            let (gap_behind, after) = rest.split_at_mut_checked(missing).ok_or(ReadError::NotHere)?;
            gap_behind.fill(0);
            rest = after;
        }
        for run in runs {
            let Some(source) = sources.get(run.source) else { continue };
            if !self.read_run(source, run, wait)? {
                return Ok(false);
            }
        }
        self.same(&sources)?;
        Ok(true)
    }

    /// Refuses ranges that are outside of their piece, or of pieces that are not good.
    fn check_here(&self, blocks: &[BlockRange]) -> Result<(), Failed> {
        if self.is_closed() {
            return Err(ReadError::NotHere.into());
        }
        let state = self.state();
        for block in blocks {
            let end = block.begin.checked_add(block.len);
            let inside = end.is_some_and(|end| end <= self.layout().served_len(block.piece));
            if !inside || !state.have.contains(block.piece) {
                return Err(ReadError::NotHere.into());
            }
        }
        Ok(())
    }

    fn source(&self, index: usize, wait: Wait) -> Result<Option<Source>, Failed> {
        let (home, identity) = {
            let state = self.state();
            let file = state.files.get(index).ok_or(ReadError::NotHere)?;
            (file.home, file.identity.as_deref().copied())
        };
        if wait == Wait::Never && !self.is_open(index, home) {
            return Ok(None);
        }
        let opened = self.open(index, home, false);
        // A file may take its own name between the two lines above: then it is open already, or
        // there under its new name.
        let opened = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound && home == Home::Part => {
                self.open(index, Home::Final, false)
            }
            other => other,
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) if gone(&error) => return Err(self.changed(index)),
            Err(source) => return Err(ReadError::Io { file: index, source }.into()),
        };
        let source = Source { index, file, base: self.base(index, home), identity };
        self.same(std::slice::from_ref(&source))?;
        Ok(Some(source))
    }

    fn read_run(&self, source: &Source, mut run: Run<'_>, wait: Wait) -> Result<bool, Failed> {
        let io = |source_error| ReadError::Io { file: source.index, source: source_error };
        let mut slices = run.slices.as_mut_slice();
        while run.offset < run.end {
            let read = match wait {
                Wait::ForDisk => rustix::io::preadv(&source.file, slices, run.offset),
                Wait::Never => preadv2(&source.file, slices, run.offset, ReadWriteFlags::NOWAIT),
            };
            match read {
                Ok(0) => return Err(self.changed(source.index)),
                Ok(read) => {
                    run.offset += read as u64;
                    if run.offset < run.end {
                        IoSliceMut::advance_slices(&mut slices, read);
                    }
                }
                Err(Errno::INTR) => {}
                // Not in the page cache, or a file system that cannot say so.
                Err(Errno::AGAIN | Errno::OPNOTSUPP) if wait == Wait::Never => return Ok(false),
                Err(error) => return Err(io(error.into()).into()),
            }
        }
        Ok(true)
    }

    /// Whether files are still what they were when they were verified.
    fn same(&self, sources: &[Source]) -> Result<(), Failed> {
        for source in sources {
            let Some(identity) = source.identity else { continue };
            match FileIdentity::of(&source.file) {
                Ok(now) if now == identity => {}
                _ => return Err(self.changed(source.index)),
            }
        }
        Ok(())
    }

    fn changed(&self, file: usize) -> Failed {
        // A download's file that took its own name meanwhile changed by our own hand.
        Failed { error: ReadError::Changed { file }, report: self.lose(file).map(Box::new) }
    }
}

/// Why a read failed, and what the driver has to be told besides.
pub(crate) struct Failed {
    pub(crate) error: ReadError,
    pub(crate) report: Option<Box<Report>>,
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        Self { error, report: None }
    }
}

/// Whether an error says that the file is not there, or something else is in its place.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory
    ) || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}
