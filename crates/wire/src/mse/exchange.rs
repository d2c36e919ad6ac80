//! The key exchange, the hashes and the cipher.

use super::rc4::Rc4;
use super::{Ciphers, Error, KEY_LEN, Method, Methods, PAD_MAX};
use crypto_bigint::modular::ConstMontyParams;
use crypto_bigint::{U192, U768, const_monty_form, const_monty_params};
use peerage_base::Rng;
use sha1::{Digest, Sha1};

const_monty_params!(
    Prime,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563",
    "The prime of the exchange; its generator is 2."
);
const_monty_form!(Element, Prime, "A number modulo the prime.");

/// Bytes of the secret exponent (the source: 160 bits).
const EXPONENT_LEN: usize = 20;
/// Bytes of the cipher's output that are thrown away.
const DISCARD: usize = 1024;

/// Our half of an exchange.
pub(super) struct Exchange {
    exponent: U192,
}

impl Exchange {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut bytes = [0; 24];
        if let Some((_, exponent)) = bytes.split_last_chunk_mut::<EXPONENT_LEN>() {
            rng.fill(exponent);
        }
        Self { exponent: U192::from_be_slice(&bytes) }
    }

    /// Our public key.
    pub(super) fn public(&self) -> [u8; KEY_LEN] {
        to_bytes(&Element::new(&U768::from_u8(2)).pow(&self.exponent))
    }

    /// The secret that only the two ends know.
    pub(super) fn secret(&self, theirs: &[u8; KEY_LEN]) -> Result<Secret, Error> {
        let theirs = U768::from_be_slice(theirs);
        let last = Prime::PARAMS.modulus().as_ref().wrapping_sub(&U768::ONE);
        // 0, 1 and -1 have powers that anybody can guess.
        if theirs <= U768::ONE || theirs >= last {
            return Err(Error::WeakKey);
        }
        Ok(Secret(to_bytes(&Element::new(&theirs).pow(&self.exponent))))
    }
}

fn to_bytes(element: &Element) -> [u8; KEY_LEN] {
    let mut bytes = [0; KEY_LEN];
    bytes.copy_from_slice(element.retrieve().to_be_bytes().as_ref());
    bytes
}

/// The outcome of an exchange.
pub(super) struct Secret([u8; KEY_LEN]);

impl Secret {
    /// What marks the opener's answer.
    pub(super) fn mark(&self) -> [u8; 20] {
        hash(&[b"req1", &self.0])
    }

    /// What names the torrent, for those who know its info hash and the secret.
    pub(super) fn name(&self, info_hash: &[u8; 20]) -> [u8; 20] {
        let mut name = hash(&[b"req2", info_hash]);
        let mask = hash(&[b"req3", &self.0]);
        name.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        name
    }

    /// The two ciphers, as the opener or as the listener.
    pub(super) fn ciphers(&self, info_hash: &[u8; 20], opener: bool) -> Ciphers {
        let a = Cipher::new(&hash(&[b"keyA", &self.0, info_hash]));
        let b = Cipher::new(&hash(&[b"keyB", &self.0, info_hash]));
        if opener { Ciphers { send: a, receive: b } } else { Ciphers { send: b, receive: a } }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 20] {
    let mut sha = Sha1::new();
    parts.iter().for_each(|part| sha.update(part));
    sha.finalize().into()
}

/// RC4 in one direction.
pub struct Cipher(Box<Rc4>);

impl Cipher {
    fn new(key: &[u8; 20]) -> Self {
        let mut rc4 = Box::new(Rc4::new(key));
        rc4.apply(&mut [0; DISCARD]);
        Self(rc4)
    }

    /// Encrypts or decrypts in place: they are the same.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply(bytes);
    }

    pub(super) fn applied(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        self.apply(&mut bytes);
        bytes
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

/// Padding of a length by chance, so that lengths tell nothing.
pub(super) fn pad(rng: &mut Rng) -> Vec<u8> {
    let mut pad = vec![0; rng.index(PAD_MAX.saturating_add(1))];
    rng.fill(&mut pad);
    pad
}

/// What both sides begin their encrypted part with: the constant, methods, a padding.
pub(super) fn encode_methods(bits: u32, rng: &mut Rng) -> Vec<u8> {
    let pad = pad(rng);
    let mut out = vec![0; 8];
    out.extend(bits.to_be_bytes());
    out.extend((pad.len() as u16).to_be_bytes());
    out.extend(pad);
    out
}

/// The first of our methods whose bit `fits` takes, and the length of the padding behind it.
pub(super) fn decode_methods(
    bytes: [u8; 6],
    ours: Methods,
    fits: impl Fn(u32, u32) -> bool,
) -> Result<(Method, usize), Error> {
    let [a, b, c, d, high, low] = bytes;
    let bits = u32::from_be_bytes([a, b, c, d]);
    let method = ours.in_order().iter().find(|method| fits(method.bit(), bits));
    let pad = usize::from(u16::from_be_bytes([high, low]));
    match method {
        None => Err(Error::NoMethod),
        Some(_) if pad > PAD_MAX => Err(Error::LongPad),
        Some(method) => Ok((*method, pad)),
    }
}

/// Bytes that came in and were not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Input(Vec<u8>);

impl Input {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next bytes, once so many are there.
    pub(super) fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let rest = self.0.split_at_checked(len)?.1.to_vec();
        let mut taken = std::mem::replace(&mut self.0, rest);
        taken.truncate(len);
        Some(taken)
    }

    pub(super) fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Skips padding up to and with `mark`. `None`: more bytes may bring it.
    pub(super) fn skip_past(&mut self, mark: &[u8]) -> Result<Option<()>, Error> {
        let within = self.0.get(..PAD_MAX.saturating_add(mark.len())).unwrap_or(&self.0);
        if let Some(at) = within.windows(mark.len()).position(|window| window == mark) {
            self.take(at.saturating_add(mark.len()));
            return Ok(Some(()));
        }
        if within.len() < PAD_MAX.saturating_add(mark.len()) { Ok(None) } else { Err(Error::NoSync) }
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
