//! ES256K software keys: ECDSA on secp256k1 with SHA2-256, signatures as `r || s` in 64 bytes. The upper `s` is refused.
//!
//! ```
//! use varsig::{Signer, Verifier, secp256k1::SigningKey};
//!
//! let key = SigningKey::from_bytes(&[7; 32])?;
//! let signature = key.try_sign(b"hello")?;
//! key.verifying_key().verify(b"hello", signature.as_bytes())?;
//! assert!(key.verifying_key().verify(b"hullo", signature.as_bytes()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

crate::ecdsa::ecdsa_keys! {
    k256, Es256K, secret: 32, public: 33, signature: 64,
    first: 0xff, high_s: false,
}
