//! Signatures that were verified before.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use sha2::{Digest, Sha256};
use varsig::{SignatureAlgorithm, Verifier};

use crate::{Cid, Did, KeyError, KeySource, Purpose, Token};

/// A memory of signatures that were found good: which token, and by which key.
///
/// A chain is validated every time that it is used; its signatures do not have to be computed again. A token's CID is the hash
/// of all its bytes, the signature and the issuer included, so that what is remembered under it is exactly what was checked. The
/// key of a `did:key` is in its name; of everybody else the key is compared as well, so that whoever has other keys next month
/// is checked anew.
///
/// The memory is bounded: the tokens that were used last are remembered, at least as many as its capacity and at most twice as
/// many, each taking some 100 bytes; and in the same way the keys of at most 2 x 1024 principals, which do not have to be
/// decoded again. Only what has been found good takes a place: what nobody has signed displaces nothing. Time, policies and
/// revocations are never remembered; a token that is found to be revoked is [forgotten](Self::forget).
///
/// ```
/// use ucan_core::{CachedKeys, Command, Delegation, DidKeys, Issuer, verify};
/// use varsig::ed25519::SigningKey;
///
/// let keys = CachedKeys::new(DidKeys);
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let delegation = Delegation::builder(alice.did().clone(), None, Command::top()).sign(&alice)?;
/// verify(&delegation, &keys)?;
/// assert!(keys.memo().recalls(&delegation));
/// keys.memo().forget(delegation.cid());
/// assert!(!keys.memo().recalls(&delegation));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SignatureMemo {
    tokens: Recent<[u8; 32], KeyId>,
    verifiers: Recent<Principal, Arc<dyn Verifier>>,
}

/// The hash of a key, for principals whose keys can change; zeros where the identifier is the key.
type KeyId = [u8; 32];

/// A principal, the algorithm that it signs with, and what for: another source of keys may give a key for one purpose only.
type Principal = (Box<str>, SignatureAlgorithm, Purpose);

/// How many principals' keys are remembered.
const KEYS: usize = 1024;

impl SignatureMemo {
    /// How many tokens are remembered unless somebody says otherwise.
    pub const CAPACITY: usize = 65_536;

    /// A memory of at least so many tokens.
    pub fn new(capacity: usize) -> Self {
        Self { tokens: Recent::new(capacity), verifiers: Recent::new(KEYS) }
    }

    /// Whether a token's signature is known to be good without looking for its issuer's key: the issuer is a `did:key`.
    pub fn recalls(&self, token: &dyn Token) -> bool {
        is_its_key(token.issuer()) && self.recalls_key(token, &[0; 32])
    }

    /// Whether a token's signature is known to be good by this key. Of a `did:key` there is only one, so that nobody looks at
    /// which was given.
    pub(crate) fn recalls_with(&self, token: &dyn Token, verifier: &dyn Verifier) -> bool {
        self.recalls_key(token, &key_id(token, verifier))
    }

    fn recalls_key(&self, token: &dyn Token, key: &KeyId) -> bool {
        let known = digest(token.envelope().cid()).and_then(|digest| self.tokens.get(&digest));
        known.as_ref() == Some(key)
    }

    /// Remembers that a key has made a token's signature.
    pub(crate) fn remember(&self, token: &dyn Token, verifier: &Arc<dyn Verifier>) {
        if let Some(digest) = digest(token.envelope().cid()) {
            self.tokens.insert(digest, key_id(token, &**verifier));
        }
        if is_its_key(token.issuer()) {
            let principal = (token.issuer().principal().into(), verifier.algorithm(), token.purpose());
            if self.verifiers.get(&principal).is_none() {
                self.verifiers.insert(principal, verifier.clone());
            }
        }
    }

    /// Forgets a token, by its CID: it has been revoked.
    pub fn forget(&self, cid: &Cid) {
        if let Some(digest) = digest(cid) {
            self.tokens.remove(&digest);
        }
    }
}

