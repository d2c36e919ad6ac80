//! What the daemon keeps of a transfer between runs.

use peerage_api::control::{FilePriority, TransferKind};
use peerage_base::{InfoHashV1, InfoHashV2, InfoHashes};
use peerage_content::{Info, Magnet};
use serde::{Deserialize, Serialize};

/// One transfer, as the catalogue has it. Fields may be added; what an older version wrote is read with their defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub id: String,
    pub infohash_v1: Option<String>,
    pub infohash_v2: Option<String>,
    pub name: String,
    pub kind: TransferKind,
    /// Absolute.
    pub folder: String,
    /// The magnet link that it was added by.
    pub link: Option<String>,
    /// Whether the catalogue has its description.
    pub described: bool,
    /// Whether the catalogue has the path of each file ([`TransferKind::Share`] of chosen paths).
    pub placed: bool,
    pub total: u64,
    pub wanted: u64,
    pub files: u32,
    pub pieces: u32,
    pub piece_length: u32,
    /// Whether its content is a folder of its own.
    pub is_folder: bool,
    /// Bytes here and verified, when it last stopped or told.
    pub done: u64,
    pub complete: bool,
    /// The check of what was there found nothing of others: what stands under its files' names is its own.
    pub begun: bool,
    pub private: bool,
    /// Patterns by which files are chosen, until they are known.
    pub select: Vec<String>,
    /// One letter for each file of the layout, see [`letter`]; empty: all as usual.
    pub priorities: String,
    pub trackers: Vec<Vec<String>>,
    pub web_seeds: Vec<String>,
    pub peers: Vec<String>,
    pub comment: Option<String>,
    pub paused: bool,
    pub paused_until: Option<u64>,
    /// Why it was paused, where it was not the user.
    pub note: Option<String>,
    pub category: Option<String>,
    pub tags: Vec<String>,
    pub position: u32,
    pub sequential: bool,
    pub upload_limit: Option<u64>,
    pub download_limit: Option<u64>,
    pub ratio_goal: Option<f64>,
    pub seeding_goal: Option<u64>,
    pub expires_at: Option<u64>,
    pub added_at: u64,
    pub completed_at: Option<u64>,
    pub downloaded: u64,
    pub uploaded: u64,
    pub seeding_seconds: u64,
}

impl Record {
    /// What names the torrent.
    pub fn hashes(&self) -> InfoHashes {
        InfoHashes {
            v1: self.infohash_v1.as_deref().and_then(|text| text.parse::<InfoHashV1>().ok()),
            v2: self.infohash_v2.as_deref().and_then(|text| text.parse::<InfoHashV2>().ok()),
        }
    }

    /// Notes what names the torrent; the first name of all stays the id.
    pub fn set_hashes(&mut self, hashes: &InfoHashes) {
        self.infohash_v1 = hashes.v1.map(|hash| hash.to_string()).or(self.infohash_v1.take());
        self.infohash_v2 = hashes.v2.map(|hash| hash.to_string()).or(self.infohash_v2.take());
        if self.id.is_empty() {
            self.id = self.infohash_v1.clone().or(self.infohash_v2.clone()).unwrap_or_default();
        }
    }

    /// Notes what the torrent's description says, and how much of it is wanted.
    pub fn note_info(&mut self, info: &Info) {
        let files = || info.layout.files().iter().enumerate().filter(|(_, file)| !file.is_pad());
        let wanted = |file: usize| self.priority(file) != FilePriority::Skip;
        let bytes = files().filter(|(index, _)| wanted(*index)).map(|(_, file)| file.len).sum();
        let count = u32::try_from(files().count()).unwrap_or(u32::MAX);
        self.wanted = bytes;
        self.files = count;
        self.total = info.layout.total_len();
        self.pieces = info.layout.pieces();
        self.piece_length = info.layout.nominal_piece_len();
        self.is_folder = info.folder;
        self.private = info.private;
        self.name.clone_from(&info.name);
        self.set_hashes(&info.hashes);
        self.described = true;
    }

    /// The magnet link that it was added by.
    pub fn magnet(&self) -> Option<Magnet> {
        self.link.as_deref()?.parse().ok()
    }

    /// Whether `id` names it.
    pub fn is_called(&self, id: &str) -> bool {
        self.id == id
            || [&self.infohash_v1, &self.infohash_v2].into_iter().any(|hash| hash.as_deref() == Some(id))
    }

    /// The share ratio. A share is measured by its content, since it downloads nothing.
    pub fn ratio(&self, uploaded: u64, downloaded: u64) -> f64 {
        let base = if downloaded > 0 { downloaded } else { self.total };
        if base == 0 { 0.0 } else { uploaded as f64 / base as f64 }
    }

    /// How much a file is wanted.
    pub fn priority(&self, file: usize) -> FilePriority {
        self.priorities.as_bytes().get(file).map_or(FilePriority::Normal, |letter| from_letter(*letter))
    }
}

/// A priority as [`Record::priorities`] has it.
pub(crate) fn letter(priority: FilePriority) -> char {
    match priority {
        FilePriority::Skip => 's',
        FilePriority::Low => 'l',
        FilePriority::Normal => 'n',
        FilePriority::High => 'h',
    }
}

fn from_letter(letter: u8) -> FilePriority {
    match letter {
        b's' => FilePriority::Skip,
        b'l' => FilePriority::Low,
        b'h' => FilePriority::High,
        _ => FilePriority::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_record_is_read_with_defaults() {
        let record: Record = serde_json::from_str(r#"{"id":"ab","name":"n","unknown":1}"#).unwrap();
        assert_eq!((record.id.as_str(), record.priority(3)), ("ab", FilePriority::Normal));
        assert!(!record.paused && record.tags.is_empty());
    }

    #[test]
    fn the_first_hash_stays_the_id() {
        let v2: InfoHashV2 = "ab".repeat(32).parse().unwrap();
        let mut record = Record::default();
        record.set_hashes(&InfoHashes { v1: None, v2: Some(v2) });
        record.set_hashes(&InfoHashes { v1: "cd".repeat(20).parse().ok(), v2: Some(v2) });
        assert_eq!(record.id, "ab".repeat(32));
        assert!(record.is_called(&"cd".repeat(20)) && record.is_called(&"ab".repeat(32)));
    }
}
