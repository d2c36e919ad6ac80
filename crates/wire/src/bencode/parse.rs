//! From bytes to the table of values: one pass, no recursion.

use super::Limits;
use super::value::{Document, Kind, Token};

/// A defect, and the byte where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, counted from the start of the source.
    pub offset: usize,
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The source ends within a value.
    #[error("unexpected end")]
    End,
    /// A byte that begins no value.
    #[error("expected a value")]
    Value,
    /// A byte that is no digit where a number stands, or no digit at all.
    #[error("expected a digit")]
    Digit,
    /// A string's length is not followed by a colon.
    #[error("expected a colon")]
    Colon,
    /// A number outside of `i64`, or a length outside of the document.
    #[error("number out of range")]
    Range,
    /// A dictionary key that is not a string.
    #[error("expected a key")]
    Key,
    /// A dictionary key without a value.
    #[error("key without a value")]
    NoValue,
    /// More lists and dictionaries within each other than allowed.
    #[error("nested too deep")]
    Depth,
    /// More values than allowed.
    #[error("too many values")]
    Tokens,
    /// More bytes than allowed.
    #[error("too long")]
    Bytes,
    /// Strict: keys that are not in ascending order.
    #[error("keys not sorted")]
    Unsorted,
    /// Strict: a key that repeats.
    #[error("repeated key")]
    Repeated,
    /// Strict: a number with a leading zero, or `-0`.
    #[error("number not in canonical form")]
    Canonical,
    /// Strict: bytes after the document.
    #[error("bytes after the document")]
    Trailing,
}

/// A list or dictionary that is not closed yet.
struct Open {
    token: u32,
    state: State,
}

enum State {
    List,
    /// The next thing is a key or the end; the last key's content.
    Key(core::ops::Range<u32>),
    /// The next thing is the value of the key with this content.
    Value(core::ops::Range<u32>),
}

struct Parser<'a> {
    bytes: &'a [u8],
    /// Never more than `bytes.len()`, which fits `u32`.
    at: usize,
    limits: Limits,
    tokens: Vec<Token>,
    open: Vec<Open>,
}

/// Reads the value that `bytes` begin with.
pub(super) fn parse(bytes: &[u8], limits: Limits) -> Result<Document<'_>, Error> {
    if bytes.len() > limits.bytes.min(u32::MAX as usize) {
        return Err(Error { kind: ErrorKind::Bytes, offset: limits.bytes });
    }
    let mut parser = Parser { bytes, at: 0, limits, tokens: Vec::new(), open: Vec::new() };
    loop {
        parser.step()?;
        if parser.open.is_empty() {
            return Ok(Document { bytes, tokens: parser.tokens });
        }
    }
}

