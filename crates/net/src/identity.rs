//! Who this node is on authenticated roads: an Ed25519 key pair (RFC 8032).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use peerage_base::PeerId;

/// The secret half of a [`PeerId`]. Shows nothing of itself.
#[derive(Clone)]
pub struct Identity {
    seed: [u8; 32],
    id: PeerId,
}

impl Identity {
    /// The identity of a secret seed, which is 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let mut id = PeerId([0; 32]);
        // Each seed of 32 bytes is one: the library's error is for other lengths.
        if let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&seed) {
            id.0.copy_from_slice(pair.public_key().as_ref());
        }
        Self { seed, id }
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Signs, as anybody with the public half can check (RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        if let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&self.seed) {
            signature.copy_from_slice(pair.sign(message).as_ref());
        }
        signature
    }

    /// The secret.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_is_that_of_rfc_8032() {
        // Section 7.1, test 1.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let bytes = |hex: &str| -> [u8; 32] {
            data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
        };
        let identity = Identity::from_seed(bytes(seed));
        assert_eq!(identity.id().0, bytes(public));
        assert!(!format!("{identity:?}").contains("9d61"), "the secret is not shown");
        let signature = data_encoding::HEXLOWER.encode(&identity.sign(b""));
        let expected = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
                        5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(signature, expected);
    }
}
