//! Ed25519 signatures, honest and otherwise.

use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION},
    edwards::CompressedEdwardsY,
    scalar::Scalar,
};
use sha2::{Digest, Sha512};
use varsig::{Signer, Verifier, ed25519};

use super::choices::Choices;

/// What is accepted is what RFC 8032 and the strict rules of the field's reference implementation accept.
///
/// Keys and signatures are built with points of small order added in all places, so that the equations nearly hold.
pub fn ed25519(data: &[u8]) {
    let mut choices = Choices::new(data);
    let torsion = |choices: &mut Choices<'_>| EIGHT_TORSION[choices.below(8)];
    let secret = Scalar::from(choices.number::<u64>());
    // Without a nonce, the point of the signature is one of small order.
    let nonce = if choices.flag() { Scalar::from(choices.number::<u64>()) } else { Scalar::ZERO };
    let (key_torsion, nonce_torsion) = (torsion(&mut choices), torsion(&mut choices));
    let mut key = (&secret * ED25519_BASEPOINT_TABLE + key_torsion).compress().to_bytes();
    let mut point = (&nonce * ED25519_BASEPOINT_TABLE + nonce_torsion).compress().to_bytes();
    // Another spelling of a point: y + p, where that still fits into 255 bits.
    for bytes in [&mut key, &mut point] {
        if choices.rarely(8) && bytes[1..31].iter().all(|byte| *byte == 0) && bytes[0] < 19 && bytes[31] & 0x7f == 0 {
            let low = bytes[0];
            bytes[0] = 0xed + low.min(18);
            bytes[1..31].fill(0xff);
            bytes[31] |= 0x7f;
        }
    }
    let message = choices.bytes(8);
    let hash = Sha512::new().chain_update(point).chain_update(key).chain_update(&message).finalize();
    let challenge = Scalar::from_bytes_mod_order_wide(&hash.into());
    let mut response = (nonce + challenge * secret).to_bytes();
    // The same number modulo the order of the group, but not below it.
    if choices.rarely(8) {
        response = plus_order(response);
    }
    let mut signature = [point, response].concat();
    if choices.rarely(8) {
        let at = choices.below(signature.len());
        signature[at] = choices.byte();
    }
    if choices.rarely(8) {
        let at = choices.below(32);
        key[at] = choices.byte();
    }
    if choices.rarely(16) {
        signature.truncate(choices.below(64));
    }
    compare(&key, &message, &signature);

    let honest = ed25519::SigningKey::from_seed(&[choices.byte(); 32]);
    let signed = honest.try_sign(&message).expect("a software key signs");
    let public = honest.verifying_key();
    assert!(public.verify(&message, signed.as_bytes()).is_ok());
    let mut changed = signed.as_bytes().to_vec();
    let at = choices.below(64);
    changed[at] = choices.byte();
    assert_eq!(public.verify(&message, &changed).is_ok(), changed == signed.as_bytes());
    compare(public.as_bytes(), &message, &changed);
    // Whatever the bytes are.
    if let Some((key, rest)) = data.split_first_chunk() {
        compare(key, b"", rest);
    }
}

fn compare(key: &[u8; 32], message: &[u8], signature: &[u8]) {
    // A point is refused as a key in any spelling but the one that it is written in.
    let canonical = CompressedEdwardsY(*key).decompress().is_some_and(|point| point.compress().0 == *key);
    let reference = ed25519_dalek::VerifyingKey::from_bytes(key).ok().filter(|key| canonical && !key.is_weak());
    let ours = ed25519::VerifyingKey::from_bytes(key);
    assert_eq!(ours.is_ok(), reference.is_some(), "key {key:02x?}");
    let (Ok(ours), Some(reference)) = (ours, reference) else { return };
    assert_eq!(ours.as_bytes(), key);
    let strict = ed25519_dalek::Signature::from_slice(signature)
        .is_ok_and(|signature| reference.verify_strict(message, &signature).is_ok());
    let accepted = ours.verify(message, signature).is_ok();
    assert_eq!(accepted, strict, "key {key:02x?}, message {message:02x?}, signature {signature:02x?}");
    if accepted {
        let point =
            signature.first_chunk().map(|bytes| CompressedEdwardsY(*bytes)).and_then(|point| point.decompress());
        assert!(point.is_some_and(|point| !point.is_small_order() && point.compress().0 == signature[..32]));
    }
}

fn plus_order(response: [u8; 32]) -> [u8; 32] {
    // 2^252 + 27742317777372353535851937790883648493, little endian.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    let mut sum = [0; 32];
    for ((sum, a), b) in sum.iter_mut().zip(response).zip(ORDER) {
        let total = u16::from(a) + u16::from(b) + carry;
        *sum = (total & 0xff) as u8;
        carry = total >> 8;
    }
    sum
}
