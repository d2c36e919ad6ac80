//! Stored items (BEP 44), and torrents that an item names (BEP 46).

use ed25519_dalek::{Signature, VerifyingKey};
use peerage_base::Key;
use peerage_base::limits::{DHT_ITEM_BYTES_MAX, DHT_SALT_BYTES_MAX};
use peerage_wire::bencode::{self, Encoder, Limits};
use peerage_wire::krpc::{Id, Signed, code};
use sha1::{Digest, Sha1};

/// What may be stored: within its limits, and signed rightly where it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    value: Vec<u8>,
    signed: Option<Signed>,
    salt: Vec<u8>,
}

/// Why something is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The value is not bencode in its one form.
    #[error("the value is not canonical bencode")]
    Value,
    /// The value has more bytes than [`DHT_ITEM_BYTES_MAX`].
    #[error("the value is longer than {DHT_ITEM_BYTES_MAX} bytes")]
    ValueTooLong,
    /// The salt has more bytes than [`DHT_SALT_BYTES_MAX`].
    #[error("the salt is longer than {DHT_SALT_BYTES_MAX} bytes")]
    SaltTooLong,
    /// The key is no key, or the signature is not its.
    #[error("the signature is not valid")]
    Signature,
    /// The sequence number is negative, which other programs refuse.
    #[error("the sequence number is negative")]
    Sequence,
}

impl ItemError {
    /// The code with which a node refuses it.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Value | Self::Sequence => code::PROTOCOL,
            Self::ValueTooLong => code::VALUE_TOO_LONG,
            Self::SaltTooLong => code::SALT_TOO_LONG,
            Self::Signature => code::SIGNATURE,
        }
    }
}

impl Item {
    /// Checks what a stranger or a user gives: `value` is bencoded, `salt` empty when there is none.
    ///
    /// # Errors
    /// See [`ItemError`].
    pub fn new(value: Vec<u8>, signed: Option<Signed>, salt: Vec<u8>) -> Result<Self, ItemError> {
        if value.len() > DHT_ITEM_BYTES_MAX {
            return Err(ItemError::ValueTooLong);
        }
        if salt.len() > DHT_SALT_BYTES_MAX {
            return Err(ItemError::SaltTooLong);
        }
        bencode::decode(&value, Limits::MESSAGE.strict()).map_err(|_| ItemError::Value)?;
        if let Some(signed) = &signed {
            if signed.seq < 0 {
                return Err(ItemError::Sequence);
            }
            let key = VerifyingKey::from_bytes(&signed.key).map_err(|_| ItemError::Signature)?;
            let signature = Signature::from_bytes(&signed.signature);
            // Strict: keys of small order and signatures in a second form are refused.
            key.verify_strict(&Self::signed_bytes(&salt, signed.seq, &value), &signature)
                .map_err(|_| ItemError::Signature)?;
        }
        Ok(Self { value, signed, salt })
    }

    /// What the signature of an item is over.
    #[must_use]
    pub fn signed_bytes(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new();
        if !salt.is_empty() {
            encoder.raw(b"4:salt");
            encoder.bytes(salt);
        }
        encoder.raw(b"3:seq");
        encoder.int(seq);
        encoder.raw(b"1:v");
        encoder.raw(value);
        encoder.finish()
    }

    /// Where items signed by this key with this salt are.
    #[must_use]
    pub fn mutable_target(key: &[u8; 32], salt: &[u8]) -> Id {
        Key(Sha1::new().chain_update(key).chain_update(salt).finalize().into())
    }

    /// Where an immutable item with this value is.
    #[must_use]
    pub fn immutable_target(value: &[u8]) -> Id {
        Key(Sha1::digest(value).into())
    }

    /// Where it is stored.
    #[must_use]
    pub fn target(&self) -> Id {
        match &self.signed {
            Some(signed) => Self::mutable_target(&signed.key, &self.salt),
            None => Self::immutable_target(&self.value),
        }
    }

    /// The value, bencoded.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// What makes it mutable.
    #[must_use]
    pub fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    /// Its salt, empty when there is none.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Its sequence number; that of an immutable one is 0.
    #[must_use]
    pub fn seq(&self) -> i64 {
        self.signed.map_or(0, |signed| signed.seq)
    }
}

/// The value of an item that names a torrent (BEP 46).
#[must_use]
pub fn torrent_value(info_hash: &[u8; 20]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict(|dict| dict.bytes(b"ih", info_hash));
    encoder.finish()
}