impl Parser<'_> {
    /// Reads one value without children, or a key, or the start or the end of a list or dictionary.
    fn step(&mut self) -> Result<(), Error> {
        let byte = self.peek()?;
        let is_key = match self.open.last().map(|open| &open.state) {
            Some(State::Value(_)) if byte == b'e' => return self.fail(ErrorKind::NoValue),
            Some(State::Key(_) | State::List) if byte == b'e' => return self.close(),
            Some(State::Key(_)) if !byte.is_ascii_digit() => return self.fail(ErrorKind::Key),
            Some(State::Key(_)) => true,
            _ => false,
        };
        if self.tokens.len() >= self.limits.tokens {
            return self.fail(ErrorKind::Tokens);
        }
        match byte {
            b'0'..=b'9' => {
                let content = self.string()?;
                if is_key { self.key(content) } else { self.value_done() }
            }
            b'i' => self.int(),
            b'l' => self.begin(Kind::List, State::List),
            b'd' => self.begin(Kind::Dict, State::Key(0..0)),
            _ => self.fail(ErrorKind::Value),
        }
    }

    fn begin(&mut self, kind: Kind, state: State) -> Result<(), Error> {
        if self.open.len() >= self.limits.depth {
            return self.fail(ErrorKind::Depth);
        }
        let token = self.tokens.len() as u32;
        let start = self.at;
        self.at = self.at.saturating_add(1);
        self.push(kind, start, 0);
        self.open.push(Open { token, state });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.at = self.at.saturating_add(1);
        let next = self.tokens.len() as u32;
        if let Some(open) = self.open.pop()
            && let Some(token) = self.tokens.get_mut(open.token as usize)
        {
            token.end = self.at as u32;
            token.next = next;
        }
        self.value_done()
    }

    /// A value is complete: a dictionary around it expects a key now.
    fn value_done(&mut self) -> Result<(), Error> {
        if let Some(Open { state, .. }) = self.open.last_mut()
            && let State::Value(key) = state
        {
            *state = State::Key(key.clone());
        }
        Ok(())
    }

    /// A key is complete: its order is checked, and its value comes next.
    fn key(&mut self, content: core::ops::Range<u32>) -> Result<(), Error> {
        let bytes = self.bytes;
        let text = |range: &core::ops::Range<u32>| bytes.get(range.start as usize..range.end as usize);
        let Some(Open { token, state }) = self.open.last_mut() else {
            return Ok(());
        };
        // The first key follows the dictionary's own token.
        let first = self.tokens.len() == (*token as usize).saturating_add(2);
        if self.limits.strict
            && !first
            && let State::Key(last) = state
        {
            let kind = match text(last).cmp(&text(&content)) {
                core::cmp::Ordering::Less => None,
                core::cmp::Ordering::Equal => Some(ErrorKind::Repeated),
                core::cmp::Ordering::Greater => Some(ErrorKind::Unsorted),
            };
            if let Some(kind) = kind {
                return Err(Error { kind, offset: content.start as usize });
            }
        }
        *state = State::Value(content);
        Ok(())
    }

    fn int(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at = self.at.saturating_add(1);
        let negative = self.peek()? == b'-';
        if negative {
            self.at = self.at.saturating_add(1);
        }
        let magnitude = self.number(b'e')?;
        if negative && magnitude == 0 && self.limits.strict {
            return Err(Error { kind: ErrorKind::Canonical, offset: start });
        }
        let max = i64::MAX as u64;
        if magnitude > if negative { max.saturating_add(1) } else { max } {
            return Err(Error { kind: ErrorKind::Range, offset: start });
        }
        self.push(Kind::Int, start, 0);
        self.value_done()
    }

    /// Reads a string and gives the place of its content.
    fn string(&mut self) -> Result<core::ops::Range<u32>, Error> {
        let start = self.at;
        let len = self.number(b':')?;
        let content = self.at;
        let left = self.bytes.len().saturating_sub(content);
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= left) else {
            return Err(Error { kind: ErrorKind::End, offset: start });
        };
        let Ok(header) = u8::try_from(content.saturating_sub(start)) else {
            return Err(Error { kind: ErrorKind::Range, offset: start });
        };
        self.at = content.saturating_add(len);
        self.push(Kind::Bytes, start, header);
        Ok(content as u32..self.at as u32)
    }

    /// Reads decimal digits and the byte after them, which must be `end`.
    fn number(&mut self, end: u8) -> Result<u64, Error> {
        let start = self.at;
        let mut number = 0_u64;
        loop {
            let byte = self.peek()?;
            if byte == end && self.at > start {
                let leading_zero = self.bytes.get(start) == Some(&b'0') && self.at > start.saturating_add(1);
                if leading_zero && self.limits.strict {
                    return Err(Error { kind: ErrorKind::Canonical, offset: start });
                }
                self.at = self.at.saturating_add(1);
                return Ok(number);
            }
            if !byte.is_ascii_digit() {
                let colon = end == b':' && self.at > start;
                return self.fail(if colon { ErrorKind::Colon } else { ErrorKind::Digit });
            }
            let digit = u64::from(byte.wrapping_sub(b'0'));
            let Some(next) = number.checked_mul(10).and_then(|tens| tens.checked_add(digit)) else {
                return self.fail(ErrorKind::Range);
            };
            number = next;
            self.at = self.at.saturating_add(1);
        }
    }

    fn push(&mut self, kind: Kind, start: usize, header: u8) {
        let next = (self.tokens.len() as u32).saturating_add(1);
        self.tokens.push(Token { start: start as u32, end: self.at as u32, next, kind, header });
    }

    fn peek(&self) -> Result<u8, Error> {
        self.bytes.get(self.at).copied().ok_or(Error { kind: ErrorKind::End, offset: self.at })
    }

    fn fail<T>(&self, kind: ErrorKind) -> Result<T, Error> {
        Err(Error { kind, offset: self.at })
    }
}