impl Default for SignatureMemo {
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}

impl fmt::Debug for SignatureMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureMemo").field("capacity", &self.tokens.capacity).finish_non_exhaustive()
    }
}

/// Whether a principal's key is in its identifier, and stays the same for ever.
fn is_its_key(did: &Did) -> bool {
    did.method() == "key"
}

fn key_id(token: &dyn Token, verifier: &dyn Verifier) -> KeyId {
    if is_its_key(token.issuer()) {
        return [0; 32];
    }
    // Algorithm and purpose are in the token.
    Sha256::digest(verifier.public_key()).into()
}

fn digest(cid: &Cid) -> Option<[u8; 32]> {
    cid.hash().digest().try_into().ok()
}

/// The entries that were used last: two halves, the older of which is dropped when the younger one is full.
struct Recent<K, V> {
    halves: RwLock<Halves<K, V>>,
    capacity: usize,
}

struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + std::hash::Hash, V: Clone> Recent<K, V> {
    fn new(capacity: usize) -> Self {
        Self { halves: RwLock::new(Halves { young: HashMap::new(), old: HashMap::new() }), capacity: capacity.max(1) }
    }

    /// The entries. A panic elsewhere cannot leave a value under the wrong key.
    fn read(&self) -> RwLockReadGuard<'_, Halves<K, V>> {
        self.halves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Halves<K, V>> {
        self.halves.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &K) -> Option<V> {
        let halves = self.read();
        if let Some(value) = halves.young.get(key) {
            return Some(value.clone());
        }
        if !halves.old.contains_key(key) {
            return None;
        }
        drop(halves);
        // What is used becomes young again.
        let mut halves = self.write();
        let (key, value) = halves.old.remove_entry(key)?;
        self.insert_into(&mut halves, key, value.clone());
        Some(value)
    }

    fn insert(&self, key: K, value: V) {
        let mut halves = self.write();
        halves.old.remove(&key);
        self.insert_into(&mut halves, key, value);
    }

    fn insert_into(&self, halves: &mut Halves<K, V>, key: K, value: V) {
        if halves.young.len() >= self.capacity && !halves.young.contains_key(&key) {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(key, value);
    }

    fn remove(&self, key: &K) {
        let mut halves = self.write();
        halves.young.remove(key);
        halves.old.remove(key);
    }
}

/// Another source of keys, with a [memory](SignatureMemo) of the signatures that its keys have made.
///
/// The memory can outlive the source, and serve several at once: keys that are fetched for every request anew still find what was
/// verified before, unless they have changed. All sources of one memory have to agree on which principals with a `did:key` there
/// are: what one of them let through is found by all.
///
/// ```
/// use std::sync::Arc;
/// use ucan_core::{CachedKeys, ResolvedKeys, SignatureMemo};
///
/// let memo = Arc::new(SignatureMemo::default());
/// // For each request, after `ResolvedKeys::fetch`:
/// let keys = CachedKeys::with_memo(ResolvedKeys::default(), memo.clone());
/// # let _ = keys;
/// ```
#[derive(Debug)]
pub struct CachedKeys<K> {
    inner: K,
    memo: Arc<SignatureMemo>,
}

impl<K: KeySource> CachedKeys<K> {
    /// Remembers what keys of `inner` have signed.
    pub fn new(inner: K) -> Self {
        Self { inner, memo: Arc::default() }
    }

    /// The same, with a memory that is there already, and may be shared with other sources.
    pub fn with_memo(inner: K, memo: impl Into<Arc<SignatureMemo>>) -> Self {
        Self { inner, memo: memo.into() }
    }

    /// What is remembered.
    pub fn memo(&self) -> &SignatureMemo {
        &self.memo
    }
}

impl<K: KeySource> KeySource for CachedKeys<K> {
    fn verifier(
        &self,
        did: &Did,
        algorithm: SignatureAlgorithm,
        purpose: Purpose,
    ) -> Result<Arc<dyn Verifier>, KeyError> {
        let known =
            is_its_key(did).then(|| self.memo.verifiers.get(&(did.principal().into(), algorithm, purpose))).flatten();
        known.map_or_else(|| self.inner.verifier(did, algorithm, purpose), Ok)
    }

    fn memo(&self) -> Option<&SignatureMemo> {
        Some(&self.memo)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use varsig::{VerifyError, ed25519::SigningKey};

    use super::*;
    use crate::{Command, Delegation, DidKeys, Issuer, verify};

    /// Keys of `did:key` principals that count how often they are used, and one key for everybody else, which can change.
    #[derive(Debug, Default)]
    struct Counting {
        checks: Arc<AtomicUsize>,
        lookups: AtomicUsize,
        others: RwLock<Option<varsig::ed25519::VerifyingKey>>,
    }

    #[derive(Debug)]
    struct Counted(Arc<dyn Verifier>, Arc<AtomicUsize>);

    impl Verifier for Counted {
        fn algorithm(&self) -> SignatureAlgorithm {
            self.0.algorithm()
        }

        fn public_key(&self) -> &[u8] {
            self.0.public_key()
        }

        fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.verify(message, signature)
        }
    }

    impl KeySource for Counting {
        fn verifier(
            &self,
            did: &Did,
            algorithm: SignatureAlgorithm,
            purpose: Purpose,
        ) -> Result<Arc<dyn Verifier>, KeyError> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            let other = (did.method() != "key").then(|| *self.others.read().unwrap()).flatten();
            let key = match other {
                Some(key) => Arc::new(key),
                None => DidKeys.verifier(did, algorithm, purpose)?,
            };
            Ok(Arc::new(Counted(key, self.checks.clone())))
        }
    }

    fn issuer(seed: u8) -> Issuer {
        Issuer::ed25519(SigningKey::from_seed(&[seed; 32]))
    }

    fn token(issuer: &Issuer, nonce: usize) -> Delegation {
        Delegation::builder(issuer.did().clone(), None, Command::top()).nonce(nonce.to_be_bytes()).sign(issuer).unwrap()
    }

    fn checks(keys: &CachedKeys<Counting>) -> usize {
        keys.inner.checks.load(Ordering::Relaxed)
    }

    #[test]
    fn a_good_signature_is_computed_once_and_a_bad_one_every_time() {
        let keys = CachedKeys::new(Counting::default());
        let good = token(&issuer(1), 0);
        for _ in 0..3 {
            assert!(verify(&good, &keys).is_ok());
        }
        assert_eq!(checks(&keys), 1);
        let forged = token(&Issuer::new(issuer(1).did().clone(), Arc::new(SigningKey::from_seed(&[9; 32]))), 1);
        for times in 2..4 {
            assert!(verify(&forged, &keys).is_err());
            assert_eq!(checks(&keys), times);
        }
        // The key is known, too: only what is new about a token is computed.
        let lookups = keys.inner.lookups.load(Ordering::Relaxed);
        assert!(verify(token(&issuer(1), 2), &keys).is_ok());
        assert_eq!(keys.inner.lookups.load(Ordering::Relaxed), lookups);
    }

    #[test]
    fn another_spelling_of_the_signature_is_another_token() {
        let keys = CachedKeys::new(DidKeys);
        let good = token(&issuer(1), 0);
        verify(&good, &keys).unwrap();
        let mut bytes = good.bytes().to_vec();
        bytes[10] ^= 1;
        let changed = Delegation::decode(bytes).unwrap();
        assert!(!keys.memo().recalls(&changed));
        assert!(verify(&changed, &keys).is_err());
    }

    #[test]
    fn whoever_has_another_key_is_checked_anew() {
        let keys = CachedKeys::new(Counting::default());
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        let set = |seed| *keys.inner.others.write().unwrap() = Some(key(seed).verifying_key());
        let web = Issuer::new("did:web:example.com".parse().unwrap(), Arc::new(key(1)));
        let signed = token(&web, 0);
        set(1);
        verify(&signed, &keys).unwrap();
        verify(&signed, &keys).unwrap();
        assert_eq!(checks(&keys), 1);
        set(2);
        assert!(verify(&signed, &keys).is_err());
        assert_eq!(checks(&keys), 2);
        set(1);
        verify(&signed, &keys).unwrap();
        assert_eq!(checks(&keys), 2);
    }

    #[test]
    fn a_memory_outlives_the_keys_of_one_request() {
        let (memo, counted) = (Arc::new(SignatureMemo::default()), Arc::new(AtomicUsize::new(0)));
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        let web = Issuer::new("did:web:example.com".parse().unwrap(), Arc::new(key(1)));
        let (signed, own) = (token(&web, 0), token(&issuer(3), 0));
        let request = |seed| {
            let others = RwLock::new(Some(key(seed).verifying_key()));
            let fresh = Counting { checks: counted.clone(), others, ..Counting::default() };
            CachedKeys::with_memo(fresh, memo.clone())
        };
        let checks = || counted.load(Ordering::Relaxed);
        verify(&signed, &request(1)).unwrap();
        verify(&own, &request(1)).unwrap();
        assert_eq!(checks(), 2);
        verify(&signed, &request(1)).unwrap();
        verify(&own, &request(1)).unwrap();
        assert_eq!(checks(), 2, "unchanged");
        assert!(verify(&signed, &request(2)).is_err());
        assert_eq!(checks(), 3, "changed");
        verify(&own, &request(2)).unwrap();
        assert_eq!(checks(), 3, "nobody changes the key of a `did:key`");
    }

    #[test]
    fn a_key_for_one_purpose_is_asked_for_again_for_another() {
        let keys = CachedKeys::new(Counting::default());
        let alice = issuer(1);
        verify(token(&alice, 0), &keys).unwrap();
        let lookups = || keys.inner.lookups.load(Ordering::Relaxed);
        let ask = |purpose| keys.verifier(alice.did(), SignatureAlgorithm::Ed25519, purpose).unwrap();
        let before = lookups();
        ask(Purpose::Delegation);
        assert_eq!(lookups(), before);
        ask(Purpose::Invocation);
        assert_eq!(lookups(), before + 1);
    }

    #[test]
    fn what_is_forgotten_is_checked_anew() {
        let keys = CachedKeys::new(Counting::default());
        let good = token(&issuer(1), 0);
        verify(&good, &keys).unwrap();
        keys.memo().forget(good.cid());
        verify(&good, &keys).unwrap();
        assert_eq!(checks(&keys), 2);
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let keys = CachedKeys::with_memo(Counting::default(), SignatureMemo::new(8));
        let alice = issuer(1);
        let used = token(&alice, 0);
        verify(&used, &keys).unwrap();
        for nonce in 1..100 {
            verify(token(&alice, nonce), &keys).unwrap();
            verify(&used, &keys).unwrap();
            let halves = keys.memo.tokens.read();
            assert!(halves.young.len() + halves.old.len() <= 16);
        }
        assert_eq!(checks(&keys), 100);
        verify(token(&alice, 1), &keys).unwrap();
        assert_eq!(checks(&keys), 101, "what was not used for long is checked again");
    }

    #[test]
    fn what_nobody_signed_displaces_nothing() {
        let keys = CachedKeys::with_memo(DidKeys, SignatureMemo::new(4));
        let good = token(&issuer(1), 0);
        verify(&good, &keys).unwrap();
        for nonce in 0..50 {
            let forged = Issuer::new(issuer(2).did().clone(), Arc::new(SigningKey::from_seed(&[9; 32])));
            assert!(verify(token(&forged, nonce), &keys).is_err());
        }
        assert!(keys.memo().recalls(&good));
    }
}
