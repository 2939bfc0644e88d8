//! Whether proofs, root first, authorise a request.

use std::ops::ControlFlow;

use super::{
    Authority, ChainError, ChainErrorClass as Class, Context, LENGTH, Request,
    checks::{self, Broken},
};
use crate::{Delegation, Timestamp, policy::Budget};

/// Checks that proofs, root first, authorise a request (UCAN Delegation 1.0, "Validation").
///
/// The first failure is reported, in this order: for each proof its signature, time, subject, place in the chain, command and
/// policy; then, when all that holds, revocations. More than 64 proofs are refused before any of them is looked at, and the ten
/// million steps that [policies](crate::Policy::evaluate) may take are for all of them together. The request's own signature and time are the business of whoever read it.
///
/// ```
/// use ucan_core::{Command, Context, Delegation, DidKeys, Ipld, Issuer, Request, Timestamp, validate};
/// use varsig::ed25519::SigningKey;
///
/// let alice = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
/// let bob = Issuer::ed25519(SigningKey::from_seed(&[2; 32]));
/// let grant = Delegation::builder(bob.did().clone(), Some(alice.did().clone()), "/msg".parse()?).sign(&alice)?;
///
/// let (command, args) = ("/msg/send".parse()?, Ipld::Map(Default::default()));
/// let request = Request { invoker: bob.did(), subject: alice.did(), command: &command, args: &args };
/// let ctx = Context::new(Timestamp::EPOCH, &DidKeys);
/// let authority = validate(&request, &[grant.clone()], &ctx)?;
/// assert_eq!(authority.proofs(), [*grant.cid()]);
/// assert_eq!(validate(&request, &[], &ctx).unwrap_err().class.name(), "InvalidClaim");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first rule that is broken, and by which proof.
pub fn validate(request: &Request<'_>, proofs: &[Delegation], ctx: &Context<'_>) -> Result<Authority, ChainError> {
    let mut report = Report::default();
    // Stopping early is the answer; the report says why.
    let _ = report.check(request, proofs, ctx);
    match report.errors.pop() {
        Some(error) => Err(error),
        None => Ok(authority(request, proofs, report.undecided)),
    }
}

/// Everything that is wrong with a chain, in the order in which [`validate`] looks; nothing when it would succeed.
pub fn diagnose(request: &Request<'_>, proofs: &[Delegation], ctx: &Context<'_>) -> Vec<ChainError> {
    let mut report = Report { all: true, ..Report::default() };
    let _ = report.check(request, proofs, ctx);
    report.errors
}

/// Checks that each proof, root first, passes on no wider command and no longer time than the one before it.
///
/// A valid chain need not be like this, because every proof limits the request by itself; those who want that nobody even
/// claims to pass on more than they have ask for it.
///
/// # Errors
///
/// The first proof that widens the one before it: [`InvalidCommand`](Class::InvalidCommand), or
/// [`Expired`](Class::Expired) where it would outlive it.
pub fn check_attenuation(proofs: &[Delegation]) -> Result<(), ChainError> {
    for (index, hop) in proofs.windows(2).enumerate() {
        let [wider, narrower] = hop else { continue };
        let proof = Some(index + 1);
        if !wider.command().covers(narrower.command()) {
            let detail = format!("{} is not within {}", narrower.command(), wider.command());
            return Err(ChainError::new(Class::InvalidCommand, proof, detail));
        }
        let end = |grant: &Delegation| grant.expiration().unwrap_or(Timestamp::MAX);
        if end(narrower) > end(wider) {
            let detail = format!("outlives the proof before it, which expires at {}", end(wider));
            return Err(ChainError::new(Class::Expired, proof, detail));
        }
    }
    Ok(())
}

pub(super) fn authority<'a>(
    request: &Request<'_>,
    proofs: impl IntoIterator<Item = &'a Delegation>,
    undecided: bool,
) -> Authority {
    let (mut cids, mut expiration) = (Vec::new(), None);
    for proof in proofs {
        cids.push(*proof.cid());
        expiration = proof.expiration().into_iter().chain(expiration).min();
    }
    Authority {
        invoker: request.invoker.clone(),
        subject: request.subject.clone(),
        command: request.command.clone(),
        proofs: cids,
        undecided,
        expiration,
    }
}

