//! A response's body: bounded in size, in time, and in what it may expand to.

use super::{Error, HeaderMap, connect::Lease, header};
use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::{
    io::{self, Write},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Bounds of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes_max: u64,
    pub(super) idle_timeout: Duration,
    pub(super) deadline: Instant,
}

/// A body that is read part by part.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    limits: Limits,
    /// Bytes that came over the wire, and bytes handed out.
    received: u64,
    handed: u64,
    gzip: Option<Box<GzDecoder<Capped>>>,
    /// Gone once the connection was given back.
    lease: Option<Lease>,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        headers: &HeaderMap,
        limits: Limits,
        lease: Lease,
    ) -> Result<Self, Error> {
        let coding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        let gzip = match coding.as_deref() {
            None | Some(b"" | b"identity") => None,
            Some(b"gzip" | b"x-gzip") => Some(Box::new(GzDecoder::new(Capped::new(limits.bytes_max)))),
            Some(_) => return Err(Error::BadEncoding),
        };
        // Refused before the first byte where the server says so itself.
        if incoming.size_hint().lower() > limits.bytes_max {
            return Err(Error::BodyTooLarge(limits.bytes_max));
        }
        Ok(Self { incoming, limits, received: 0, handed: 0, gzip, lease: Some(lease) })
    }

    /// The length that the server announced, of the body as it is on the wire.
    #[must_use]
    pub fn wire_len(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Whether the body is compressed on the wire.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.gzip.is_some()
    }

    /// The next part, never empty; none at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let until = (Instant::now() + self.limits.idle_timeout).min(self.limits.deadline);
            let frame = timeout_at(until, self.incoming.frame()).await;
            let Some(frame) = frame.map_err(|_| Error::Timeout("the body"))? else {
                return self.end();
            };
            // Trailers are of no use here.
            let Ok(data) = frame?.into_data() else { continue };
            self.received = self.received.saturating_add(data.len() as u64);
            if self.received > self.limits.bytes_max {
                return Err(Error::BodyTooLarge(self.limits.bytes_max));
            }
            let data = if self.gzip.is_some() { self.expand(&data)? } else { data };
            if !data.is_empty() {
                self.handed = self.handed.saturating_add(data.len() as u64);
                return Ok(Some(data));
            }
        }
    }

    /// The whole body.
    pub async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        // What a server announces is not reserved: it may never send it.
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    /// Bytes handed out so far.
    #[must_use]
    pub fn len_so_far(&self) -> u64 {
        self.handed
    }

    fn end(&mut self) -> Result<Option<Bytes>, Error> {
        let rest = match self.gzip.take() {
            None => Vec::new(),
            // An end in the middle of a member is an error.
            Some(gzip) => gzip.finish().map_err(|error| self.gzip_error(&error))?.out,
        };
        if let Some(lease) = self.lease.take() {
            lease.keep();
        }
        self.handed = self.handed.saturating_add(rest.len() as u64);
        Ok(if rest.is_empty() { None } else { Some(rest.into()) })
    }

    /// What `data` expands to. The writer refuses the first byte over the limit, so that memory
    /// stays below the limit plus the decoder's own buffer of 32 KiB.
    fn expand(&mut self, data: &[u8]) -> Result<Bytes, Error> {
        let Some(gzip) = &mut self.gzip else { return Ok(Bytes::new()) };
        let done = gzip.write_all(data).and_then(|()| gzip.flush());
        match done {
            Ok(()) => Ok(std::mem::take(&mut gzip.get_mut().out).into()),
            Err(error) => Err(self.gzip_error(&error)),
        }
    }

    fn gzip_error(&self, error: &io::Error) -> Error {
        // `Capped` is the only writer that says so.
        if error.kind() == io::ErrorKind::FileTooLarge {
            Error::BodyTooLarge(self.limits.bytes_max)
        } else {
            Error::BadEncoding
        }
    }
}

/// A buffer that refuses more than a number of bytes in all.
#[derive(Debug)]
struct Capped {
    out: Vec<u8>,
    left: u64,
}

impl Capped {
    fn new(left: u64) -> Self {
        Self { out: Vec::new(), left }
    }
}

impl Write for Capped {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
