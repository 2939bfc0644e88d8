//! Signatures that were verified before.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use varsig::{SignatureAlgorithm, Verifier, VerifyError};

use crate::{Did, KeyError, KeySource, Purpose};

/// How many keys are remembered, and how many signatures of each. What is beyond that is verified again.
const KEYS: usize = 1024;
const SIGNATURES: usize = 4096;

/// Another source of keys that remembers, for `did:key` principals, which signatures were good.
///
/// A chain is validated every time that it is used; its signatures do not have to be computed again. The key of a `did:key` is
/// in its name, so that a good signature stays good; whoever has other keys next month is asked about anew every time. The
/// memory is bounded.
///
/// ```
/// use ucan_core::{CachedKeys, Command, Delegation, DidKeys, Issuer, verify};
/// use varsig::ed25519::SigningKey;
///
/// let keys = CachedKeys::new(DidKeys);
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let delegation = Delegation::builder(alice.did().clone(), None, Command::top()).sign(&alice)?;
/// verify(&delegation, &keys)?;
/// verify(&delegation, &keys)?; // costs a hash
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CachedKeys<K> {
    inner: K,
    known: Mutex<HashMap<(Did, SignatureAlgorithm, Purpose), Arc<Remembering>>>,
}

impl<K: KeySource> CachedKeys<K> {
    /// Remembers what keys of `inner` have verified.
    pub fn new(inner: K) -> Self {
        Self { inner, known: Mutex::default() }
    }
}

impl<K: KeySource> KeySource for CachedKeys<K> {
    fn verifier(
        &self,
        did: &Did,
        algorithm: SignatureAlgorithm,
        purpose: Purpose,
    ) -> Result<Arc<dyn Verifier>, KeyError> {
        if did.method() != "key" {
            return self.inner.verifier(did, algorithm, purpose);
        }
        let key = (did.clone(), algorithm, purpose);
        // A panic elsewhere cannot leave a key under the wrong name.
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let inner = self.inner.verifier(did, algorithm, purpose)?;
        let remembering = Arc::new(Remembering { inner, good: Mutex::default() });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEYS {
            known.clear();
        }
        known.insert(key, remembering.clone());
        Ok(remembering)
    }
}

/// A verifier with the hashes of the messages and signatures that it has found good.
#[derive(Debug)]
struct Remembering {
    inner: Arc<dyn Verifier>,
    good: Mutex<HashSet<[u8; 32]>>,
}

impl Verifier for Remembering {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        // The length keeps the two parts apart.
        let hash = Sha256::new()
            .chain_update((message.len() as u64).to_be_bytes())
            .chain_update(message)
            .chain_update(signature)
            .finalize()
            .into();
        if self.good.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash) {
            return Ok(());
        }
        self.inner.verify(message, signature)?;
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= SIGNATURES {
            good.clear();
        }
        good.insert(hash);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts what it is asked for, and finds every signature good that starts with 1.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    #[derive(Debug)]
    struct CountingSource(Arc<Counting>);

    impl KeySource for CountingSource {
        fn verifier(&self, _: &Did, _: SignatureAlgorithm, _: Purpose) -> Result<Arc<dyn Verifier>, KeyError> {
            Ok(self.0.clone())
        }
    }

    impl Verifier for Counting {
        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::Ed25519
        }

        fn verify(&self, _: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if signature.first() == Some(&1) { Ok(()) } else { Err(VerifyError::Mismatch) }
        }
    }

    #[test]
    fn only_good_signatures_of_unchanging_keys_are_remembered() {
        let counting = Arc::new(Counting::default());
        let keys = CachedKeys::new(CountingSource(counting.clone()));
        let check = |did: &str, message: &[u8], signature: &[u8]| {
            let did = did.parse().unwrap();
            let verifier = keys.verifier(&did, SignatureAlgorithm::Ed25519, Purpose::Delegation).unwrap();
            let good = verifier.verify(message, signature).is_ok();
            (good, counting.0.load(Ordering::Relaxed))
        };
        assert_eq!(check("did:key:a", b"m", &[1]), (true, 1));
        assert_eq!(check("did:key:a", b"m", &[1]), (true, 1));
        assert_eq!(check("did:key:a", b"m", &[1, 2]), (true, 2), "another signature");
        assert_eq!(check("did:key:a", b"m\x01", &[]), (false, 3), "the same bytes, divided elsewhere");
        assert_eq!(check("did:key:a", b"m", &[0]), (false, 4));
        assert_eq!(check("did:key:a", b"m", &[0]), (false, 5), "a bad one is never remembered");
        assert_eq!(check("did:key:b", b"m", &[1]), (true, 6), "another principal");
        assert_eq!(check("did:web:a", b"m", &[1]), (true, 7));
        assert_eq!(check("did:web:a", b"m", &[1]), (true, 8), "keys behind a document change");
    }
}