/// What was found while checking a chain.
#[derive(Default)]
struct Report {
    /// Whether to go on after the first failure.
    all: bool,
    errors: Vec<ChainError>,
    undecided: bool,
}

impl Report {
    fn note(&mut self, proof: Option<usize>, result: Result<(), Broken>) -> ControlFlow<()> {
        let Err((class, detail)) = result else {
            return ControlFlow::Continue(());
        };
        self.errors.push(ChainError { class, proof, detail });
        if self.all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn check(&mut self, request: &Request<'_>, proofs: &[Delegation], ctx: &Context<'_>) -> ControlFlow<()> {
        if proofs.len() > LENGTH {
            let detail = format!("{} proofs are given, more than {LENGTH}", proofs.len());
            let _ = self.note(None, Err((Class::LimitExceeded, detail)));
            return ControlFlow::Break(());
        }
        if proofs.is_empty() && !request.invoker.same_principal(request.subject) {
            let detail = format!("{} gives no proof that it may act on {}", request.invoker, request.subject);
            self.note(None, Err((Class::InvalidClaim, detail)))?;
        }
        let budget = Budget::default();
        for (index, proof) in proofs.iter().enumerate() {
            let place = Some(index);
            self.note(place, checks::signature(proof, ctx))?;
            self.note(place, checks::time(proof, ctx))?;
            self.note(place, root_has_subject(proof, index))?;
            self.note(place, checks::subject(proof, request))?;
            self.note(place, alignment(request, proofs, index))?;
            self.note(place, checks::command(proof, request))?;
            match checks::policy(proof, request, ctx, &budget) {
                Ok(undecided) => self.undecided |= undecided,
                Err(broken) => self.note(place, Err(broken))?,
            }
        }
        if self.errors.is_empty() {
            for (index, proof) in proofs.iter().enumerate() {
                self.note(Some(index), checks::revocation(proof, ctx))?;
            }
        }
        ControlFlow::Continue(())
    }
}

fn root_has_subject(proof: &Delegation, index: usize) -> Result<(), Broken> {
    if index == 0 && proof.subject().is_none() {
        let detail = "a powerline (null subject) cannot be the root: it passes on the subject of the proof before it";
        return Err((Class::InvalidClaim, detail.to_owned()));
    }
    Ok(())
}

/// Whether a proof was issued by whom it should have been, and the last one to the invoker.
fn alignment(request: &Request<'_>, proofs: &[Delegation], index: usize) -> Result<(), Broken> {
    let issuer_expected = |index: usize| match index.checked_sub(1).and_then(|before| proofs.get(before)) {
        Some(before) => before.audience(),
        None => request.subject,
    };
    let Some(proof) = proofs.get(index) else {
        return Ok(());
    };
    let expected = issuer_expected(index);
    let detail = if !proof.issuer().same_principal(expected) {
        let whose = if index == 0 { "the subject" } else { "the audience of the proof before it" };
        format!("is issued by {}, not by {whose}, {expected}", proof.issuer())
    } else if index + 1 == proofs.len() && !proof.audience().same_principal(request.invoker) {
        format!("delegates to {}, not to the invoker, {}", proof.audience(), request.invoker)
    } else {
        return Ok(());
    };
    let hint = if lines_up(request, proofs.iter().rev()) {
        "; the proofs are in reverse order, the root has to come first"
    } else {
        ""
    };
    Err((Class::InvalidAudience, format!("{detail}{hint}")))
}

/// Whether proofs lead from the subject to the invoker.
fn lines_up<'a>(request: &Request<'_>, proofs: impl Iterator<Item = &'a Delegation>) -> bool {
    let mut holder = request.subject;
    for proof in proofs {
        if !proof.issuer().same_principal(holder) {
            return false;
        }
        holder = proof.audience();
    }
    holder.same_principal(request.invoker)
}
