//! Keys that were fetched before they are needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use varsig::{PublicKey, SignatureAlgorithm, Verifier};

use super::{DidKeys, DidResolver, KeyError, KeySource, Purpose, any_of::AnyOf, did_keys};
use crate::Did;

/// How many principals are resolved at the same time.
const AT_ONCE: usize = 8;

type Keys = Result<Vec<PublicKey>, KeyError>;

/// Keys of the principals in some tokens, fetched before the tokens are validated: validation itself waits for nothing.
///
/// Principals that are their own key ([`DidKeys`]) are always known. Of all others, those are known that were asked for, as they were
/// written: `did:web:example.com#laptop` is another question than `did:web:example.com`, because a fragment names the one
/// verification method whose key counts.
///
/// What could not be fetched is kept as an error of its principal. It is reported when a signature of that principal is to be
/// checked, and by nothing else.
///
/// ```
/// # use std::{future::Future, pin::pin, task::{Context as Task, Poll, Waker}};
/// # fn wait<F: Future>(future: F) -> F::Output {
/// #     match pin!(future).poll(&mut Task::from_waker(Waker::noop())) {
/// #         Poll::Ready(output) => output,
/// #         Poll::Pending => unreachable!("nothing here waits"),
/// #     }
/// # }
/// use ucan_core::{Context, Delegation, Issuer, ResolvedKeys, Resolvers, Timestamp, Token};
/// use varsig::ed25519::SigningKey;
///
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let bob = Issuer::ed25519(SigningKey::from_seed(&[2; 32]));
/// let proofs = [Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse()?).sign(&alice)?];
///
/// // An application adds `.with("web", ..)` and others, and awaits this.
/// let resolvers = Resolvers::new();
/// let keys = ResolvedKeys::fetch(&resolvers, proofs.iter().map(|proof| (proof.issuer(), proof.purpose())));
/// # let keys = wait(keys);
/// let context = Context::new(Timestamp::EPOCH, &keys);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ResolvedKeys(BTreeMap<(Did, Purpose), Keys>);

impl ResolvedKeys {
    /// How many principals are resolved for one set of keys. More than a chain of proofs can have are not.
    pub const MAX_PRINCIPALS: usize = 128;

    /// How many keys of one algorithm a principal may have for a purpose. Every one of them may have to be tried.
    pub const MAX_KEYS: usize = 16;

    /// Resolves each distinct principal and purpose once, a few at the same time.
    ///
    /// How long that may take is the resolvers' affair; whoever wants a bound for all of it stops waiting.
    pub async fn fetch<'a>(
        resolver: &dyn DidResolver,
        principals: impl IntoIterator<Item = (&'a Did, Purpose)>,
    ) -> Self {
        let foreign = principals.into_iter().filter(|(did, _)| !DidKeys::knows(did.method()));
        let wanted: BTreeSet<(&Did, Purpose)> = foreign.collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let (wanted, surplus) = wanted.split_at(wanted.len().min(Self::MAX_PRINCIPALS));
        let mut known = BTreeMap::new();
        for group in wanted.chunks(AT_ONCE) {
            let resolve = |(did, purpose): &(&'a Did, Purpose)| resolver.resolve(did, *purpose);
            let answers = all(group.iter().map(resolve).collect()).await;
            known.extend(group.iter().map(|(did, purpose)| ((*did).clone(), *purpose)).zip(answers));
        }
        for (did, purpose) in surplus {
            let detail = format!("more than {} principals have to be resolved", Self::MAX_PRINCIPALS);
            known.insert(((*did).clone(), *purpose), Err(KeyError::Unresolved { did: (*did).clone(), detail }));
        }
        Self(known)
    }

    /// Adds the keys of a principal for a purpose, which were found in some other way.
    pub fn insert(&mut self, did: Did, purpose: Purpose, keys: Result<Vec<PublicKey>, KeyError>) {
        self.0.insert((did, purpose), keys);
    }

    /// The principals that could not be resolved, what for, and why.
    pub fn errors(&self) -> impl Iterator<Item = (&Did, Purpose, &KeyError)> {
        self.0.iter().filter_map(|((did, purpose), keys)| Some((did, *purpose, keys.as_ref().err()?)))
    }
}

impl KeySource for ResolvedKeys {
    fn verifier(
        &self,
        did: &Did,
        algorithm: SignatureAlgorithm,
        purpose: Purpose,
    ) -> Result<Arc<dyn Verifier>, KeyError> {
        if DidKeys::knows(did.method()) {
            return DidKeys.verifier(did, algorithm, purpose);
        }
        let unresolved = |detail: String| KeyError::Unresolved { did: did.clone(), detail };
        let known = self.0.get(&(did.clone(), purpose));
        let keys = known.ok_or_else(|| unresolved(format!("its keys for {purpose} were not fetched")))?;
        let keys = keys.as_ref().map_err(KeyError::clone)?;
        let mut keys: Vec<&PublicKey> = keys.iter().filter(|key| key.supports(algorithm)).collect();
        keys.sort();
        keys.dedup();
        if keys.len() > Self::MAX_KEYS {
            return Err(unresolved(format!("it has more than {} keys for {algorithm}", Self::MAX_KEYS)));
        }
        // A key that is none does not stand in the way of the others.
        let mut refused = KeyError::WrongAlgorithm { did: did.clone(), algorithm };
        let mut usable = Vec::new();
        for key in keys {
            match did_keys::verifier(did, key, algorithm) {
                Ok(verifier) => usable.push(verifier),
                Err(error) => refused = error,
            }
        }
        if usable.is_empty() { Err(refused) } else { Ok(AnyOf::verifier(algorithm, usable)) }
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Waits for all of a few futures.
async fn all<T>(mut futures: Vec<Boxed<'_, T>>) -> Vec<T> {
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|task| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(task)
            {
                *output = Some(ready);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
