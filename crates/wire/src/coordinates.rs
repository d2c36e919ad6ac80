//! Network coordinates, as peers tell each other: four numbers of 32 bits, big-endian: x, y, height, error.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::read::Reader;
use peerage_base::limits::COORDINATE_MS_MAX;

/// Bytes of coordinates.
pub const COORDINATES_LEN: usize = 16;

/// A place in the plane of round-trip times, in milliseconds. Always finite and within bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    x: f32,
    y: f32,
    height: f32,
    error: f32,
}

/// What are no coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoordinatesError {
    /// Not [`COORDINATES_LEN`] bytes.
    #[error("coordinates have {COORDINATES_LEN} bytes")]
    Length,
    /// No numbers, or beyond [`COORDINATE_MS_MAX`], or negative where they cannot be.
    #[error("coordinates beyond bounds")]
    Range,
}

impl Coordinates {
    /// A place: `x`, `y` and the height above the plane (the way to where the network's core begins), and by how
    /// much a distance from there is wrong, relative to it.
    ///
    /// # Errors
    /// [`CoordinatesError::Range`].
    pub fn new(x: f32, y: f32, height: f32, error: f32) -> Result<Self, CoordinatesError> {
        let plane = -COORDINATE_MS_MAX..=COORDINATE_MS_MAX;
        let fits = plane.contains(&x) && plane.contains(&y);
        // No comparison holds for what is no number.
        if fits && (0.0..=COORDINATE_MS_MAX).contains(&height) && (0.0..=1.0).contains(&error) {
            Ok(Self { x, y, height, error })
        } else {
            Err(CoordinatesError::Range)
        }
    }

    /// Place in the plane and height, in milliseconds.
    #[must_use]
    pub fn place(&self) -> (f64, f64, f64) {
        (self.x.into(), self.y.into(), self.height.into())
    }

    /// The relative error, 0 to 1.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.error.into()
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; COORDINATES_LEN] {
        let mut out = [0; COORDINATES_LEN];
        let numbers = [self.x, self.y, self.height, self.error];
        for (four, number) in out.chunks_exact_mut(4).zip(numbers) {
            four.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// See [`CoordinatesError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CoordinatesError> {
        let mut reader = Reader::new(bytes);
        let mut number = || reader.array().map(f32::from_be_bytes).ok_or(CoordinatesError::Length);
        let (x, y, height, error) = (number()?, number()?, number()?, number()?);
        if !reader.is_empty() {
            return Err(CoordinatesError::Length);
        }
        Self::new(x, y, height, error)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_no_place_is_refused() {
        let place = Coordinates::new(-12.5, 3e4, 0.0, 1.0).unwrap();
        assert_eq!(Coordinates::decode(&place.encode()), Ok(place));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, COORDINATE_MS_MAX * 1.01] {
            for (x, height, error) in [(0.0, bad, 0.0), (0.0, 0.0, bad)] {
                assert_eq!(Coordinates::new(x, 0.0, height, error), Err(CoordinatesError::Range), "{bad}");
            }
            let bytes = [bad.to_be_bytes(), [0; 4], [0; 4], [0; 4]].concat();
            assert_eq!(Coordinates::decode(&bytes).is_ok(), bad == -1.0, "{bad}");
        }
        let bytes = place.encode();
        assert_eq!(Coordinates::decode(bytes.get(..15).unwrap()), Err(CoordinatesError::Length));
        assert_eq!(Coordinates::decode(&[0; 17]), Err(CoordinatesError::Length));
    }
}
