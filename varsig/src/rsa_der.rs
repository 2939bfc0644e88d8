//! RSA public keys as `did:key` has them: the DER of a PKCS #1 `RSAPublicKey`, read without the feature for RSA, so that the
//! length of a key is known of every one.

/// The modulus and the exponent, without leading zeros, if the bytes are the one DER spelling of a public key.
pub(crate) fn public_key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, &[]) = element(0x30, bytes)? else {
        return None;
    };
    let (modulus, rest) = element(0x02, sequence)?;
    let (exponent, &[]) = element(0x02, rest)? else {
        return None;
    };
    Some((positive(modulus)?, positive(exponent)?))
}

/// The content of an element, and what follows it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes {
        [first, short @ 0..=0x7f, rest @ ..] if *first == tag => (usize::from(*short), rest),
        [first, 0x81, byte @ 0x80..=0xff, rest @ ..] if *first == tag => (usize::from(*byte), rest),
        [first, 0x82, high @ 1..=0xff, low, rest @ ..] if *first == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// An integer above zero in its shortest form.
fn positive(content: &[u8]) -> Option<&[u8]> {
    match content {
        // A first byte from 0x80 on would be the sign of a negative number.
        [0, rest @ ..] if matches!(rest, [0x80..=0xff, ..]) => Some(rest),
        [1..=0x7f, ..] => Some(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_spelling() {
        assert_eq!(public_key(&[0x30, 6, 2, 1, 77, 2, 1, 5]), Some((&[77][..], &[5][..])));
        assert_eq!(public_key(&[0x30, 7, 2, 2, 0, 200, 2, 1, 5]), Some((&[200][..], &[5][..])));
        let refused: [&[u8]; 12] = [
            &[],
            &[0x31, 6, 2, 1, 77, 2, 1, 5],
            &[0x30, 6, 3, 1, 77, 2, 1, 5],
            &[0x30, 7, 2, 1, 77, 2, 1, 5],
            &[0x30, 6, 2, 1, 77, 2, 1, 5, 0],
            &[0x30, 7, 2, 1, 77, 2, 1, 5, 0],
            &[0x30, 0x81, 6, 2, 1, 77, 2, 1, 5],
            &[0x30, 0x82, 0, 6, 2, 1, 77, 2, 1, 5],
            &[0x30, 7, 2, 2, 0, 77, 2, 1, 5],
            &[0x30, 6, 2, 1, 200, 2, 1, 5],
            &[0x30, 6, 2, 1, 0, 2, 1, 5],
            &[0x30, 5, 2, 0, 2, 1, 5],
        ];
        for bytes in refused {
            assert_eq!(public_key(bytes), None, "{bytes:x?}");
        }
    }
}
