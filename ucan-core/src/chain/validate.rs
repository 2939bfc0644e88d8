//! Whether proofs, root first, authorise a request.

use std::ops::ControlFlow;

use super::{
    Authority, ChainError, ChainErrorClass as Class, CheckOutcome, Context, LENGTH, Request, Rule,
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
    Report::of(request, proofs, ctx, None).errors
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
pub(super) struct Report {
    /// Whether to go on after the first failure.
    all: bool,
    pub(super) errors: Vec<ChainError>,
    pub(super) undecided: bool,
    /// Every rule that was applied, to which proof, and what came of it: for those who want to know.
    pub(super) trail: Option<Trail>,
}

type Trail = Vec<(Option<usize>, Rule, CheckOutcome)>;

impl Report {
    /// All that can be said of a chain.
    pub(super) fn of(request: &Request<'_>, proofs: &[Delegation], ctx: &Context<'_>, trail: Option<Trail>) -> Self {
        let mut report = Self { all: true, trail, ..Self::default() };
        let _ = report.check(request, proofs, ctx);
        report
    }

    /// Keeps what came of a rule: whether it is kept, or undecided.
    fn note(&mut self, proof: usize, rule: Rule, result: Result<bool, Broken>) -> ControlFlow<()> {
        let failed = result.map_err(|(class, detail)| ChainError { class, proof: Some(proof), detail });
        if let Some(trail) = &mut self.trail {
            let outcome = match &failed {
                Ok(false) => CheckOutcome::Passed,
                Ok(true) => CheckOutcome::Undecided,
                Err(error) => CheckOutcome::Failed(error.clone()),
            };
            trail.push((Some(proof), rule, outcome));
        }
        match failed {
            Ok(undecided) => {
                self.undecided |= undecided;
                ControlFlow::Continue(())
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: ChainError) -> ControlFlow<()> {
        self.errors.push(error);
        if self.all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn check(&mut self, request: &Request<'_>, proofs: &[Delegation], ctx: &Context<'_>) -> ControlFlow<()> {
        if proofs.len() > LENGTH {
            let detail = format!("{} proofs are given, more than {LENGTH}", proofs.len());
            let _ = self.fail(ChainError::new(Class::LimitExceeded, None, detail));
            return ControlFlow::Break(());
        }
        if proofs.is_empty() && !request.invoker.same_principal(request.subject) {
            let detail = format!("{} gives no proof that it may act on {}", request.invoker, request.subject);
            self.fail(ChainError::new(Class::InvalidClaim, None, detail))?;
        }
        let budget = Budget::default();
        let decided = |result: Result<(), Broken>| result.map(|()| false);
        for (index, proof) in proofs.iter().enumerate() {
            self.note(index, Rule::Signature, decided(checks::signature(proof, ctx)))?;
            self.note(index, Rule::Time, decided(checks::time(proof, ctx)))?;
            if index == 0 {
                self.note(index, Rule::Root, decided(root_has_subject(proof)))?;
            }
            self.note(index, Rule::Subject, decided(checks::subject(proof, request)))?;
            self.note(index, Rule::Principals, decided(alignment(request, proofs, index)))?;
            self.note(index, Rule::Command, decided(checks::command(proof, request)))?;
            self.note(index, Rule::Policy, checks::policy(proof, request, ctx, &budget))?;
        }
        if self.errors.is_empty() {
            for (index, proof) in proofs.iter().enumerate() {
                let issuers = proofs.iter().take(index + 1).map(|above| above.issuer());
                self.note(index, Rule::Revocation, decided(checks::revocation(proof, issuers, ctx)))?;
            }
        }
        ControlFlow::Continue(())
    }
}

fn root_has_subject(root: &Delegation) -> Result<(), Broken> {
    if root.subject().is_none() {
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
