//! Several keys of one principal.

use std::sync::Arc;

use varsig::{SignatureAlgorithm, Verifier, VerifyError};

/// Accepts what any of some keys of one algorithm has signed.
#[derive(Debug)]
pub(super) struct AnyOf {
    algorithm: SignatureAlgorithm,
    verifiers: Vec<Arc<dyn Verifier>>,
    /// The keys one after the other, which stand for all of them: keys of one algorithm either have one length or say
    /// where they end.
    public_keys: Vec<u8>,
}

impl AnyOf {
    /// A verifier for all of `verifiers`, which are for `algorithm`; the single one itself.
    pub(super) fn verifier(algorithm: SignatureAlgorithm, mut verifiers: Vec<Arc<dyn Verifier>>) -> Arc<dyn Verifier> {
        if verifiers.len() == 1
            && let Some(only) = verifiers.pop()
        {
            return only;
        }
        let public_keys = verifiers.iter().flat_map(|verifier| verifier.public_key()).copied().collect();
        Arc::new(Self { algorithm, verifiers, public_keys })
    }
}

impl Verifier for AnyOf {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn public_key(&self) -> &[u8] {
        &self.public_keys
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let mut refused = VerifyError::Mismatch;
        for verifier in &self.verifiers {
            match verifier.verify(message, signature) {
                Ok(()) => return Ok(()),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}
