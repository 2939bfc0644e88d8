use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use ucan_core::{
    ChainError, Cid, Context, Delegation, Did, Ipld, Request, SignatureError, StoreError, TimeError, Timestamp, Token,
    in_time, validate, verify,
};

use crate::memory::lock;
use crate::{Invocation, InvocationId};

/// The command of every revocation.
pub const REVOKE_COMMAND: &str = "/ucan/revoke";

/// How many delegations a path may have: as many as a chain of proofs.
const PATH: usize = 64;

/// A statement that a delegation no longer counts, checked in full (UCAN Revocation 1.0).
///
/// On the wire it is an invocation of `/ucan/revoke` on the subject of the delegation, with arguments
/// `{revoke: &Delegation, path?: [&Delegation]}`. Only [`Revocation::check`] makes it. It is for ever: a delegation that was revoked by
/// mistake is issued anew, with another nonce.
///
/// It counts in chains in which the revoker issued the delegation or one above it, and in no others: that somebody can name a
/// delegation gives them no power over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    id: InvocationId,
    names: Vec<Cid>,
    by: Did,
    until: Option<Timestamp>,
}

impl Revocation {
    /// The arguments of an invocation of [`REVOKE_COMMAND`] that revokes a delegation, on its subject. The `path` leads from a
    /// delegation that the subject issued to the one that is revoked, which ends it; it is needed when the revoker is not the
    /// subject. The nonce of the invocation stays empty: to revoke twice is to revoke once.
    #[must_use]
    pub fn args(delegation: &Cid, path: &[Delegation]) -> BTreeMap<String, Ipld> {
        let mut args = BTreeMap::from([("revoke".to_owned(), Ipld::Link(*delegation))]);
        if !path.is_empty() {
            let path = path.iter().map(|hop| Ipld::Link(*hop.cid())).collect();
            args.insert("path".to_owned(), Ipld::List(path));
        }
        args
    }

    /// Checks a revocation: its signature, its time, and that its issuer may revoke what it names.
    ///
    /// The issuer may do so
    /// - as the subject, whom every chain begins with;
    /// - as the issuer of a delegation on the `path`, which leads from the subject to the revoked one, at or above it;
    /// - by proofs: a chain of delegations of `/ucan/revoke` from the subject.
    ///
    /// `find` gives delegations by their CID: those of the path, the proofs and the revoked one. The last may be missing when the
    /// subject revokes; then it is revoked under this CID alone, and where its algorithm lets a signature be spelled in another
    /// way, whoever holds it can give it another CID. To whom the invocation is addressed makes no difference.
    ///
    /// # Errors
    /// [`RevocationError`] with the first thing that is wrong.
    pub fn check(
        invocation: Invocation,
        find: &dyn Fn(&Cid) -> Option<Delegation>,
        context: &Context<'_>,
    ) -> Result<Self, RevocationError> {
        if invocation.command().as_str() != REVOKE_COMMAND {
            return Err(RevocationError::NotARevocation);
        }
        let (revoked, path) = arguments(invocation.args())?;
        let invocation = verify(invocation, context.keys)?;
        in_time(None, invocation.expiration(), context.now, context.skew)?;
        let (issuer, subject) = (invocation.issuer(), invocation.subject());
        let available = |cid: &Cid| find(cid).ok_or(RevocationError::Unavailable { delegation: *cid });
        if !invocation.proofs().is_empty() {
            let proofs = invocation.proofs().iter().map(available).collect::<Result<Vec<_>, _>>()?;
            let args = invocation.task().args_value();
            let request = Request { invoker: issuer, subject, command: invocation.command(), args };
            let _authority = validate(&request, &proofs, context)?;
        } else if !issuer.same_principal(subject) {
            let path = path.iter().map(available).collect::<Result<Vec<_>, _>>()?;
            witness(issuer, subject, &revoked, &path, context)?;
        }
        // Proofs lend the authority of the subject.
        let by = if invocation.proofs().is_empty() { issuer } else { subject };
        let delegation = find(&revoked).filter(|found| *found.cid() == revoked);
        let signed = delegation.iter().map(|it| it.envelope().signed_cid());
        Ok(Self {
            id: invocation.id(),
            names: [revoked].into_iter().chain(signed).collect(),
            by: by.clone(),
            until: delegation.and_then(|it| it.expiration()),
        })
    }

    /// The invocation that it came by.
    #[must_use]
    pub fn id(&self) -> &InvocationId {
        &self.id
    }

