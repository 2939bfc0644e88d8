//! Those who sign.

use std::{fmt, sync::Arc};

use varsig::{Signer, ed25519::SigningKey};

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

    /// The `did:key` principal of an Ed25519 key.
    pub fn ed25519(key: SigningKey) -> Self {
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
