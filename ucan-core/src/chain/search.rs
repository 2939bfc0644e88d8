//! Finding a chain among delegations.

use std::{
    cell::OnceCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use super::{
    Authority, ChainErrorClass as Class, Context, LENGTH, NoChain, Request,
    checks::{self, Broken},
    validate::authority,
};
use crate::{Delegation, Timestamp, Token, policy::Budget};

/// Finds the shortest chain among delegations that authorises a request.
///
/// The delegations may come in any order, and more than once; those that do not serve are passed over. Where one of several
/// can be taken, it is the one that lasts longest. A chain whose policies are all decided is preferred to any that still waits
/// for pending values, even to a shorter one.
///
/// Delegations are looked for from the invoker towards the subject, each principal once, so that cycles end and the work
/// grows with the number of delegations; chains are at most 64 long. Only signatures that matter are verified, and
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
    if request.invoker.same_principal(request.subject) {
        return Ok(authority(request, [], false));
    }
    let mut seen = BTreeSet::new();
    let candidates: Vec<Candidate<'_>> = grants
        .iter()
        .filter(|grant| seen.insert(grant.cid()))
        .map(|grant| Candidate { grant, standing: OnceCell::new() })
        .collect();
    let mut by_audience: BTreeMap<&str, Vec<&Candidate<'_>>> = BTreeMap::new();
    for candidate in &candidates {
        by_audience.entry(candidate.grant.audience().principal()).or_default().push(candidate);
    }
    for grants in by_audience.values_mut() {
        grants.sort_by_key(|candidate| {
            (Reverse(candidate.grant.expiration().unwrap_or(Timestamp::MAX)), *candidate.grant.cid())
        });
    }
    let search = Search { request, ctx, budget: Budget::default(), by_audience };
    for undecided in [false, true] {
        if let Ok(proofs) = search.shortest(undecided) {
            let undecided = proofs.iter().any(|candidate| search.serves(candidate) == Ok(true));
            return Ok(authority(request, proofs.iter().map(|candidate| candidate.grant), undecided));
        }
    }
    Err(search.explain())
}

/// A delegation, and what has been found out about it.
struct Candidate<'a> {
    grant: &'a Delegation,
    standing: OnceCell<Result<bool, Broken>>,
}

struct Search<'a> {
    request: &'a Request<'a>,
    ctx: &'a Context<'a>,
    /// What the policies of all candidates may take together.
    budget: Budget,
    by_audience: BTreeMap<&'a str, Vec<&'a Candidate<'a>>>,
}

/// How a principal was reached from the invoker: how far away it is, and by which delegation of its own.
type Reached<'a> = BTreeMap<&'a str, (usize, Option<&'a Candidate<'a>>)>;

impl<'a> Search<'a> {
    /// Whether a candidate's policy is undecided, if it serves; otherwise the rule that it breaks. Found out once.
    fn serves<'c>(&self, candidate: &'c Candidate<'_>) -> Result<bool, &'c Broken> {
        let find_out = || {
            let (grant, request, ctx) = (candidate.grant, self.request, self.ctx);
            // The cheap checks come first. A policy comes last: it can take far longer than a signature, so that what nobody
            // has signed, or what has ended, must not take from the work that all policies share.
            checks::subject(grant, request)?;
            checks::command(grant, request)?;
            checks::revocation(grant, ctx)?;
            checks::time(grant, ctx)?;
            checks::signature(grant, ctx)?;
            checks::policy(grant, request, ctx, &self.budget)
        };
        candidate.standing.get_or_init(find_out).as_ref().copied()
    }

    /// The shortest chain, root first; otherwise everybody who was reached.
    fn shortest(&self, allow_undecided: bool) -> Result<Vec<&'a Candidate<'a>>, Reached<'a>> {
        let invoker = self.request.invoker.principal();
        let subject = self.request.subject.principal();
        let mut reached = Reached::from([(invoker, (0, None))]);
        let mut queue = VecDeque::from([invoker]);
        while let Some(holder) = queue.pop_front() {
            let distance = reached.get(holder).map_or(0, |(distance, _)| *distance);
            if distance >= LENGTH {
                continue;
            }
            for candidate in self.by_audience.get(holder).into_iter().flatten().copied() {
                match self.serves(candidate) {
                    Ok(undecided) if allow_undecided || !undecided => {}
                    _ => continue,
                }
                let issuer = candidate.grant.issuer().principal();
                if issuer == subject && candidate.grant.subject().is_some() {
                    let mut proofs = vec![candidate];
                    let mut at = holder;
                    while let Some((_, Some(next))) = reached.get(at) {
                        proofs.push(next);
                        at = next.grant.audience().principal();
                    }
                    return Ok(proofs);
                }
                reached.entry(issuer).or_insert_with(|| {
                    queue.push_back(issuer);
                    (distance + 1, Some(candidate))
                });
            }
        }
        Err(reached)
    }

    /// What is missing, when there is no chain.
    fn explain(&self) -> NoChain {
        let Request { invoker, subject, command, .. } = self.request;
        let reached = self.shortest(true).err().unwrap_or_default();
        let refused = reached.keys().filter_map(|holder| self.by_audience.get(holder)).flatten();
        let closest = refused
            .filter_map(|candidate| self.serves(candidate).err().map(|broken| (*candidate, broken)))
            .max_by_key(|(candidate, (class, _))| {
                let from_subject = candidate.grant.issuer().same_principal(subject);
                (nearness(*class), from_subject, Reverse(candidate.grant.cid()))
            });
        let missing = format!("no delegation of {command} on {subject} reaches {invoker}");
        if let Some((candidate, (class, detail))) = closest {
            let Candidate { grant, .. } = candidate;
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
        let farthest = reached.iter().max_by_key(|(holder, (distance, _))| (*distance, Reverse(**holder)));
        let detail = if reached.contains_key(subject.principal()) {
            format!(
                "{missing}; {subject} passed it on by powerline only, and the first delegation has to name its subject"
            )
        } else {
            match farthest {
                Some((holder, (1.., _))) => {
                    format!("{missing}; it leads back to {holder}, to whom nobody here delegates it")
                }
                _ => format!("{missing}; nothing here is delegated to {invoker}"),
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
