//! Which files of a torrent are wanted.

use std::ops::RangeInclusive;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use peerage_api::error::{ExitCode, Failure};
use peerage_content::Info;

/// The user's choice, before it is known what there is to choose from.
pub(crate) struct Selection {
    patterns: GlobSet,
    indexes: Vec<RangeInclusive<u32>>,
    texts: Vec<String>,
}

impl Selection {
    /// From `--select` patterns and a link's `so=` (BEP 53). None of either means everything.
    pub fn new(patterns: &[String], indexes: &[RangeInclusive<u32>]) -> Result<Self, Failure> {
        let wrong = |pattern: &str, error: &globset::Error| {
            Failure::new(ExitCode::Usage, "E_SELECT", format!("--select {pattern}: {}", error.kind()))
                .hint("patterns look like '*.flac' or 'disc1/**'")
        };
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern)
                .literal_separator(false)
                .case_insensitive(true)
                .build()
                .map_err(|error| wrong(pattern, &error))?;
            set.add(glob);
        }
        let set = set.build().map_err(|error| wrong(&patterns.join(" "), &error))?;
        Ok(Self { patterns: set, indexes: indexes.to_vec(), texts: patterns.to_vec() })
    }

    /// One flag for each file of the layout.
    pub fn wanted(&self, info: &Info) -> Result<Vec<bool>, Failure> {
        let all = self.texts.is_empty() && self.indexes.is_empty();
        let wanted: Vec<bool> = (0u32..)
            .zip(info.layout.files())
            .map(|(index, file)| {
                let path = file.path.to_string();
                let named =
                    self.patterns.is_match(&path) || self.patterns.is_match(format!("{}/{path}", info.name));
                all || named || self.indexes.iter().any(|range| range.contains(&index))
            })
            .collect();
        let some = info.layout.files().iter().zip(&wanted).any(|(file, wanted)| *wanted && !file.is_pad());
        if some || all {
            Ok(wanted)
        } else {
            Err(Failure::new(
                ExitCode::NotFound,
                "E_SELECT",
                format!("no file matches {}", self.texts.join(", ")),
            )
            .hint(
                "`peerage inspect` lists the files of a torrent; patterns look like '*.flac' or 'disc1/**'",
            ))
        }
    }
}
