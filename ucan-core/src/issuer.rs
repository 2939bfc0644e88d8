//! Those who sign.

use std::{fmt, sync::Arc};

use varsig::{PublicKey, SecretKey, Signer};

use crate::Did;

/// A principal together with the signer that speaks for it.
///
/// ```
/// use ucan_core::Issuer;
/// use varsig::ed25519::SigningKey;
///
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[0; 32]));
/// assert_eq!(alice.did().as_str(), "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp");
/// ```
#[derive(Clone)]
pub struct Issuer {
    did: Did,
    signer: Arc<dyn Signer>,
}

impl Issuer {
    /// A principal and its signer. Whether the one may speak for the other is seen by those who verify.
    pub fn new(did: Did, signer: Arc<dyn Signer>) -> Self {
        Self { did, signer }
    }

    /// The `did:key` principal of a software key of any algorithm.
    ///
    /// ```
    /// use ucan_core::Issuer;
    /// use varsig::{SecretKey, SignatureAlgorithm};
    ///
    /// let key = SecretKey::generate(SignatureAlgorithm::Es256, &mut |bytes| bytes.fill(7))?;
    /// let alice = Issuer::from_key(key);
    /// assert!(alice.did().as_str().starts_with("did:key:zDn"));
    /// # Ok::<(), varsig::SecretKeyError>(())
    /// ```
    pub fn from_key(key: SecretKey) -> Self {
        Self::from_signer(&key.public_key(), key.into_signer())
    }

    /// The `did:key` principal of a public key whose signer is somewhere else, in a hardware module for example.
    pub fn from_signer(key: &PublicKey, signer: Arc<dyn Signer>) -> Self {
        Self::new(Did::from_public_key(key), signer)
    }

    /// The `did:key` principal of an Ed25519 key.
    #[cfg(feature = "ed25519")]
    pub fn ed25519(key: varsig::ed25519::SigningKey) -> Self {
        Self::new(Did::from_ed25519(&key.verifying_key()), Arc::new(key))
    }

    /// Who it is.
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// What signs for it.
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("did", &self.did).finish_non_exhaustive()
    }
}
