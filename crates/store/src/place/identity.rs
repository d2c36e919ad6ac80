//! What tells a file from another, and from itself before a change.

use std::{io, os::fd::AsFd};

use rustix::fs::{Stat, fstat};

/// Device, inode, size and both times of change, in nanoseconds. Linux 6.13 and later give a file
/// whose times were looked at a new one at the next write (multigrain timestamps, on ext4, xfs,
/// btrfs and tmpfs), so that equal identities mean equal bytes; older kernels tick every 1 to 10 ms.
/// The time of inode change cannot be set back by a program without privileges. Residual: a writable
/// mapping (`mmap`) changes the times at its first write to each page only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last write: seconds, nanoseconds.
    pub modified: (i64, u32),
    /// Time of the last change of inode or bytes: seconds, nanoseconds.
    pub changed: (i64, u32),
}

/// Bytes of [`FileIdentity::encode`].
pub(crate) const IDENTITY_LEN: usize = 48;

impl FileIdentity {
    /// Of an open file.
    ///
    /// # Errors
    /// As `fstat`.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from_stat(&fstat(file)?))
    }

    #[allow(clippy::unnecessary_cast, reason = "the widths of these fields differ by platform")]
    pub(crate) fn from_stat(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        }
    }

    /// Little-endian, in the order of the fields.
    pub(crate) fn encode(&self) -> [u8; IDENTITY_LEN] {
        let mut out = [0; IDENTITY_LEN];
        out[..8].copy_from_slice(&self.dev.to_le_bytes());
        out[8..16].copy_from_slice(&self.inode.to_le_bytes());
        out[16..24].copy_from_slice(&self.size.to_le_bytes());
        out[24..32].copy_from_slice(&self.modified.0.to_le_bytes());
        out[32..36].copy_from_slice(&self.modified.1.to_le_bytes());
        out[36..44].copy_from_slice(&self.changed.0.to_le_bytes());
        out[44..48].copy_from_slice(&self.changed.1.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; IDENTITY_LEN]) -> Self {
        fn part<const N: usize>(bytes: &[u8; IDENTITY_LEN], at: usize) -> [u8; N] {
            let mut out = [0; N];
            out.copy_from_slice(&bytes[at..at + N]);
            out
        }
        Self {
            dev: u64::from_le_bytes(part(bytes, 0)),
            inode: u64::from_le_bytes(part(bytes, 8)),
            size: u64::from_le_bytes(part(bytes, 16)),
            modified: (i64::from_le_bytes(part(bytes, 24)), u32::from_le_bytes(part(bytes, 32))),
            changed: (i64::from_le_bytes(part(bytes, 36)), u32::from_le_bytes(part(bytes, 44))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_keeps_every_field() {
        let identity = FileIdentity {
            dev: 1,
            inode: u64::MAX,
            size: 3,
            modified: (-4, 999_999_999),
            changed: (i64::MAX, 6),
        };
        assert_eq!(FileIdentity::decode(&identity.encode()), identity);
    }

    #[test]
    fn every_write_that_was_looked_at_changes_it() {
        use std::os::unix::fs::FileExt;
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        let mut last = FileIdentity::of(&file).unwrap();
        for round in 0..200u8 {
            file.write_all_at(&[round], 5).unwrap();
            let now = FileIdentity::of(&file).unwrap();
            assert_ne!(now, last, "round {round}: this kernel's timestamps are coarse");
            last = now;
        }
    }
}