    /// The names under which the delegation is revoked: its CID, and that of its signed part where that is known.
    #[must_use]
    pub fn names(&self) -> &[Cid] {
        &self.names
    }

    /// On whose authority: a principal who issued the delegation or one above it.
    #[must_use]
    pub fn by(&self) -> &Did {
        &self.by
    }

    /// When the delegation ends by itself, so that the revocation need not be kept any longer; none when it never does, or
    /// that is not known.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }
}

fn arguments(args: &BTreeMap<String, Ipld>) -> Result<(Cid, Vec<Cid>), RevocationError> {
    if let Some(key) = args.keys().find(|key| !matches!(key.as_str(), "revoke" | "path")) {
        return Err(RevocationError::UnknownArgument(key.clone()));
    }
    let Some(Ipld::Link(revoked)) = args.get("revoke") else { return Err(RevocationError::Argument("revoke")) };
    let path = match args.get("path") {
        None => Vec::new(),
        Some(Ipld::List(path)) if path.len() <= PATH => path
            .iter()
            .map(|hop| if let Ipld::Link(cid) = hop { Ok(*cid) } else { Err(RevocationError::Argument("path")) })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(RevocationError::Argument("path")),
    };
    Ok((*revoked, path))
}

/// Whether a path leads from the subject to what is revoked, and the revoker issued a delegation on it. That one of them has ended makes
/// no difference: nothing is granted by it.
fn witness(
    revoker: &Did,
    subject: &Did,
    revoked: &Cid,
    path: &[Delegation],
    context: &Context<'_>,
) -> Result<(), RevocationError> {
    let no_standing = |reason: &'static str| RevocationError::NoStanding { revoker: revoker.clone(), reason };
    let end = path.iter().position(|hop| hop.cid() == revoked);
    let path = end.and_then(|end| path.get(..=end)).ok_or_else(|| no_standing("no path to the delegation is given"))?;
    if !path.iter().any(|hop| hop.issuer().same_principal(revoker)) {
        return Err(no_standing("they issued none of the delegations on the path"));
    }
    let mut holder = subject;
    for (index, hop) in path.iter().enumerate() {
        let about = hop.subject().map_or(index > 0, |about| about.same_principal(subject));
        if !about || !hop.issuer().same_principal(holder) {
            return Err(no_standing("the path does not lead from the subject to the delegation"));
        }
        verify(hop, context.keys)?;
        holder = hop.audience();
    }
    Ok(())
}

/// Who has revoked which delegations: the answer of a [`RevocationStore`], for [`Context::revoked`].
///
/// ```
/// use ucan_core::{Context, Delegation, DidKeys, Issuer, Timestamp};
/// use ucan_invocation::{MemoryRevocations, RevocationStore, Revoked};
/// use varsig::ed25519::SigningKey;
///
/// # pollster::block_on(async {
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let proofs = [Delegation::builder(alice.did().clone(), None, "/msg".parse()?).sign(&alice)?];
/// let store = MemoryRevocations::default();
///
/// let revoked = Revoked::among(&store, &proofs).await?;
/// let by = revoked.as_fn();
/// let mut context = Context::new(Timestamp::EPOCH, &DidKeys);
/// context.revoked = Some(&by);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(HashMap<Cid, Vec<Did>>);

impl Revoked {
    /// Asks a store about delegations, each under both of its names.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read: then nothing may be taken for valid.
    pub async fn among<'a>(
        store: &dyn RevocationStore,
        delegations: impl IntoIterator<Item = &'a Delegation>,
    ) -> Result<Self, StoreError> {
        let names = delegations.into_iter().flat_map(|it| [*it.cid(), it.envelope().signed_cid()]);
        store.revoked(&names.collect::<Vec<_>>()).await
    }

    /// Whether a principal has revoked what has this CID.
    #[must_use]
    pub fn by(&self, cid: &Cid, principal: &Did) -> bool {
        self.0.get(cid).is_some_and(|by| by.iter().any(|by| by.same_principal(principal)))
    }

    /// The question that [`Context::revoked`] asks.
    pub fn as_fn(&self) -> impl Fn(&Cid, &Did) -> bool + Sync + '_ {
        |cid, principal| self.by(cid, principal)
    }

    /// Notes that a principal has revoked what has this CID.
    pub fn insert(&mut self, cid: Cid, by: Did) {
        self.0.entry(cid).or_default().push(by);
    }
}

