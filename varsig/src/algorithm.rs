//! The registry of signature algorithms: every code and name is written once, in the tables below.

use std::fmt;

/// How a signature was made: the second part of a Varsig header.
///
/// `Display` gives the usual JOSE name (`ES256`), or the curve's (`Ed25519`).
///
/// ```
/// assert_eq!(varsig::SignatureAlgorithm::Es256K.to_string(), "ES256K");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// EdDSA on edwards25519 with SHA2-512.
    Ed25519,
    /// EdDSA on edwards448 with SHAKE-256.
    Ed448,
    /// ECDSA on P-256 with SHA2-256.
    Es256,
    /// ECDSA on P-384 with SHA2-384.
    Es384,
    /// ECDSA on P-521 with SHA2-512.
    Es512,
    /// ECDSA on secp256k1 with SHA2-256.
    Es256K,
    /// ECDSA on secp256k1 with Keccak-256, as Ethereum wallets sign.
    Eip191,
    /// RSASSA-PKCS #1 v1.5 with SHA2-256.
    Rs256 {
        /// Length of the modulus in bytes; 256 for a 2048 bit key.
        key_length: u16,
    },
    /// RSASSA-PKCS #1 v1.5 with SHA2-384.
    Rs384 {
        /// Length of the modulus in bytes.
        key_length: u16,
    },
    /// RSASSA-PKCS #1 v1.5 with SHA2-512.
    Rs512 {
        /// Length of the modulus in bytes.
        key_length: u16,
    },
}

use SignatureAlgorithm::{Ed448, Ed25519, Eip191, Es256, Es256K, Es384, Es512, Rs256, Rs384, Rs512};

/// Algorithms without parameters: name, then the segments prefix, curve, hash.
const CURVES: [(SignatureAlgorithm, &str, [u64; 3]); 7] = [
    (Ed25519, "Ed25519", [0xed, 0xed, 0x13]),
    (Ed448, "Ed448", [0xed, 0x1203, 0x19]),
    (Es256, "ES256", [0xec, 0x1200, 0x12]),
    (Es384, "ES384", [0xec, 0x1201, 0x20]),
    (Es512, "ES512", [0xec, 0x1202, 0x13]),
    (Es256K, "ES256K", [0xec, 0xe7, 0x12]),
    (Eip191, "EIP191", [0xec, 0xe7, 0x1b]),
];

/// The first segment of RSA; the hash and the length of the key follow.
const RSA_PREFIX: u64 = 0x1205;

/// An RSA variant, given the length of its key.
type RsaVariant = fn(u16) -> SignatureAlgorithm;

/// RSA by hash.
const RSA: [(RsaVariant, &str, u64); 3] = [
    (|key_length| Rs256 { key_length }, "RS256", 0x12),
    (|key_length| Rs384 { key_length }, "RS384", 0x20),
    (|key_length| Rs512 { key_length }, "RS512", 0x13),
];

impl SignatureAlgorithm {
    /// The algorithm's segments, in the order of the header.
    pub(crate) fn segments(self) -> [u64; 3] {
        let (_, segments) = self.row();
        segments
    }

    /// The algorithm with these segments, if it is registered.
    ///
    /// Every registered prefix has two further segments; `rest` reads them once the prefix is known to be one.
    pub(crate) fn from_segments<E>(prefix: u64, mut rest: impl FnMut() -> Result<u64, E>) -> Result<Option<Self>, E> {
        if prefix != RSA_PREFIX && !CURVES.iter().any(|(_, _, row)| row[0] == prefix) {
            return Ok(None);
        }
        let (second, third) = (rest()?, rest()?);
        if prefix == RSA_PREFIX {
            let length = u16::try_from(third).ok().filter(|length| *length > 0);
            let variant = RSA.iter().find(|(_, _, hash)| *hash == second);
            return Ok(variant.zip(length).map(|((make, ..), length)| make(length)));
        }
        let row = CURVES.iter().find(|(_, _, row)| *row == [prefix, second, third]);
        Ok(row.map(|(algorithm, ..)| *algorithm))
    }

    fn row(self) -> (&'static str, [u64; 3]) {
        let rsa = |row: usize, length: u16| (RSA[row].1, [RSA_PREFIX, RSA[row].2, u64::from(length)]);
        let curve = |row: usize| (CURVES[row].1, CURVES[row].2);
        match self {
            Ed25519 => curve(0),
            Ed448 => curve(1),
            Es256 => curve(2),
            Es384 => curve(3),
            Es512 => curve(4),
            Es256K => curve(5),
            Eip191 => curve(6),
            Rs256 { key_length } => rsa(0, key_length),
            Rs384 { key_length } => rsa(1, key_length),
            Rs512 { key_length } => rsa(2, key_length),
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = self.row();
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_its_own_algorithm() {
        for (algorithm, name, segments) in CURVES {
            assert_eq!(algorithm.row(), (name, segments));
        }
        for (make, name, hash) in RSA {
            assert_eq!(make(256).row(), (name, [RSA_PREFIX, hash, 256]));
        }
    }
}
