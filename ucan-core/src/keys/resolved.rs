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
/// They are the keys as they were when they were fetched, for ever: a principal that has replaced a stolen key, or revoked it, is
/// not heard of any more. Make a new one for every validation; [`CachedResolver`](super::CachedResolver) keeps answers for a
/// while and no longer, and [`CachedKeys`](crate::CachedKeys) can hand the memory of signatures on to the next one.
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
    /// How many questions are asked for one set of keys: distinct identifiers, as they were written, each with one purpose.
    /// `did:web:a` for delegations, `did:web:a` for invocations and `did:web:a#k` for delegations are three. Principals that are
    /// their own key take no place.
    pub const MAX_PRINCIPALS: usize = 128;

    /// How many keys of one algorithm a principal may have for a purpose. Every one of them may have to be tried.
    pub const MAX_KEYS: usize = 16;

    /// Asks for each distinct identifier and purpose once, for all that are about one principal together, and about a few
    /// principals at the same time.
    ///
    /// The questions are taken in the order in which they come, until there are [`MAX_PRINCIPALS`](Self::MAX_PRINCIPALS); the
    /// others are errors. Put first what matters most: the proofs of a chain before what else was sent along.
    ///
    /// How long that may take is the resolvers' affair; whoever wants a bound for all of it stops waiting.
    pub async fn fetch<'a>(
        resolver: &dyn DidResolver,
        principals: impl IntoIterator<Item = (&'a Did, Purpose)>,
    ) -> Self {
        let mut seen = BTreeSet::new();
        let foreign = principals.into_iter().filter(|(did, _)| !DidKeys::knows(did));
        let wanted: Vec<(&Did, Purpose)> = foreign.filter(|question| seen.insert(*question)).collect();
        let (wanted, surplus) = wanted.split_at(wanted.len().min(Self::MAX_PRINCIPALS));
        let mut known = BTreeMap::new();
        for groups in by_principal(wanted).chunks(AT_ONCE) {
            let answers = all(groups.iter().map(|group| resolver.resolve_all(group)).collect()).await;
            for (group, answers) in groups.iter().zip(answers) {
                let mut answers = answers.into_iter();
                for (did, purpose) in group {
                    let keys = answers.next().unwrap_or_else(|| Err(KeyError::unanswered(did)));
                    known.insert(((*did).clone(), *purpose), keys);
                }
            }
        }
        for (did, purpose) in surplus {
            let detail = format!("more than {} keys are asked for", Self::MAX_PRINCIPALS);
            known.insert(((*did).clone(), *purpose), Err(KeyError::Unresolved { did: (*did).clone(), detail }));
        }
        Self(known)
    }

    /// Adds the keys of a principal for a purpose, which were found in some other way.
    ///
    /// Those of principals that are their own key, `did:key:..` and `did:pkh:eip155:..`, are never looked at.
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
        if DidKeys::knows(did) {
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

/// Questions in groups about one principal each, in the order in which the principals come first.
fn by_principal<'a>(questions: &[(&'a Did, Purpose)]) -> Vec<Vec<(&'a Did, Purpose)>> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<Vec<(&Did, Purpose)>> = Vec::new();
    for (did, purpose) in questions {
        let place = *places.entry(did.principal()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push((did, *purpose)),
            None => groups.push(vec![(did, *purpose)]),
        }
    }
    groups
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
