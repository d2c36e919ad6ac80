//! How a field of each type is written and read; messages are made of these.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use super::{Id, Node};
use crate::read::Reader;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use peerage_base::Key;
use peerage_base::limits::{OVERLAY_ADDRS_MAX, OVERLAY_BLOOM_BYTES_MAX, OVERLAY_KEYS_MAX, OVERLAY_NODES_MAX};

/// A type that can stand in a frame. `take` gives `None` for what no `put` writes.
pub(super) trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(reader: &mut Reader<'_>) -> Option<Self>;
}

/// A type that can stand in a list: at most so many.
pub(super) trait Item: Field {
    const LIST_MAX: usize;
}

macro_rules! number {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn take(reader: &mut Reader<'_>) -> Option<Self> {
                reader.$type()
            }
        }
    )*};
}
number!(u8, u16, u32, u64);

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Field for Id {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        reader.array().map(Key)
    }
}

impl Item for Id {
    const LIST_MAX: usize = OVERLAY_KEYS_MAX;
}

impl Field for SocketAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self.ip().to_canonical() {
            IpAddr::V4(ip) => {
                out.push(4);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(6);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.port().to_be_bytes());
    }

    /// A mapped address and port 0 are refused: nobody can be reached there under that name.
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let ip = match reader.u8()? {
            4 => IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?)),
            _ => return None,
        };
        let port = reader.u16()?;
        (port != 0 && ip.to_canonical() == ip).then_some(SocketAddr::new(ip, port))
    }
}

impl Item for SocketAddr {
    const LIST_MAX: usize = OVERLAY_ADDRS_MAX;
}

impl Field for Node {
    fn put(&self, out: &mut Vec<u8>) {
        self.id.put(out);
        self.addr.put(out);
    }
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { id: Id::take(reader)?, addr: SocketAddr::take(reader)? })
    }
}

impl Item for Node {
    const LIST_MAX: usize = OVERLAY_NODES_MAX;
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        if bool::take(reader)? { T::take(reader).map(Some) } else { Some(None) }
    }
}

impl<T: Item> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        let count = self.len().min(T::LIST_MAX);
        out.push(u8::try_from(count).unwrap_or(u8::MAX));
        self.iter().take(count).for_each(|item| item.put(out));
    }
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let count = usize::from(reader.u8()?);
        if count > T::LIST_MAX {
            return None;
        }
        // Nothing is reserved for a count alone: the bytes must be there.
        (0..count).map(|_| T::take(reader)).collect()
    }
}

/// The bytes of a Bloom filter: a length in two bytes, and at most [`OVERLAY_BLOOM_BYTES_MAX`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BloomBytes(pub Vec<u8>);

impl Field for BloomBytes {
    fn put(&self, out: &mut Vec<u8>) {
        let count = self.0.len().min(OVERLAY_BLOOM_BYTES_MAX);
        u16::try_from(count).unwrap_or(0).put(out);
        out.extend(self.0.iter().take(count));
    }
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let count = usize::from(reader.u16()?);
        if count > OVERLAY_BLOOM_BYTES_MAX {
            return None;
        }
        reader.bytes(count).map(|bytes| Self(bytes.to_vec()))
    }
}

/// Defines a protocol's messages from their kinds and fields, with their encoding.
macro_rules! messages {
    ($(#[$doc:meta])* pub enum Message {
        $($(#[$kind_doc:meta])* $kind:literal => $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }),* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $($(#[$kind_doc])* $name { $($(#[$field_doc])* $field: $type),* }),*
        }

        impl Message {
            pub(super) fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name { $($field),* } => {
                        out.push($kind);
                        $($crate::overlay::codec::Field::put($field, out);)*
                    })*
                }
            }

            pub(super) fn take(reader: &mut $crate::read::Reader<'_>) -> Option<Self> {
                match reader.u8()? {
                    $($kind => Some(Self::$name {
                        $($field: $crate::overlay::codec::Field::take(reader)?),*
                    }),)*
                    _ => None,
                }
            }

            /// What it is, for counts and traces.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name)),*
                }
            }
        }
    };
}
pub(super) use messages;
