//! What an executor signs when it hands a run over, and what is known of a run by it.

use std::collections::BTreeMap;

use ucan_core::car::{CarError, CarLimits};
use ucan_core::{
    Cid, Command, CommandError, Context, Did, Ipld, SignError, StoreError, Timestamp, Token, TokenError, block, dagcbor,
};
use ucan_invocation::{Invocation, InvocationError, ReceiptId, TaskError, TaskId, authorize};

use crate::RunError;
use crate::engine::Shared;

/// The command by which an executor has another go on with a run. Its arguments are `{checkpoint: &Checkpoint}`.
pub const RESUME_COMMAND: &str = "/ipvm/resume";

/// The one key of the block of a checkpoint.
const TAG: &str = "ipvm/checkpoint@1.0.0";

/// How often a run can be handed over.
const MOST: usize = 256;

/// How far a run had come when it was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) run: TaskId,
    /// The invocation that asks for the run.
    pub(crate) request: Cid,
    /// The receipts of its tasks.
    pub(crate) receipts: Vec<ReceiptId>,
    /// Tasks that alter the world, were begun, and have no receipt.
    pub(crate) begun: Vec<TaskId>,
    /// The invocation by which whoever hands it over had it from another.
    pub(crate) before: Option<Cid>,
    /// When the run was started first.
    pub(crate) started: Option<Timestamp>,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, dagcbor::EncodeError> {
        let links = |cids: &mut dyn Iterator<Item = Cid>| Ipld::List(cids.map(Ipld::Link).collect());
        let mut fields = BTreeMap::from([
            ("run".to_owned(), Ipld::Link(self.run.into())),
            ("request".to_owned(), Ipld::Link(self.request)),
            ("receipts".to_owned(), links(&mut self.receipts.iter().map(|id| (*id).into()))),
            ("begun".to_owned(), links(&mut self.begun.iter().map(|id| (*id).into()))),
        ]);
        fields.extend(self.before.map(|before| ("before".to_owned(), Ipld::Link(before))));
        fields.extend(self.started.map(|at| ("started".to_owned(), Ipld::Integer(at.as_secs().into()))));
        dagcbor::encode(&Ipld::Map([(TAG.to_owned(), Ipld::Map(fields))].into()))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let Ipld::Map(map) = dagcbor::decode(bytes).ok()? else { return None };
        let (_, Ipld::Map(fields)) = map.first_key_value().filter(|(tag, _)| *tag == TAG && map.len() == 1)? else {
            return None;
        };
        let link = |value: &Ipld| match value {
            Ipld::Link(cid) => Some(*cid),
            _ => None,
        };
        let links = |key: &str| match fields.get(key)? {
            Ipld::List(items) => items.iter().map(link).collect::<Option<Vec<Cid>>>(),
            _ => None,
        };
        let before = fields.get("before");
        let time = |value: &Ipld| match value {
            Ipld::Integer(at) => u64::try_from(*at).ok().and_then(Timestamp::from_secs),
            _ => None,
        };
        let checkpoint = Self {
            run: TaskId::new(link(fields.get("run")?)?),
            request: link(fields.get("request")?)?,
            receipts: links("receipts")?.into_iter().map(ReceiptId::new).collect(),
            begun: links("begun")?.into_iter().map(TaskId::new).collect(),
            before: before.and_then(link),
            started: fields.get("started").and_then(time),
        };
        let known = 4 + usize::from(checkpoint.before.is_some()) + usize::from(checkpoint.started.is_some());
        (fields.len() == known).then_some(checkpoint)
    }
}

/// A run that another executor handed over to this one, which was checked as far as signatures go.
#[derive(Debug)]
pub(crate) struct Handed {
    /// The executor whom the invoker asked.
    pub(crate) home: Did,
    /// The task of the handover.
    pub(crate) task: TaskId,
    pub(crate) checkpoint: Checkpoint,
    /// The handovers before.
    pub(crate) before: Vec<Cid>,
}

