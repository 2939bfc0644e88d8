//! Finding a chain among delegations.

use std::{
    cell::{Cell, OnceCell},
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
};

use super::{
    Authority, ChainErrorClass as Class, Context, LENGTH, NoChain, Request,
    checks::{self, Broken},
    validate::authority,
};
use crate::{Delegation, Did, Timestamp, policy::Budget};

/// How many signatures are verified in one search. Anybody can put any number of delegations into somebody's way.
const SIGNATURES: usize = 4096;

/// Finds the shortest chain among delegations that authorises a request.
///
/// The delegations may come in any order, and more than once; those that do not serve are passed over. Where one of several
/// can be taken, it is the one that lasts longest. A chain whose policies are all decided is preferred to any that still waits
/// for pending values, even to a shorter one.
///
/// Delegations are looked for from the invoker towards the subject, each principal once, so that cycles end and the work
/// grows with the number of delegations; chains are at most 64 long. What the issuer of a delegation or the subject has revoked is
/// passed over; where somebody between them has, chains through that principal are, and a detour that leads through one who was
/// reached already is not looked for. Only signatures that matter are verified, and
/// only the policies of what is properly signed are judged, within ten million steps for all of them together.
///
/// ```
/// use ucan_core::{Context, Delegation, DidKeys, Ipld, Issuer, Request, Timestamp, search};
/// use varsig::ed25519::SigningKey;
///
/// let [alice, bob, carol] = [1, 2, 3].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
/// let root = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse()?).sign(&alice)?;
/// let leaf = Delegation::builder(carol.did().clone(), None, "/".parse()?).sign(&bob)?;
///
/// let (command, args) = ("/msg/send".parse()?, Ipld::Map(Default::default()));
/// let request = Request { invoker: carol.did(), subject: alice.did(), command: &command, args: &args };
/// let ctx = Context::new(Timestamp::EPOCH, &DidKeys);
/// let authority = search(&request, &[leaf.clone(), root.clone()], &ctx)?;
/// assert_eq!(authority.proofs(), [*root.cid(), *leaf.cid()]);
///
/// let error = search(&request, &[leaf], &ctx).unwrap_err();
/// assert!(error.to_string().starts_with("no delegation of /msg/send on did:key:z6Mk"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// When there is none: what is missing, and which delegation would have come closest.
pub fn search(request: &Request<'_>, grants: &[Delegation], ctx: &Context<'_>) -> Result<Authority, NoChain> {
    let mut by_audience: BTreeMap<&str, Vec<&Delegation>> = BTreeMap::new();
    for grant in grants {
        by_audience.entry(grant.audience().principal()).or_default().push(grant);
    }
    let mut search = ProofSearch::new(*request, *ctx);
    while let Some(holder) = search.wanted() {
        let grants = by_audience.remove(holder).unwrap_or_default();
        search.supply(grants.into_iter().cloned());
    }
    search.outcome().map(|found| found.authority)
}

/// A chain that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it proves.
    pub authority: Authority,
    /// Its delegations, root first.
    pub proofs: Vec<Delegation>,
}

/// The search for a chain, wherever the delegations are kept: it says whose it wants to see next.
///
/// [`search`] and [`find`](super::find) are this search over a slice and over a store. It goes from the invoker towards the
/// subject, one principal at a time, shortest chains first:
///
/// ```
/// use ucan_core::{Context, Delegation, DidKeys, Ipld, Issuer, ProofSearch, Request, Timestamp};
/// use varsig::ed25519::SigningKey;
///
/// let [alice, bob] = [1, 2].map(|seed| Issuer::ed25519(SigningKey::from_seed(&[seed; 32])));
/// let root = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse()?).sign(&alice)?;
///
/// let (command, args) = ("/msg/send".parse()?, Ipld::Map(Default::default()));
/// let request = Request { invoker: bob.did(), subject: alice.did(), command: &command, args: &args };
/// let mut search = ProofSearch::new(request, Context::new(Timestamp::EPOCH, &DidKeys));
/// while let Some(holder) = search.wanted() {
///     // Whatever there is that was delegated to the holder, about the subject or by powerline.
///     assert_eq!(holder, bob.did().as_str());
///     search.supply([root.clone()]);
/// }
/// assert_eq!(search.outcome()?.proofs, [root]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ProofSearch<'a> {
    request: Request<'a>,
    ctx: Context<'a>,
    /// What the policies of all candidates may take together.
    budget: Budget,
    /// How many signatures may still be verified.
    signatures: Cell<usize>,
    candidates: Vec<Candidate>,
    /// The candidates that were delegated to a principal, the best first, once they were supplied.
    supplied: HashMap<Box<str>, Vec<usize>>,
    walk: Walk,
    wanted: Option<Box<str>>,
    found: Option<Vec<usize>>,
}