/// The torrent that an item names (BEP 46).
#[must_use]
pub fn torrent_of(item: &Item) -> Option<[u8; 20]> {
    let document = bencode::decode(item.value(), Limits::MESSAGE).ok()?;
    document.root().get(b"ih")?.as_bytes()?.try_into().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes: Vec<u8> =
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }

    const KEY: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";

    /// An item signed with a key made from a number.
    pub(in crate::mainline) fn signed_item(secret: u8, seq: i64, salt: &[u8], value: &[u8]) -> Item {
        let key = SigningKey::from_bytes(&[secret; 32]);
        let signature = key.sign(&Item::signed_bytes(salt, seq, value)).to_bytes();
        let signed = Signed { key: key.verifying_key().to_bytes(), seq, signature };
        Item::new(value.to_vec(), Some(signed), salt.to_vec()).unwrap()
    }

    /// The three test vectors of BEP 44.
    #[test]
    fn the_vectors_of_bep_44() {
        let value = b"12:Hello World!".to_vec();
        let plain = Signed {
            key: hex(KEY),
            seq: 1,
            signature: hex("305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
                 1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"),
        };
        let salted = Signed {
            signature: hex("6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
                 df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"),
            ..plain
        };
        assert_eq!(Item::signed_bytes(b"", 1, &value), b"3:seqi1e1:v12:Hello World!");
        assert_eq!(Item::signed_bytes(b"foobar", 1, &value), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
        let one = Item::new(value.clone(), Some(plain), Vec::new()).unwrap();
        assert_eq!(one.target().to_string(), "4a533d47ec9c7d95b1ad75f576cffc641853b750");
        let two = Item::new(value.clone(), Some(salted), b"foobar".to_vec()).unwrap();
        assert_eq!(two.target().to_string(), "411eba73b6f087ca51a3795d9c8c938d365e32c1");
        let three = Item::new(value.clone(), None, Vec::new()).unwrap();
        assert_eq!(three.target().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
        // One for the other is a forgery.
        assert_eq!(Item::new(value.clone(), Some(salted), Vec::new()), Err(ItemError::Signature));
        assert_eq!(Item::new(value, Some(plain), b"foobar".to_vec()), Err(ItemError::Signature));
    }

    /// The two test vectors of BEP 46, and its value.
    #[test]
    fn the_vectors_of_bep_46() {
        let key = hex("8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e");
        assert_eq!(Item::mutable_target(&key, b"").to_string(), "cc3f9d90b572172053626f9980ce261a850d050b");
        assert_eq!(Item::mutable_target(&key, b"n").to_string(), "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f");
        assert_eq!(torrent_value(b"mnopqrstuvwxyz123456"), b"d2:ih20:mnopqrstuvwxyz123456e");
        let item = signed_item(1, 0, b"n", &torrent_value(b"mnopqrstuvwxyz123456"));
        assert_eq!(torrent_of(&item), Some(*b"mnopqrstuvwxyz123456"));
        for value in [&b"d2:ih2:xxe"[..], b"i5e", b"de"] {
            assert_eq!(torrent_of(&Item::new(value.to_vec(), None, Vec::new()).unwrap()), None);
        }
    }

    #[test]
    fn limits_and_forms_have_the_codes_of_the_bep() {
        let string = |len: usize| [format!("{len}:").as_bytes(), &vec![b'x'; len]].concat();
        assert!(Item::new(string(996), None, Vec::new()).is_ok(), "1000 bytes encoded");
        let code = |result: Result<Item, ItemError>| result.unwrap_err().code();
        assert_eq!(code(Item::new(string(997), None, Vec::new())), 205);
        assert_eq!(code(Item::new(b"1:x".to_vec(), None, vec![0; 65])), 207);
        let good = signed_item(1, 5, b"", b"1:x");
        let mut forged = *good.signed().unwrap();
        forged.signature[40] ^= 1;
        assert_eq!(code(Item::new(b"1:x".to_vec(), Some(forged), Vec::new())), 206);
        assert_eq!(code(Item::new(b"1:y".to_vec(), good.signed().copied(), Vec::new())), 206);
        let later = Signed { seq: 6, ..*good.signed().unwrap() };
        assert_eq!(code(Item::new(b"1:x".to_vec(), Some(later), Vec::new())), 206);
        // A key of small order, for which a signature of zeros would hold.
        let small = Signed { key: [0; 32], seq: 0, signature: [0; 64] };
        assert_eq!(code(Item::new(b"1:x".to_vec(), Some(small), Vec::new())), 206);
        for value in [&b"i03e"[..], b"d1:bi1e1:ai1ee", b"", b"1:xx", b"x"] {
            assert_eq!(code(Item::new(value.to_vec(), None, Vec::new())), 203, "{}", value.escape_ascii());
        }
    }
}
