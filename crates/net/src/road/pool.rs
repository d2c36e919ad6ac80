//! Receive buffers that are used again and again.
//!
//! The first touch of a page costs more than copying into it, and the machine gives idle memory back
//! to its host, so buffers are kept rather than freed. At most [`BufferPool::new`]'s `kept_max`
//! buffers stay when nobody uses them; the number in use is bounded by the machine's in-flight budget.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A pool of buffers of one size. Clones share it.
#[derive(Clone)]
pub struct BufferPool(Arc<Shared>);

struct Shared {
    buffer_len: usize,
    kept_max: usize,
    free: Mutex<Vec<Box<[u8]>>>,
}

impl BufferPool {
    /// A pool of buffers of `buffer_len` bytes that keeps at most `kept_max` unused ones.
    #[must_use]
    pub fn new(buffer_len: usize, kept_max: usize) -> Self {
        Self(Arc::new(Shared { buffer_len, kept_max, free: Mutex::new(Vec::new()) }))
    }

    /// A buffer, from the pool where there is one. Its content is arbitrary.
    #[must_use]
    pub fn take(&self) -> Buffer {
        let free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = free.unwrap_or_else(|| vec![0; self.0.buffer_len].into_boxed_slice());
        Buffer { bytes, len: 0, pool: Arc::clone(&self.0) }
    }
}

/// A buffer that returns to its pool when the last share of it is dropped.
pub struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
    pool: Arc<Shared>,
}

impl Buffer {
    /// All of its room.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `len` bytes, shared without a copy.
    #[must_use]
    pub fn freeze(mut self, len: usize) -> Bytes {
        self.len = len.min(self.bytes.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.kept_max {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_when_its_last_share_goes() {
        let pool = BufferPool::new(64, 1);
        let mut buffer = pool.take();
        buffer.room()[..5].copy_from_slice(b"hello");
        let address = buffer.bytes.as_ptr();
        let bytes = buffer.freeze(5);
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(&part[..], b"el");
        assert!(pool.0.free.lock().unwrap().is_empty());
        drop(part);
        assert_eq!(pool.take().bytes.as_ptr(), address);
    }

    #[test]
    fn keeps_no_more_than_asked() {
        let pool = BufferPool::new(64, 1);
        let (a, b) = (pool.take(), pool.take());
        drop((a, b));
        assert_eq!(pool.0.free.lock().unwrap().len(), 1);
    }
}