/// A delegation, and what has been found out about it.
#[derive(Debug)]
struct Candidate {
    grant: Delegation,
    standing: OnceCell<Result<bool, Broken>>,
}

/// One walk from the invoker towards the subject, breadth first.
#[derive(Debug)]
struct Walk {
    /// Whether candidates serve whose policies are undecided. A first walk does without them.
    undecided: bool,
    /// How each principal was reached: how far away it is, and by which delegation of its own.
    reached: HashMap<Box<str>, (usize, Option<usize>)>,
    queue: VecDeque<Box<str>>,
}

impl Walk {
    fn from(invoker: &str, undecided: bool) -> Self {
        let (reached, queue) = (HashMap::from([(invoker.into(), (0, None))]), VecDeque::from([invoker.into()]));
        Self { undecided, reached, queue }
    }
}

impl<'a> ProofSearch<'a> {
    /// Begins to look for what authorises a request.
    pub fn new(request: Request<'a>, ctx: Context<'a>) -> Self {
        let mut search = Self {
            request,
            ctx,
            budget: Budget::default(),
            signatures: Cell::new(SIGNATURES),
            candidates: Vec::new(),
            supplied: HashMap::new(),
            walk: Walk::from(request.invoker.principal(), false),
            wanted: None,
            found: None,
        };
        if request.invoker.same_principal(request.subject) {
            search.found = Some(Vec::new());
        } else {
            search.advance();
        }
        search
    }

    /// The principal whose delegations are wanted next: those to it that are about the subject of the request, and powerlines.
    /// None when the search is over.
    pub fn wanted(&self) -> Option<&str> {
        self.wanted.as_deref()
    }

    /// Gives the delegations that were [wanted](Self::wanted), in any order. Others do no harm.
    pub fn supply(&mut self, grants: impl IntoIterator<Item = Delegation>) {
        let Some(holder) = self.wanted.take() else {
            return;
        };
        let mut seen = HashMap::new();
        for grant in grants {
            if grant.audience().principal() == &*holder
                && let Entry::Vacant(place) = seen.entry(*grant.cid())
            {
                place.insert(self.candidates.len());
                self.candidates.push(Candidate { grant, standing: OnceCell::new() });
            }
        }
        let mut best: Vec<usize> = seen.into_values().collect();
        best.sort_by_key(|candidate| {
            let grant = &self.candidates[*candidate].grant;
            (Reverse(grant.expiration().unwrap_or(Timestamp::MAX)), *grant.cid())
        });
        self.supplied.insert(holder, best);
        self.advance();
    }

    /// What came of the search.
    ///
    /// # Errors
    ///
    /// When there is no chain among what was supplied: what is missing, and which delegation would have come closest.
    pub fn outcome(self) -> Result<Found, NoChain> {
        let Some(chain) = &self.found else {
            return Err(self.explain());
        };
        let candidates = chain.iter().map(|candidate| &self.candidates[*candidate]);
        let undecided = candidates.clone().any(|candidate| self.serves(candidate) == Ok(true));
        let proofs: Vec<Delegation> = candidates.map(|candidate| candidate.grant.clone()).collect();
        Ok(Found { authority: authority(&self.request, &proofs, undecided), proofs })
    }

