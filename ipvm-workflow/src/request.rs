//! What somebody asks of an executor: that it run a workflow, and what the run may use.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use ucan_core::{Cid, Command, Delegation, Did, Ipld, StoreError, Timestamp, Token};
use ucan_invocation::{Authorized, Invocation, Revoked, Task, TaskId, authorize};

use crate::charge::Account;
use crate::engine::Shared;
use crate::handover::Handed;
use crate::limits::Limits;
use crate::{RUN_COMMAND, RunError, Workflow};

/// A request to run a workflow: the signed invocation of [`RUN_COMMAND`], and the delegations that it names.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The invocation.
    pub invocation: Invocation,
    /// Its proofs, and the delegations that it grants to the workflow.
    pub delegations: Vec<Delegation>,
}

impl RunRequest {
    /// The arguments of an invocation of [`RUN_COMMAND`].
    #[must_use]
    pub fn args(workflow: &Workflow, grants: &[Delegation], own: &[Command]) -> BTreeMap<String, Ipld> {
        Self::arguments(workflow.cid(), grants.iter().map(|grant| *grant.cid()), own)
    }

    pub(crate) fn arguments(
        workflow: &Cid,
        grants: impl Iterator<Item = Cid>,
        own: &[Command],
    ) -> BTreeMap<String, Ipld> {
        let grants = grants.map(Ipld::Link).collect();
        let own = own.iter().map(|command| Ipld::String(command.to_string())).collect();
        [
            ("workflow".to_owned(), Ipld::Link(*workflow)),
            ("prf".to_owned(), Ipld::List(grants)),
            ("self".to_owned(), Ipld::List(own)),
        ]
        .into()
    }

    /// The same arguments, naming the channel that pays for the run.
    #[must_use]
    pub fn paid_by(mut args: BTreeMap<String, Ipld>, channel: Cid) -> BTreeMap<String, Ipld> {
        args.insert("chan".to_owned(), Ipld::Link(channel));
        args
    }
}

/// What a run may use.
#[derive(Debug)]
pub(crate) struct Grants {
    /// The executor whom the invoker asked: this one, unless the run was handed over.
    pub(crate) home: Did,
    pub(crate) invoker: Did,
    pub(crate) delegations: Vec<Delegation>,
    pub(crate) own: Vec<Command>,
    /// The channel that the request names.
    pub(crate) channel: Option<Cid>,
    pub(crate) account: Account,
    pub(crate) limits: Limits,
    /// Who had revoked any of the delegations at a revision of the store of revocations.
    revoked: Mutex<Option<(u64, Arc<Revoked>)>>,
}

impl Grants {
    /// Whether the task is about somebody else, or something of the invoker's own that the request lends. A chain of delegations says
    /// nothing of that: over their own, the invoker needs none.
    pub(crate) fn lend(&self, task: &Task) -> bool {
        !task.subject().same_principal(&self.invoker) || self.own.iter().any(|lent| lent.covers(task.command()))
    }
}

/// A request to run that was checked in full.
pub(crate) struct Request {
    pub(crate) run: TaskId,
    pub(crate) workflow: Cid,
    pub(crate) grants: Grants,
    pub(crate) invocation: Invocation,
    /// Whether the run was accepted, and was cancelled or is being undone since: it is only to come to its end.
    pub(crate) ends: bool,
    /// The tokens that the request rests on: its proofs, and what it grants.
    pub(crate) tokens: Vec<Delegation>,
}

impl Shared {
    /// Who has revoked any of the grants by now, and the revision of the store that says so.
    pub(crate) async fn revoked_of(&self, grants: &Grants) -> Result<(Option<u64>, Arc<Revoked>), StoreError> {
        let known = || grants.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the answer is asked for, so that it is never taken for newer than it is.
        let revision = self.parts.revocations.revision();
        if let Some((_, revoked)) = known().as_ref().filter(|(of, _)| Some(*of) == revision) {
            return Ok((revision, revoked.clone()));
        }
        let revoked = Arc::new(self.revoked(&grants.delegations).await?);
        *known() = revision.map(|revision| (revision, revoked.clone()));
        Ok((revision, revoked))
    }

    /// Checks what somebody asks of the executor `home`, about itself: now, or at the time `until` where that has passed.
    pub(crate) async fn authorize_request(
        &self,
        invocation: Invocation,
        delegations: &[Delegation],
        until: Option<Timestamp>,
        home: &Did,
    ) -> Result<Authorized, RunError> {
        let revoked = self.revoked(delegations).await?;
        let at_hand: HashMap<&Cid, &Delegation> = delegations.iter().map(|token| (token.cid(), token)).collect();
        let is_revoked = revoked.as_fn();
        let mut context = self.context(&is_revoked);
        context.now = until.map_or(context.now, |end| context.now.min(end));
        let find = |cid: &Cid| at_hand.get(cid).map(|token| (*token).clone());
        let authorized = authorize(invocation, home, &find, &context)?;
        let subject = authorized.invocation().subject();
        if !subject.same_principal(home) {
            // Anybody may do anything with a subject of their own: only what the executor itself allowed counts here.
            return Err(RunError::Malformed(format!("it is about {subject}, not about {home}")));
        }
        Ok(authorized)
    }

