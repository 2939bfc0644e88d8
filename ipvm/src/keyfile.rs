//! The form in which a secret key stands in a file: multibase of the multicodec `ed25519-priv` and the seed.

use zeroize::Zeroizing;

/// `ed25519-priv` (0x1300) as an unsigned varint.
const ED25519_PRIV: [u8; 2] = [0x80, 0x26];

pub(crate) fn encode(seed: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(34));
    bytes.extend_from_slice(&ED25519_PRIV);
    bytes.extend_from_slice(seed);
    let mut text = multibase::encode(multibase::Base::Base58Btc, &*bytes);
    text.push('\n');
    Zeroizing::new(text)
}

pub(crate) fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, &'static str> {
    let (_, bytes) = multibase::decode(text.trim()).map_err(|_| "it is not multibase text")?;
    let bytes = Zeroizing::new(bytes);
    let seed = bytes.strip_prefix(&ED25519_PRIV).ok_or("it is not an Ed25519 private key in multicodec form")?;
    let seed: [u8; 32] = seed.try_into().map_err(|_| "an Ed25519 seed has 32 bytes")?;
    Ok(Zeroizing::new(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_file() {
        let seed = [9; 32];
        assert_eq!(*decode(&encode(&seed)).unwrap(), seed);
        for bad in ["", "z", "not a key", "zABC", "mAAAA"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