/// Revocations.
///
/// # Contract
/// The set only grows, but for what is [evicted](RevocationStore::evict): nothing takes a revocation back. Once
/// [`keep`](RevocationStore::keep) has returned, every later answer has the revocation in it, after a crash as well.
#[async_trait]
pub trait RevocationStore: fmt::Debug + Send + Sync {
    /// Keeps a revocation under all its names. Keeping it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written.
    async fn keep(&self, revocation: &Revocation) -> Result<(), StoreError>;

    /// Who has revoked what has one of these CIDs.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    async fn revoked(&self, cids: &[Cid]) -> Result<Revoked, StoreError>;

    /// A number that is another one once [`keep`](RevocationStore::keep) has returned, so that an answer of
    /// [`revoked`](RevocationStore::revoked) that was asked for after it was read still holds while it is the same. `None` where the store
    /// cannot tell, because others alter it: then it is asked again each time.
    fn revision(&self) -> Option<u64> {
        None
    }

    /// Forgets revocations of what ended by itself before `before`, and says how many. Whoever calls it leaves room for
    /// clocks that differ.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written.
    async fn evict(&self, before: Timestamp) -> Result<usize, StoreError>;
}

/// Revocations in memory.
#[derive(Debug, Default)]
pub struct MemoryRevocations {
    kept: Mutex<HashMap<Cid, Revokers>>,
    revision: AtomicU64,
}

/// Who has revoked something, and when it ends by itself.
type Revokers = Vec<(Did, Option<Timestamp>)>;

#[async_trait]
impl RevocationStore for MemoryRevocations {
    async fn keep(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let mut kept = lock(&self.kept);
        for name in revocation.names() {
            let by = kept.entry(*name).or_default();
            match by.iter_mut().find(|(by, _)| by.same_principal(revocation.by())) {
                // The later end is the safe one.
                Some((_, until)) => *until = until.zip(revocation.until()).map(|(a, b)| a.max(b)),
                None => by.push((revocation.by().clone(), revocation.until())),
            }
        }
        self.revision.fetch_add(1, Ordering::Release);
        Ok(())
    }

    async fn revoked(&self, cids: &[Cid]) -> Result<Revoked, StoreError> {
        let kept = lock(&self.kept);
        let found = cids.iter().filter_map(|cid| Some((*cid, kept.get(cid)?)));
        Ok(Revoked(found.map(|(cid, by)| (cid, by.iter().map(|(by, _)| by.clone()).collect())).collect()))
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision.load(Ordering::Acquire))
    }

    async fn evict(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut kept = lock(&self.kept);
        let mut evicted = 0;
        for by in kept.values_mut() {
            by.retain(|(_, until)| {
                let stays = until.is_none_or(|until| until >= before);
                evicted += usize::from(!stays);
                stays
            });
        }
        kept.retain(|_, by| !by.is_empty());
        Ok(evicted)
    }
}

/// Why a revocation is not accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// It is an invocation of something else.
    #[error("not a revocation: those invoke /ucan/revoke")]
    NotARevocation,
    /// An argument is missing or malformed.
    #[error(
        "the revocation's argument {0:?} is missing or malformed: `revoke` is a link, `path` a list of at most {PATH} links"
    )]
    Argument(&'static str),
    /// An argument that revocations do not have.
    #[error("the revocation has an unknown argument {0:?}")]
    UnknownArgument(String),
    /// The signature of the revocation, or of a delegation on its path, does not hold.
    #[error("a signature does not hold: {0}")]
    Signature(#[from] SignatureError),
    /// It is no longer valid.
    #[error("the revocation is not valid now: {0}")]
    Time(#[from] TimeError),
    /// A delegation on the path, or a proof, is not at hand.
    #[error("the delegation {delegation} that the revocation names is not available")]
    Unavailable {
        /// What is missing.
        delegation: Cid,
    },
    /// The proofs do not let its issuer revoke for the subject.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The revoker has no part in what they revoke.
    #[error("{revoker} may not revoke this: {reason}")]
    NoStanding {
        /// Who issued the revocation.
        revoker: Did,
        /// What is missing.
        reason: &'static str,
    },
}

impl RevocationError {
    /// The name of the error in error receipts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotARevocation | Self::Argument(_) | Self::UnknownArgument(_) => "MalformedRevocation",
            Self::Signature(error) => error.name(),
            Self::Time(error) => error.name(),
            Self::Unavailable { .. } => "UnavailableProof",
            Self::Chain(error) => error.class.name(),
            Self::NoStanding { .. } => "InvalidClaim",
        }
    }
}
