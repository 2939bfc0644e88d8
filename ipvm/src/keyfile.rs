//! The forms in which a secret key stands in a file.
//!
//! Written is multibase (base58btc) of the multicodec of the kind of key and its secret bytes. Read is any multibase, and
//! for Ed25519 also PKCS #8 in PEM, which is what OpenSSL writes.

use data_encoding::BASE64;
use varsig::{SecretKey, SecretKeyError, SignatureAlgorithm};
use zeroize::Zeroizing;

/// How many bytes of a key file are read: the longest key, RSA of 8192 bits, has some 6,500 characters.
pub(crate) const LONGEST: u64 = 16 << 10;

/// The key as a line of text.
pub(crate) fn encode(key: &SecretKey) -> Zeroizing<String> {
    let mut text = multibase::encode(multibase::Base::Base58Btc, &*key.to_multicodec());
    text.push('\n');
    Zeroizing::new(text)
}

/// Reads a key in any of the forms that are read.
pub(crate) fn decode(text: &str) -> Result<SecretKey, KeyFileError> {
    let text = text.trim();
    if text.starts_with("-----BEGIN") {
        return pem(text);
    }
    // Decoding base58 takes quadratic time; the longest key, RSA of 8192 bits, has some 6,500 characters.
    if text.len() > 8192 {
        return Err(KeyFileError::NotMultibase);
    }
    let (_, bytes) = multibase::decode(text).map_err(|_| KeyFileError::NotMultibase)?;
    Ok(SecretKey::from_multicodec(&Zeroizing::new(bytes))?)
}

/// What stands in front of the seed in the DER of an Ed25519 key (RFC 8410): without its public key, and with it behind.
const PKCS8: [&[u8]; 2] = [
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
    &[0x30, 0x51, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
];

fn pem(text: &str) -> Result<SecretKey, KeyFileError> {
    let body = text
        .strip_prefix("-----BEGIN PRIVATE KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PRIVATE KEY-----"))
        .ok_or(KeyFileError::Pem)?;
    let body = Zeroizing::new(body.split_whitespace().collect::<String>());
    let der = Zeroizing::new(BASE64.decode(body.as_bytes()).map_err(|_| KeyFileError::Pem)?);
    let seed = match PKCS8.map(|front| der.strip_prefix(front)) {
        [Some(seed), _] if seed.len() == 32 => seed,
        // Behind the seed are three bytes and the public key, which follows from the seed.
        [_, Some(rest)] if rest.len() == 67 => rest.get(..32).unwrap_or_default(),
        _ => return Err(KeyFileError::Pem),
    };
    Ok(SecretKey::from_bytes(SignatureAlgorithm::Ed25519, seed)?)
}

/// Why a text is not a secret key. It never says what stands in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// It is in neither form.
    #[error("it is neither multibase text of a private key in multicodec form, nor PKCS #8 in PEM")]
    NotMultibase,
    /// It is PEM, and not that of an Ed25519 key.
    #[error(
        "its PEM is not that of an Ed25519 private key in PKCS #8 (BEGIN PRIVATE KEY); other kinds are read as multibase"
    )]
    Pem,
    /// It holds something else than a key that can sign.
    #[error(transparent)]
    Key(#[from] SecretKeyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes(SignatureAlgorithm::Ed25519, &[9; 32]).unwrap()
    }

    #[test]
    fn keys_survive_the_file() {
        let text = encode(&key());
        assert_eq!(encode(&decode(&text).unwrap()), text);
        assert_eq!(decode(&text).unwrap().to_multicodec()[..3], [0x80, 0x26, 9]);
        for bad in ["", "z", "not a key", "zABC", "mAAAA", "-----BEGIN", &"z".repeat(10_000)] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ed25519_keys_are_read_from_pem() {
        for (front, behind) in [(PKCS8[0], &[][..]), (PKCS8[1], &[0; 35])] {
            let der = BASE64.encode(&[front, &[9; 32], behind].concat());
            let (first, second) = der.split_at(32);
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{first}\r\n{second}\n-----END PRIVATE KEY-----\n");
            assert_eq!(encode(&decode(&pem).unwrap()), encode(&key()));
            let other = pem.replace("PRIVATE", "EC PRIVATE");
            assert_eq!(decode(&other).unwrap_err(), KeyFileError::Pem);
        }
    }
}
