//! From values to bytes, in canonical form.

use core::ops::Range;

/// Writes one bencoded value; lists and dictionaries nest through closures.
///
/// ```
/// use peerage_wire::bencode::Encoder;
/// let mut encoder = Encoder::new();
/// encoder.dict(|dict| {
///     dict.int(b"a", 1);
///     dict.entry(b"b", |encoder| encoder.list(|list| list.bytes(b"x")));
/// });
/// assert_eq!(encoder.finish(), b"d1:ai1e1:bl1:xee");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// Nothing written yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes behind what `out` holds.
    #[must_use]
    pub fn append_to(out: Vec<u8>) -> Self {
        Self { out }
    }

    /// Writes an integer.
    pub fn int(&mut self, number: i64) {
        self.out.extend_from_slice(format!("i{number}e").as_bytes());
    }

    /// Writes an integer. One above `i64::MAX`, which no other program reads, becomes that.
    pub fn uint(&mut self, number: u64) {
        self.int(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Writes a string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
        self.out.extend_from_slice(bytes);
    }

    /// Writes a string.
    pub fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes bytes that are bencoded already, for example an info dictionary.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// Writes a list of what `items` writes.
    pub fn list(&mut self, items: impl FnOnce(&mut Self)) {
        self.out.push(b'l');
        items(self);
        self.out.push(b'e');
    }

    /// Writes a dictionary of what `entries` writes.
    pub fn dict(&mut self, entries: impl FnOnce(&mut DictEncoder<'_>)) {
        self.out.push(b'd');
        entries(&mut DictEncoder { encoder: self, last_key: None });
        self.out.push(b'e');
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Writes the entries of a dictionary, whose keys must come in ascending order of their bytes.
#[derive(Debug)]
pub struct DictEncoder<'e> {
    encoder: &'e mut Encoder,
    /// Where the last key's content is in the output.
    last_key: Option<Range<usize>>,
}

impl DictEncoder<'_> {
    /// Writes an entry whose value is the one value that `value` writes.
    ///
    /// # Panics
    /// When `key` does not come after the last one: a bug of the caller, never of a peer.
    pub fn entry(&mut self, key: &[u8], value: impl FnOnce(&mut Encoder)) {
        if let Some(last) = self.last_key.clone().and_then(|range| self.encoder.out.get(range)) {
            assert!(last < key, "keys must ascend: {} then {}", last.escape_ascii(), key.escape_ascii());
        }
        self.encoder.bytes(key);
        let end = self.encoder.out.len();
        self.last_key = Some(end.saturating_sub(key.len())..end);
        value(self.encoder);
    }

    /// Writes an integer entry.
    pub fn int(&mut self, key: &[u8], number: i64) {
        self.entry(key, |encoder| encoder.int(number));
    }

    /// Writes an integer entry, see [`Encoder::uint`].
    pub fn uint(&mut self, key: &[u8], number: u64) {
        self.entry(key, |encoder| encoder.uint(number));
    }

    /// Writes a string entry.
    pub fn bytes(&mut self, key: &[u8], bytes: &[u8]) {
        self.entry(key, |encoder| encoder.bytes(bytes));
    }

    /// Writes a string entry.
    pub fn str(&mut self, key: &[u8], text: &str) {
        self.entry(key, |encoder| encoder.str(text));
    }

    /// Writes an entry whose value is bencoded already.
    pub fn raw(&mut self, key: &[u8], encoded: &[u8]) {
        self.entry(key, |encoder| encoder.raw(encoded));
    }
}
