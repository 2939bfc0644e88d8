//! ES512 software keys: ECDSA on P-521 with SHA2-512, signatures as `r || s` in 132 bytes. Either `s` is accepted.
//!
//! ```
//! use varsig::{Signer, Verifier, p521::SigningKey};
//!
//! let key = SigningKey::from_bytes(&[1; 66])?;
//! let signature = key.try_sign(b"hello")?;
//! key.verifying_key().verify(b"hello", signature.as_bytes())?;
//! assert!(key.verifying_key().verify(b"hullo", signature.as_bytes()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

crate::ecdsa::ecdsa_keys! {
    p521, Es512, secret: 66, public: 67, signature: 132,
    first: 0x01, high_s: true,
}
