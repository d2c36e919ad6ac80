//! What is wrong with a scenario file, and where.

/// A problem with a scenario: the line, the key, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", place(*.line, .key))]
pub struct ScenarioError {
    /// Counted from 1; 0 where it is about the file as a whole.
    pub line: usize,
    /// With its section, such as `link.loss`; empty where there is none.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

fn place(line: usize, key: &str) -> String {
    match (line, key) {
        (0, "") => String::new(),
        (0, key) => format!("`{key}`: "),
        (line, "") => format!("line {line}: "),
        (line, key) => format!("line {line}, `{key}`: "),
    }
}

impl ScenarioError {
    /// A problem with a key, whose line is sought in the text.
    pub(super) fn of_key(text: &str, key: &str, problem: impl Into<String>) -> Self {
        Self { line: line_of(text, key), key: key.to_owned(), problem: problem.into() }
    }

    /// Text that is no TOML, or not the TOML of a scenario.
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map_or(0, |span| {
            let before = text.get(..span.start).unwrap_or(text);
            // The span of a table begins at its bracket, or before it: the next line with something on it.
            let blank = text.get(span.start..).unwrap_or_default();
            let blank = blank.len() - blank.trim_start().len();
            let skipped = text.get(span.start..span.start + blank).unwrap_or_default();
            1 + before.matches('\n').count() + skipped.matches('\n').count()
        });
        let key = key_at(text, line);
        // The first line says what is wrong; others draw where.
        let problem = error.message().lines().next().unwrap_or("is not TOML").to_owned();
        Self { line, key, problem }
    }
}

/// The key of a line, with its section.
fn key_at(text: &str, line: usize) -> String {
    let mut section = String::new();
    for (at, content) in text.lines().enumerate() {
        let content = content.trim();
        let header = section_of(content);
        if let Some(name) = header {
            section = name.to_owned();
        }
        if at + 1 == line {
            let key = content.split_once('=').map(|(key, _)| key.trim()).filter(|_| header.is_none());
            return match (section.as_str(), key) {
                ("", key) => key.unwrap_or_default().to_owned(),
                (section, None) => section.to_owned(),
                (section, Some(key)) => format!("{section}.{key}"),
            };
        }
    }
    String::new()
}

/// The line of a key such as `link.loss`; that of its section where the key itself is not there; 0 where
/// neither is.
fn line_of(text: &str, key: &str) -> usize {
    let lines = text.lines().count();
    let exact = (1..=lines).find(|line| key_at(text, *line) == key);
    let parent = || {
        let (section, _) = key.rsplit_once('.')?;
        Some(line_of(text, section))
    };
    exact.or_else(parent).unwrap_or(0)
}

fn section_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix('[')?;
    let line = line.strip_prefix('[').unwrap_or(line);
    line.split_once(']').map(|(name, _)| name.trim())
}