    /// Checks a request to run; where the run was handed over, one that its first executor accepted.
    pub(crate) async fn check_request(
        &self,
        request: RunRequest,
        handed: Option<&Handed>,
    ) -> Result<Request, RunError> {
        let RunRequest { invocation, delegations } = request;
        let home = handed.map_or(self.parts.executor.did(), |handed| &handed.home);
        let run = invocation.task().id()?;
        if let Some(handed) = handed
            && handed.checkpoint.run != run
        {
            return Err(RunError::Malformed(format!("what was handed over is the run {}", handed.checkpoint.run)));
        }
        let open = self.parts.journal.open(&run).await?;
        // What was accepted can be brought to its end, whatever has expired or was revoked since.
        let ends = open.is_some_and(|open| open.cancelled && open.request == invocation.id().into());
        let invocation = if ends {
            invocation
        } else {
            // The expiry of a request gates its acceptance only: what was begun can be gone on with.
            let until = invocation.expiration().filter(|_| handed.is_some() || open.is_some());
            self.authorize_request(invocation, &delegations, until, home).await?.invocation().clone()
        };
        let at_hand: HashMap<&Cid, &Delegation> = delegations.iter().map(|token| (token.cid(), token)).collect();
        let find = |cid: &Cid| at_hand.get(cid).map(|token| (*token).clone());
        let Arguments { workflow, named, own, channel } = run_arguments(&invocation)?;
        let granted =
            named.iter().map(|cid| find(cid).ok_or(RunError::UnavailableGrant(*cid))).collect::<Result<Vec<_>, _>>()?;
        let tokens = invocation.proofs().iter().filter_map(find).chain(granted.iter().cloned()).collect();
        let (home, invoker) = (home.clone(), invocation.issuer().clone());
        let (account, limits, revoked) = (Account::default(), Limits::default(), Mutex::default());
        let grants = Grants { home, invoker, delegations: granted, own, channel, account, limits, revoked };
        Ok(Request { run, workflow, grants, invocation, ends, tokens })
    }
}

/// What the arguments of a request name: the workflow, the grants, the commands on the invoker's own resources, and the
/// channel that pays.
pub(crate) struct Arguments {
    pub(crate) workflow: Cid,
    pub(crate) named: Vec<Cid>,
    pub(crate) own: Vec<Command>,
    pub(crate) channel: Option<Cid>,
}

fn run_arguments(invocation: &Invocation) -> Result<Arguments, RunError> {
    if invocation.command().as_str() != RUN_COMMAND {
        return Err(RunError::Malformed(format!("it invokes {}, not {RUN_COMMAND}", invocation.command())));
    }
    let args = invocation.args();
    if let Some(key) = args.keys().find(|key| !matches!(key.as_str(), "workflow" | "prf" | "self" | "chan")) {
        return Err(RunError::Malformed(format!("unknown argument {key:?}")));
    }
    pinned(args)
}

/// What arguments name that say what is to be run.
pub(crate) fn pinned(args: &BTreeMap<String, Ipld>) -> Result<Arguments, RunError> {
    let malformed = |what: &str| RunError::Malformed(what.to_owned());
    let Some(Ipld::Link(workflow)) = args.get("workflow") else {
        return Err(malformed("the argument \"workflow\" is to be a link"));
    };
    let list = |key: &str| match args.get(key) {
        None => Ok(&[] as &[Ipld]),
        Some(Ipld::List(items)) => Ok(items.as_slice()),
        Some(_) => Err(RunError::Malformed(format!("the argument {key:?} is to be a list"))),
    };
    let mut seen = BTreeSet::new();
    let grants = list("prf")?
        .iter()
        .filter(|item| !matches!(item, Ipld::Link(cid) if !seen.insert(*cid)))
        .map(|item| match item {
            Ipld::Link(cid) => Ok(*cid),
            _ => Err(malformed("the argument \"prf\" is to be a list of links")),
        })
        .collect::<Result<_, _>>()?;
    let own = list("self")?
        .iter()
        .map(|item| match item {
            Ipld::String(command) => Command::parse(command).map_err(|error| RunError::Malformed(error.to_string())),
            _ => Err(malformed("the argument \"self\" is to be a list of commands")),
        })
        .collect::<Result<_, _>>()?;
    let channel = match args.get("chan") {
        None => None,
        Some(Ipld::Link(channel)) => Some(*channel),
        Some(_) => return Err(malformed("the argument \"chan\" is to be a link")),
    };
    Ok(Arguments { workflow: *workflow, named: grants, own, channel })
}
