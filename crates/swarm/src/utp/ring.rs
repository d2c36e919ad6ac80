//! Bytes on their way: pushed at the end, taken from the front.

use std::collections::VecDeque;

/// A queue of bytes that gives its memory back when it has been nearly empty.
#[derive(Debug, Default)]
pub(super) struct Ring(VecDeque<u8>);

/// Room that is kept, however empty.
const KEPT: usize = 16 * 1024;

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// Forgets the first `len` bytes.
    pub(super) fn skip(&mut self, len: usize) {
        self.0.drain(..len.min(self.0.len()));
    }

    /// Moves bytes from the front into `out`, as many as there are and fit.
    pub(super) fn take(&mut self, out: &mut [u8]) -> usize {
        let (first, second) = self.0.as_slices();
        let len = out.len().min(self.0.len());
        let from_first = len.min(first.len());
        out[..from_first].copy_from_slice(&first[..from_first]);
        out[from_first..len].copy_from_slice(&second[..len - from_first]);
        self.skip(len);
        len
    }

    /// Appends `len` bytes from `at` on to `out`; they stay.
    pub(super) fn copy(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        let (first, second) = self.0.as_slices();
        let end = at + len;
        out.extend_from_slice(&first[at.min(first.len())..end.min(first.len())]);
        out.extend_from_slice(&second[at.saturating_sub(first.len())..end.saturating_sub(first.len())]);
    }

    /// Gives memory back; to be called now and then while nothing moves.
    pub(super) fn shrink(&mut self) {
        self.0.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_across_the_end_of_the_memory() {
        let mut ring = Ring::default();
        let mut expected = VecDeque::new();
        for round in 0..100_u8 {
            let bytes: Vec<u8> = (0..61).map(|byte| byte ^ round).collect();
            ring.push(&bytes);
            expected.extend(&bytes);
            let mut copy = Vec::new();
            ring.copy(7, 40, &mut copy);
            assert!(copy.iter().eq(expected.range(7..47)));
            let mut out = [0; 59];
            assert_eq!(ring.take(&mut out), 59);
            assert!(out.iter().copied().eq(expected.drain(..59)));
        }
        assert_eq!(ring.len(), 200);
        ring.skip(1000);
        assert!(ring.is_empty());
    }
}
