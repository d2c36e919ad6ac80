//! The decoded document and cursors into it.

use core::fmt;
use core::ops::Range;

/// One value of a document's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// First byte of the value.
    pub(super) start: u32,
    /// Byte after the value.
    pub(super) end: u32,
    /// Index of the first token after this value and all within it.
    pub(super) next: u32,
    pub(super) kind: Kind,
    /// Bytes before the content of a string: digits and colon.
    pub(super) header: u8,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `i42e`
    Int,
    /// `4:spam`
    Bytes,
    /// `l...e`
    List,
    /// `d...e`
    Dict,
}

/// A checked document: the source and the table of its values. Owns the table only.
#[derive(Clone)]
pub struct Document<'a> {
    pub(super) bytes: &'a [u8],
    /// In document order; never empty. A dictionary's keys are tokens too.
    pub(super) tokens: Vec<Token>,
}

impl<'a> Document<'a> {
    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value { bytes: self.bytes, tokens: &self.tokens, index: 0 }
    }

    /// What follows the document in the source.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.root().span().end..).unwrap_or_default()
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

/// A value within a [`Document`]: three words, copied freely.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    bytes: &'a [u8],
    tokens: &'a [Token],
    index: u32,
}

impl<'a> Value<'a> {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.token().kind
    }

    /// Its exact bytes in the source.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.bytes.get(self.span()).unwrap_or_default()
    }

    /// Where its bytes are in the source.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        let token = self.token();
        token.start as usize..token.end as usize
    }

    /// The number, when this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if self.kind() != Kind::Int {
            return None;
        }
        let digits = self.raw().get(1..)?.strip_suffix(b"e")?;
        // Checked when the document was decoded, including its range.
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The number, when this is one and it is not negative.
    #[must_use]
    pub fn as_uint(&self) -> Option<u64> {
        self.as_int().and_then(|number| number.try_into().ok())
    }

    /// The content, when this is a string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        if self.kind() != Kind::Bytes {
            return None;
        }
        self.raw().get(usize::from(self.token().header)..)
    }

    /// The content, when this is a string in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| core::str::from_utf8(bytes).ok())
    }

    /// The items, when this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<List<'a>> {
        (self.kind() == Kind::List).then_some(List(*self))
    }

    /// The entries, when this is a dictionary.
    #[must_use]
    pub fn as_dict(&self) -> Option<Dict<'a>> {
        (self.kind() == Kind::Dict).then_some(Dict(*self))
    }

    /// The value of `key`, when this is a dictionary that has it.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.as_dict()?.get(key)
    }

    fn token(&self) -> Token {
        let none = Token { start: 0, end: 0, next: u32::MAX, kind: Kind::Bytes, header: 0 };
        // An index comes from the table itself, so it is always within it.
        self.tokens.get(self.index as usize).copied().unwrap_or(none)
    }

    /// Indexes of the tokens within this value.
    fn inside(&self) -> Range<u32> {
        self.index.saturating_add(1)..self.token().next
    }

    fn at(&self, index: u32) -> Value<'a> {
        Value { index, ..*self }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_dict(), self.as_list(), self.as_bytes()) {
            (Some(dict), ..) => f
                .debug_map()
                .entries(dict.iter().map(|(key, value)| (key.escape_ascii().to_string(), value)))
                .finish(),
            (_, Some(list), _) => f.debug_list().entries(list.iter()).finish(),
            (.., Some(bytes)) => write!(f, "\"{}\"", bytes.escape_ascii()),
            _ => write!(f, "{}", self.as_int().unwrap_or_default()),
        }
    }
}

/// The items of a list.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(Value<'a>);

impl<'a> List<'a> {
    /// The items in order.
    #[must_use]
    pub fn iter(&self) -> ListIter<'a> {
        ListIter { list: self.0, inside: self.0.inside() }
    }
}

impl<'a> IntoIterator for List<'a> {
    type Item = Value<'a>;
    type IntoIter = ListIter<'a>;
    fn into_iter(self) -> ListIter<'a> {
        self.iter()
    }
}

/// Goes through the items of a [`List`].
#[derive(Clone, Debug)]
pub struct ListIter<'a> {
    list: Value<'a>,
    inside: Range<u32>,
}

impl<'a> Iterator for ListIter<'a> {
    type Item = Value<'a>;
    fn next(&mut self) -> Option<Value<'a>> {
        if self.inside.is_empty() {
            return None;
        }
        let value = self.list.at(self.inside.start);
        self.inside.start = value.token().next;
        Some(value)
    }
}

/// The entries of a dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Dict<'a>(Value<'a>);

impl<'a> Dict<'a> {
    /// The entries in the order of the source.
    #[must_use]
    pub fn iter(&self) -> DictIter<'a> {
        DictIter(ListIter { list: self.0, inside: self.0.inside() })
    }

    /// The value of `key`: the first, should there be several. Takes time in proportion to the
    /// number of entries; go through [`Self::iter`] once where there are many of both.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The number at `key`.
    #[must_use]
    pub fn int(&self, key: &[u8]) -> Option<i64> {
        self.get(key)?.as_int()
    }

    /// The number at `key`, when it is not negative.
    #[must_use]
    pub fn uint(&self, key: &[u8]) -> Option<u64> {
        self.get(key)?.as_uint()
    }

    /// The string at `key`.
    #[must_use]
    pub fn bytes(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.get(key)?.as_bytes()
    }

    /// The string at `key`, when it is UTF-8.
    #[must_use]
    pub fn str(&self, key: &[u8]) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    /// The list at `key`.
    #[must_use]
    pub fn list(&self, key: &[u8]) -> Option<List<'a>> {
        self.get(key)?.as_list()
    }

    /// The dictionary at `key`.
    #[must_use]
    pub fn dict(&self, key: &[u8]) -> Option<Dict<'a>> {
        self.get(key)?.as_dict()
    }

    /// The dictionary as a value, for its bytes.
    #[must_use]
    pub fn value(&self) -> Value<'a> {
        self.0
    }
}

impl<'a> IntoIterator for Dict<'a> {
    type Item = (&'a [u8], Value<'a>);
    type IntoIter = DictIter<'a>;
    fn into_iter(self) -> DictIter<'a> {
        self.iter()
    }
}

/// Goes through the entries of a [`Dict`].
#[derive(Clone, Debug)]
pub struct DictIter<'a>(ListIter<'a>);

impl<'a> Iterator for DictIter<'a> {
    type Item = (&'a [u8], Value<'a>);
    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?.as_bytes()?;
        Some((key, self.0.next()?))
    }
}
