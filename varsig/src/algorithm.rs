//! The registry of signature algorithms: every code and name is written once, in the table below.

use core::{fmt, str::FromStr};

use crate::UnknownName;

/// How a signature was made: the second part of a Varsig header.
///
/// `Display` gives the usual JOSE name (`ES256`), or the curve's (`Ed25519`); parsing reads the same names.
///
/// ```
/// use varsig::SignatureAlgorithm;
///
/// assert_eq!(SignatureAlgorithm::Es256K.to_string(), "ES256K");
/// assert_eq!("ES256K".parse(), Ok(SignatureAlgorithm::Es256K));
/// // The length of an RSA key is not in the name: 2048 bits unless it is set.
/// let algorithm: SignatureAlgorithm = "RS512".parse()?;
/// assert_eq!(algorithm.with_key_length(512), SignatureAlgorithm::Rs512 { key_length: 512 });
/// # Ok::<(), varsig::UnknownName>(())
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
    /// BLS on BLS12-381 with SHA2-256, with public keys on G1 and signatures on G2.
    Bls12381G1,
    /// BLS on BLS12-381 with SHA2-256, with public keys on G2 and signatures on G1.
    Bls12381G2,
}

use SignatureAlgorithm::{
    Bls12381G1, Bls12381G2, Ed448, Ed25519, Eip191, Es256, Es256K, Es384, Es512, Rs256, Rs384, Rs512,
};

/// What is registered of an algorithm.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    /// The segments of the header. The first one says how many there are, and for all that are registered it is three.
    segments: [u64; 3],
    /// The multicodec of public keys.
    public_key: u64,
    /// The multicodec of secret keys.
    secret_key: u64,
    /// The length of a public key in bytes, where all keys have the same.
    public_key_length: Option<usize>,
}

/// Every algorithm; the length of RSA keys is the one that stands for any.
const ALL: [SignatureAlgorithm; 12] = [
    Ed25519,
    Ed448,
    Es256,
    Es384,
    Es512,
    Es256K,
    Eip191,
    Rs256 { key_length: 256 },
    Rs384 { key_length: 256 },
    Rs512 { key_length: 256 },
    Bls12381G1,
    Bls12381G2,
];

impl SignatureAlgorithm {
    /// The table.
    fn row(self) -> Row {
        let row = |name, segments, public_key, secret_key, length| Row {
            name,
            segments,
            public_key,
            secret_key,
            public_key_length: Some(length),
        };
        let rsa = |name, hash, key_length| Row {
            name,
            segments: [0x1205, hash, u64::from(key_length)],
            public_key: 0x1205,
            secret_key: 0x1305,
            public_key_length: None,
        };
        match self {
            Ed25519 => row("Ed25519", [0xed, 0xed, 0x13], 0xed, 0x1300, 32),
            Ed448 => row("Ed448", [0xed, 0x1203, 0x19], 0x1203, 0x1311, 57),
            Es256 => row("ES256", [0xec, 0x1200, 0x12], 0x1200, 0x1306, 33),
            Es384 => row("ES384", [0xec, 0x1201, 0x20], 0x1201, 0x1307, 49),
            Es512 => row("ES512", [0xec, 0x1202, 0x13], 0x1202, 0x1308, 67),
            Es256K => row("ES256K", [0xec, 0xe7, 0x12], 0xe7, 0x1301, 33),
            Eip191 => row("EIP191", [0xec, 0xe7, 0x1b], 0xe7, 0x1301, 33),
            Rs256 { key_length } => rsa("RS256", 0x12, key_length),
            Rs384 { key_length } => rsa("RS384", 0x20, key_length),
            Rs512 { key_length } => rsa("RS512", 0x13, key_length),
            Bls12381G1 => row("BLS12381G1", [0xb1, 0xea, 0x12], 0xea, 0x1309, 48),
            Bls12381G2 => row("BLS12381G2", [0xb1, 0xeb, 0x12], 0xeb, 0x130a, 96),
        }
    }

    /// The multicodec that public keys of this algorithm have in a Multikey or `did:key`.
    pub fn public_key_code(self) -> u64 {
        self.row().public_key
    }

    /// The multicodec of secret keys of this algorithm.
    pub fn secret_key_code(self) -> u64 {
        self.row().secret_key
    }

    /// The length of the modulus in bytes that the header of an RSA signature states; nothing for other algorithms.
    pub fn key_length(self) -> Option<u16> {
        match self {
            Rs256 { key_length } | Rs384 { key_length } | Rs512 { key_length } => Some(key_length),
            _ => None,
        }
    }

    /// The same algorithm with RSA keys of another length, in bytes of the modulus. Other algorithms stay what they are.
    #[must_use]
    pub fn with_key_length(self, key_length: u16) -> Self {
        match self {
            Rs256 { .. } => Rs256 { key_length },
            Rs384 { .. } => Rs384 { key_length },
            Rs512 { .. } => Rs512 { key_length },
            other => other,
        }
    }

    /// The length that every public key of a multicodec has, in bytes, if there is one; nothing at all for another code.
    pub(crate) fn public_key_length(code: u64) -> Option<Option<usize>> {
        let row = ALL.iter().map(|algorithm| algorithm.row()).find(|row| row.public_key == code)?;
        Some(row.public_key_length)
    }

    /// The first algorithm of a multicodec for secret keys.
    pub(crate) fn of_secret_key(code: u64) -> Option<Self> {
        ALL.into_iter().find(|algorithm| algorithm.secret_key_code() == code)
    }

    /// The algorithm's segments, in the order of the header.
    pub(crate) fn segments(self) -> [u64; 3] {
        self.row().segments
    }

    /// The algorithm with these segments, if it is registered; `rest` reads those after the first, once that is known to be one.
    pub(crate) fn from_segments<E>(prefix: u64, mut rest: impl FnMut() -> Result<u64, E>) -> Result<Option<Self>, E> {
        if !ALL.iter().any(|algorithm| algorithm.segments()[0] == prefix) {
            return Ok(None);
        }
        let segments = [prefix, rest()?, rest()?];
        // The last segment of RSA is a length: any will do, except none.
        let length = u16::try_from(segments[2]).ok().filter(|length| *length > 0);
        let with_length = |algorithm: Self| length.map_or(algorithm, |length| algorithm.with_key_length(length));
        Ok(ALL.into_iter().map(with_length).find(|algorithm| algorithm.segments() == segments))
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        ALL.into_iter().find(|algorithm| algorithm.row().name == name).ok_or_else(|| UnknownName::new(name))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_row_is_its_own_algorithm() {
        for algorithm in ALL {
            let [prefix, second, third] = algorithm.segments();
            let mut rest = [second, third].into_iter();
            let read = SignatureAlgorithm::from_segments(prefix, || rest.next().ok_or(()));
            assert_eq!(read, Ok(Some(algorithm)));
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
    }
}
