//! Signatures that were verified before.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use varsig::{SignatureAlgorithm, Verifier, VerifyError};

use crate::{Did, KeyError, KeySource, Purpose};

/// How many keys are remembered, and how many signatures of each. When there are more, one makes room.
const KEYS: usize = 1024;
const SIGNATURES: usize = 4096;

/// Another source of keys that remembers, for `did:key` principals, which signatures were good.
///
/// A chain is validated every time that it is used; its signatures do not have to be computed again. The key of a `did:key` is
/// in its name, so that a good signature stays good; whoever has other keys next month is asked about anew every time.
///
/// The memory is bounded: 1024 keys, with 4096 signatures each, some 280 MB if all are used up. A key is remembered once it has
/// verified a signature, however its identifier's fragment is written, and then takes the place of the one that was useful
/// longest ago; what nobody has signed displaces nothing.
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
    known: Arc<Mutex<Known>>,
}

impl<K: KeySource> CachedKeys<K> {
    /// Remembers what keys of `inner` have verified.
    pub fn new(inner: K) -> Self {
        Self { inner, known: Arc::default() }
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
        let key = Key { principal: did.principal().into(), algorithm, purpose };
        let known = lock(&self.known).keys.get(&key).map(|entry| entry.verifier.clone());
        let inner = match known {
            Some(verifier) => verifier,
            None => self.inner.verifier(did, algorithm, purpose)?,
        };
        Ok(Arc::new(Remembering { key, inner, known: self.known.clone() }))
    }
}

/// Whose key it is, and what for. The key of a `did:key` is in the identifier, and its fragment says nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    principal: Box<str>,
    algorithm: SignatureAlgorithm,
    purpose: Purpose,
}

/// The keys that have verified something.
#[derive(Debug, Default)]
struct Known {
    keys: HashMap<Key, Entry>,
    /// Counts the times that a signature was good.
    time: u64,
}

#[derive(Debug)]
struct Entry {
    verifier: Arc<dyn Verifier>,
    /// The hashes of messages with their good signatures.
    good: HashSet<[u8; 32]>,
    /// When a signature was good last.
    used: u64,
}

/// A panic elsewhere cannot leave a key under the wrong name, or a hash with the wrong key.
fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// Whether a signature is known to be good.
    fn recall(&mut self, key: &Key, hash: &[u8; 32]) -> bool {
        self.time += 1;
        let entry = self.keys.get_mut(key).filter(|entry| entry.good.contains(hash));
        entry.map(|entry| entry.used = self.time).is_some()
    }

    /// Keeps a good signature, in the place of another one where there are too many.
    fn remember(&mut self, key: &Key, verifier: &Arc<dyn Verifier>, hash: [u8; 32]) {
        self.time += 1;
        if self.keys.len() >= KEYS && !self.keys.contains_key(key) {
            let oldest = self.keys.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.keys.remove(&oldest));
        }
        let new = || Entry { verifier: verifier.clone(), good: HashSet::new(), used: 0 };
        let entry = self.keys.entry(key.clone()).or_insert_with(new);
        entry.used = self.time;
        if entry.good.len() >= SIGNATURES {
            // Any will do: all of them are the same key's.
            let any = entry.good.iter().next().copied();
            any.and_then(|any| entry.good.take(&any));
        }
        entry.good.insert(hash);
    }
}

/// A verifier that asks first whether a signature has been found good before.
#[derive(Debug)]
struct Remembering {
    key: Key,
    inner: Arc<dyn Verifier>,
    known: Arc<Mutex<Known>>,
}

impl Verifier for Remembering {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm()
    }

    fn public_key(&self) -> &[u8] {
        self.inner.public_key()
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        // The length keeps the two parts apart.
        let hash = Sha256::new()
            .chain_update((message.len() as u64).to_be_bytes())
            .chain_update(message)
            .chain_update(signature)
            .finalize()
            .into();
        if lock(&self.known).recall(&self.key, &hash) {
            return Ok(());
        }
        self.inner.verify(message, signature)?;
        lock(&self.known).remember(&self.key, &self.inner, hash);
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

        fn public_key(&self) -> &[u8] {
            b""
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

    /// Verifies a signature, and says whether it was good and how many were asked about so far.
    fn check(keys: &CachedKeys<CountingSource>, did: &str, message: &[u8], signature: u8) -> (bool, usize) {
        let verifier = keys.verifier(&did.parse().unwrap(), SignatureAlgorithm::Ed25519, Purpose::Delegation).unwrap();
        let good = verifier.verify(message, &[signature]).is_ok();
        (good, keys.inner.0.0.load(Ordering::Relaxed))
    }

    #[test]
    fn what_nobody_signed_displaces_nothing() {
        let keys = CachedKeys::new(CountingSource(Arc::default()));
        assert_eq!(check(&keys, "did:key:a", b"m", 1), (true, 1));
        for stranger in 0..2 * KEYS {
            assert!(!check(&keys, &format!("did:key:b{stranger}"), b"m", 0).0);
            assert!(!check(&keys, &format!("did:key:a#{stranger}"), b"m", 0).0);
        }
        assert_eq!(lock(&keys.known).keys.len(), 1);
        assert_eq!(check(&keys, "did:key:a", b"m", 1), (true, 1 + 4 * KEYS));
        // A fragment is no other key.
        assert_eq!(check(&keys, "did:key:a#any", b"m", 1), (true, 1 + 4 * KEYS));
    }

    #[test]
    fn a_new_key_or_signature_takes_the_place_of_one_other() {
        let keys = CachedKeys::new(CountingSource(Arc::default()));
        check(&keys, "did:key:a", b"m", 1);
        for other in 0..KEYS + 10 {
            assert!(check(&keys, &format!("did:key:b{other}"), b"m", 1).0);
            check(&keys, "did:key:a", b"m", 1);
        }
        assert_eq!(lock(&keys.known).keys.len(), KEYS);
        let asked = 1 + KEYS + 10;
        assert_eq!(check(&keys, "did:key:a", b"m", 1), (true, asked), "it is used all the time");
        assert_eq!(check(&keys, "did:key:b500", b"m", 1), (true, asked), "the others stay, too");
        assert_eq!(check(&keys, "did:key:b0", b"m", 1), (true, asked + 1), "the oldest had to go");

        for message in 0..SIGNATURES + 10 {
            check(&keys, "did:key:a", &message.to_be_bytes(), 1);
        }
        let good = lock(&keys.known).keys.values().map(|entry| entry.good.len()).max();
        assert_eq!(good, Some(SIGNATURES));
    }
}