/// Why a run cannot be handed over, or taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The archive cannot be read.
    #[error("the archive cannot be read: {0}")]
    Archive(#[from] CarError),
    /// The archive has no root, or several: it is not one that hands a run over.
    #[error("the archive has {0} roots, and one that hands a run over has one")]
    Roots(usize),
    /// The archive would take more bytes, or have more blocks, than can be read again.
    #[error("the archive would be too large: the limits are {} bytes and {} blocks", .0.bytes, .0.blocks)]
    TooLarge(CarLimits),
    /// The invocation that hands it over is refused.
    #[error("the handover {cid} is refused: {error}")]
    Invocation {
        /// The invocation.
        cid: Cid,
        /// Why.
        error: Box<InvocationError>,
    },
    /// A block is missing.
    #[error("the block {0} is missing")]
    Missing(Cid),
    /// A block that is to be an invocation is none.
    #[error("the block {cid} is not an invocation: {error}")]
    Token {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        error: TokenError,
    },
    /// What is to be a handover asks for something else.
    #[error("{0} does not hand a run over by {RESUME_COMMAND}")]
    NotAHandover(Cid),
    /// The block that a handover names is no checkpoint.
    #[error("the block {0} is not a checkpoint of a run")]
    NotACheckpoint(Cid),
    /// Those who had the run before do not fit together: one of them handed over another run.
    #[error("the handover {0}, which is before this one, is of another run")]
    Broken(Cid),
    /// The run was handed over too often.
    #[error("the run was handed over more than {MOST} times")]
    TooOften,
    /// A receipt in the archive is none, or its signature does not hold.
    #[error("the receipt {receipt} does not hold: {problem}")]
    Receipt {
        /// The receipt.
        receipt: ReceiptId,
        /// What is wrong with it.
        problem: String,
    },
    /// The checkpoint says of a task that it was begun which is no mutation of the workflow.
    #[error("the task {0} is said to have been begun, and is no mutation of the workflow")]
    NotBegun(TaskId),
    /// The run was taken over by this handover before, and is over or was handed on.
    #[error("the run {0} was taken over by this handover before, and is over or was handed on")]
    TakenBefore(TaskId),
    /// A task is for another executor, who is asked under delegations to the one that has the run.
    #[error(
        "task {label:?} is for {to}, who is asked under delegations to the executor that has the run: it stays where it is"
    )]
    Elsewhere {
        /// The task.
        label: String,
        /// Whom it is for.
        to: Did,
    },
    /// The run was handed on, and not by this handover it comes back from who has it since.
    #[error("the run {run} was handed on by {handover}, and whoever hands it over now does not have it by that")]
    HandedOn {
        /// The run.
        run: TaskId,
        /// The handover by which it was handed on.
        handover: Cid,
    },
    /// The run was cancelled, or has failed and is being undone: what undoes it is done where it ran.
    #[error("the run {0} was cancelled or has failed; what it did is undone here")]
    Cancelled(TaskId),
    /// The run was handed over to somebody else before.
    #[error("the run {run} was handed over to {to} before")]
    HandedToOther {
        /// The run.
        run: TaskId,
        /// Who has it.
        to: Did,
    },
    /// The run cannot be gone on with here, or could not be gone on with there.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The command could not be written.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A task could not be addressed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The handover could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The checkpoint could not be written.
    #[error(transparent)]
    Encode(#[from] dagcbor::EncodeError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Shared {
    /// Checks the handover of a run to this executor, and all those before it, whose blocks are in the store. Whether it
    /// has expired counts where it is `new`: what was begun can be gone on with.
    pub(crate) async fn handed(&self, handover: &Cid, new: bool) -> Result<Handed, HandoverError> {
        let (task, checkpoint, mut from) = self.statement(handover, self.parts.executor.did(), new).await?;
        let (mut next, mut before) = (checkpoint.before, Vec::new());
        while let Some(cid) = next {
            if before.len() + 1 >= MOST {
                return Err(HandoverError::TooOften);
            }
            let (_, earlier, giver) = self.statement(&cid, &from, false).await?;
            if (earlier.run, earlier.request) != (checkpoint.run, checkpoint.request) {
                return Err(HandoverError::Broken(cid));
            }
            before.push(cid);
            (next, from) = (earlier.before, giver);
        }
        Ok(Handed { home: from, task, checkpoint, before })
    }

    /// What one handover to `to` states: its task, how far the run had come, and who hands it over.
    async fn statement(&self, cid: &Cid, to: &Did, new: bool) -> Result<(TaskId, Checkpoint, Did), HandoverError> {
        let cid = *cid;
        let token = Invocation::decode(self.part(&cid).await?);
        let token = token.map_err(|error| HandoverError::Token { cid, error })?;
        let mut context = Context::new(self.parts.clock.now(), &*self.parts.keys);
        if !new {
            context.now = token.expiration().map_or(context.now, |end| context.now.min(end));
        }
        // Without proofs, only whoever has the run can hand it over.
        let authorized = authorize(token, to, &|_| None, &context);
        let authorized = authorized.map_err(|error| HandoverError::Invocation { cid, error: Box::new(error) })?;
        let invocation = authorized.invocation();
        let checkpoint = match invocation.args().get("checkpoint") {
            Some(Ipld::Link(checkpoint)) if invocation.args().len() == 1 => *checkpoint,
            _ => return Err(HandoverError::NotAHandover(cid)),
        };
        if invocation.command().as_str() != RESUME_COMMAND {
            return Err(HandoverError::NotAHandover(cid));
        }
        let stated = Checkpoint::decode(&self.part(&checkpoint).await?);
        let stated = stated.ok_or(HandoverError::NotACheckpoint(checkpoint))?;
        Ok((invocation.task().id()?, stated, invocation.subject().clone()))
    }

    /// A block that has to be there.
    pub(crate) async fn part(&self, cid: &Cid) -> Result<Vec<u8>, HandoverError> {
        Ok(self.parts.blocks.get(cid).await?.ok_or(HandoverError::Missing(*cid))?.to_vec())
    }

    /// Signs the handover of a run to `to`, and keeps it with its checkpoint.
    pub(crate) async fn hand_over(&self, checkpoint: &Checkpoint, to: &Did) -> Result<Cid, HandoverError> {
        let bytes = checkpoint.encode()?;
        let cid = block::dag_cbor_cid(&bytes);
        let (own, blocks) = (&self.parts.executor, &self.parts.blocks);
        let args = [("checkpoint".to_owned(), Ipld::Link(cid))].into();
        let mut nonce = [0; 12];
        self.parts.entropy.fill(&mut nonce);
        let handover = Invocation::builder(own.did().clone(), Command::parse(RESUME_COMMAND)?, args)
            .audience(to.clone())
            .nonce(nonce.to_vec())
            .issued_at(self.parts.clock.now())
            .sign(own)?;
        blocks.put(&cid, bytes.into()).await?;
        let token = handover.envelope();
        blocks.put(token.cid(), token.bytes().to_vec().into()).await?;
        Ok(*token.cid())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ucan_core::block;

    use super::*;

    fn cid() -> impl Strategy<Value = Cid> {
        any::<[u8; 4]>().prop_map(|bytes| block::raw_cid(&bytes))
    }

    proptest! {
        #[test]
        fn checkpoints_survive_encoding(
            (run, request) in (cid(), cid()),
            receipts in prop::collection::vec(cid(), 0..4),
            begun in prop::collection::vec(cid(), 0..4),
            before in prop::option::of(cid()),
            started in prop::option::of(0_u64..1 << 53),
        ) {
            let checkpoint = Checkpoint {
                run: TaskId::new(run),
                request,
                receipts: receipts.into_iter().map(ReceiptId::new).collect(),
                begun: begun.into_iter().map(TaskId::new).collect(),
                before,
                started: started.and_then(Timestamp::from_secs),
            };
            let bytes = checkpoint.encode()?;
            prop_assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
            prop_assert_eq!(Checkpoint::decode(&bytes[1..]), None);
        }

        #[test]
        fn whatever_else_is_refused_and_harms_nobody(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Checkpoint::decode(&bytes), None);
        }
    }

    #[test]
    fn nothing_is_in_a_checkpoint_that_is_not_read() {
        let fields = |more: &[(&str, Ipld)]| {
            let link = Ipld::Link(block::raw_cid(b"it"));
            let known = [("run", link.clone()), ("request", link)];
            let lists = [("receipts", Ipld::List(vec![])), ("begun", Ipld::List(vec![]))];
            let all = known.into_iter().chain(lists).chain(more.iter().cloned());
            let map = all.map(|(key, value)| (key.to_owned(), value)).collect();
            dagcbor::encode(&Ipld::Map([(TAG.to_owned(), Ipld::Map(map))].into())).unwrap()
        };
        assert!(Checkpoint::decode(&fields(&[])).is_some());
        for more in [
            ("cancelled", Ipld::Bool(true)),
            ("before", Ipld::Null),
            ("begun", Ipld::Null),
            ("started", Ipld::Integer(-1)),
        ] {
            assert_eq!(Checkpoint::decode(&fields(&[more])), None);
        }
    }
}