    /// Whether a candidate's policy is undecided, if it serves; otherwise the rule that it breaks. Found out once.
    fn serves<'c>(&self, candidate: &'c Candidate) -> Result<bool, &'c Broken> {
        let find_out = || {
            let (grant, request, ctx) = (&candidate.grant, &self.request, &self.ctx);
            // The cheap checks come first. A policy comes last: it can take far longer than a signature, so that what nobody
            // has signed, or what has ended, must not take from the work that all policies share.
            checks::subject(grant, request)?;
            checks::command(grant, request)?;
            // Whoever else may revoke it depends on the chain.
            checks::revocation(grant, [grant.issuer(), request.subject], ctx)?;
            checks::time(grant, ctx)?;
            match self.signatures.get().checked_sub(1) {
                Some(left) => self.signatures.set(left),
                None => return Err((Class::LimitExceeded, format!("is one of more than {SIGNATURES}"))),
            }
            checks::signature(grant, ctx)?;
            checks::policy(grant, request, ctx, &self.budget)
        };
        candidate.standing.get_or_init(find_out).as_ref().copied()
    }

    /// Goes on until a chain is found, nobody is left, or somebody's delegations are wanted.
    fn advance(&mut self) {
        while let Some(holder) = self.walk.queue.pop_front() {
            let distance = self.walk.reached.get(&holder).map_or(0, |(distance, _)| *distance);
            if distance >= LENGTH {
                continue;
            }
            let Some(candidates) = self.supplied.remove(&holder) else {
                self.wanted = Some(holder.clone());
                self.walk.queue.push_front(holder);
                return;
            };
            self.found = self.pass_through(&holder, distance, &candidates);
            self.supplied.insert(holder, candidates);
            if self.found.is_some() {
                return;
            }
        }
        if !self.walk.undecided {
            self.walk = Walk::from(self.request.invoker.principal(), true);
            self.advance();
        }
    }

    /// Reaches whoever delegated to the holder; the chain, if the subject did.
    fn pass_through(&mut self, holder: &str, distance: usize, candidates: &[usize]) -> Option<Vec<usize>> {
        let subject = self.request.subject.principal();
        for &number in candidates {
            let candidate = &self.candidates[number];
            match self.serves(candidate) {
                Ok(undecided) if self.walk.undecided || !undecided => {}
                _ => continue,
            }
            let issuer = candidate.grant.issuer().principal();
            if issuer == subject && candidate.grant.subject().is_some() {
                return Some([number].into_iter().chain(self.way_to(holder)).collect());
            }
            if !self.walk.reached.contains_key(issuer) && !self.has_revoked(candidate.grant.issuer(), holder) {
                self.walk.reached.insert(issuer.into(), (distance + 1, Some(number)));
                self.walk.queue.push_back(issuer.into());
            }
        }
        None
    }

    /// Whether somebody has revoked a delegation on the way from the invoker to the holder.
    fn has_revoked(&self, by: &Did, holder: &str) -> bool {
        let revoked = |number: usize| checks::revocation(&self.candidates[number].grant, [by], &self.ctx).is_err();
        self.ctx.revoked.is_some() && self.way_to(holder).any(revoked)
    }

    /// The delegations on the way from a principal that was reached down to the invoker.
    fn way_to(&self, holder: &str) -> impl Iterator<Item = usize> {
        let step = |holder: &str| self.walk.reached.get(holder).and_then(|(_, by)| *by);
        std::iter::successors(step(holder), move |number| step(self.candidates[*number].grant.audience().principal()))
    }

    /// What is missing, when there is no chain.
    fn explain(&self) -> NoChain {
        let Request { invoker, subject, command, .. } = self.request;
        let reached = &self.walk.reached;
        let closest = self
            .candidates
            .iter()
            .filter_map(|candidate| self.serves(candidate).err().map(|broken| (candidate, broken)))
            .max_by_key(|(candidate, (class, _))| {
                let from_subject = candidate.grant.issuer().same_principal(subject);
                (nearness(*class), from_subject, Reverse(candidate.grant.cid()))
            });
        let missing = format!("no delegation of {command} on {subject} reaches {invoker}");
        if let Some((candidate, (class, detail))) = closest {
            let grant = &candidate.grant;
            return NoChain {
                closest: Some(Box::new((*grant.cid(), *class))),
                detail: format!(
                    "{missing}; the closest is {} from {} to {}, which {}",
                    grant.cid(),
                    grant.issuer(),
                    grant.audience(),
                    which(*class, detail, grant),
                ),
            };
        }
        // All that was reached serves, but leads to somebody who was given nothing.
        let farthest = reached.iter().max_by_key(|(holder, (distance, _))| (*distance, Reverse((*holder).clone())));
        let detail = if reached.contains_key(subject.principal()) {
            format!(
                "{missing}; {subject} passed it on by powerline only, and the first delegation has to name its subject"
            )
        } else {
            match farthest {
                Some((holder, (1.., _))) => {
                    format!("{missing}; it leads back to {holder}, to whom nobody here delegates it")
                }
                _ => format!("{missing}; nothing about it is delegated to {invoker} here"),
            }
        };
        NoChain { closest: None, detail }
    }
}

/// How near a delegation that breaks a rule comes to serving.
fn nearness(class: Class) -> u8 {
    match class {
        Class::InvalidSubject => 0,
        Class::InvalidCommand => 1,
        Class::InvalidSignature | Class::UnsupportedAlgorithm => 2,
        Class::MatchError => 3,
        Class::Revoked => 4,
        _ => 5,
    }
}

/// The broken rule as the end of a sentence.
fn which(class: Class, detail: &str, grant: &Delegation) -> String {
    match (class, grant.expiration(), grant.not_before()) {
        (Class::Expired, Some(expiration), _) => format!("expired at {expiration}"),
        (Class::TooEarly, _, Some(not_before)) => format!("is not valid before {not_before}"),
        (Class::Revoked, ..) => "has been revoked".to_owned(),
        (Class::InvalidCommand, ..) => format!("is for {} only", grant.command()),
        (Class::MatchError, ..) => format!("has a policy that refuses this: {detail}"),
        (Class::InvalidSignature | Class::UnsupportedAlgorithm, ..) => {
            format!("is not signed properly: {detail}")
        }
        _ => detail.to_owned(),
    }
}
