//! ES384 software keys: ECDSA on P-384 with SHA2-384, signatures as `r || s` in 96 bytes. Either `s` is accepted.
//!
//! ```
//! use varsig::{Signer, Verifier, p384::SigningKey};
//!
//! let key = SigningKey::from_bytes(&[7; 48])?;
//! let signature = key.try_sign(b"hello")?;
//! key.verifying_key().verify(b"hello", signature.as_bytes())?;
//! assert!(key.verifying_key().verify(b"hullo", signature.as_bytes()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

crate::ecdsa::ecdsa_keys! {
    p384, Es384, secret: 48, public: 49, signature: 96,
    first: 0xff, high_s: true,
}
