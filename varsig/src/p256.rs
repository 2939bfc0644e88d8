//! ES256 software keys: ECDSA on P-256 with SHA2-256, signatures as `r || s` in 64 bytes. Either `s` is accepted.
//!
//! ```
//! use varsig::{Signer, Verifier, p256::SigningKey};
//!
//! let key = SigningKey::from_bytes(&[7; 32])?;
//! let signature = key.try_sign(b"hello")?;
//! key.verifying_key().verify(b"hello", signature.as_bytes())?;
//! assert!(key.verifying_key().verify(b"hullo", signature.as_bytes()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

crate::ecdsa::ecdsa_keys! {
    p256, Es256, secret: 32, public: 33, signature: 64,
    first: 0xff, high_s: true,
}
