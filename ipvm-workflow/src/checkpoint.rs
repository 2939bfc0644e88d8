//! Runs that go on elsewhere: what an executor needs of another to go on with a run, in one archive.

use std::collections::{BTreeMap, BTreeSet};

use ucan_core::car::{self, CarLimits};
use ucan_core::{Cid, Did, Ipld, Token, block, dagcbor, verify};
use ucan_invocation::{
    Durability, EffectClass, Filing, Invocation, Outcome, Receipt, ReceiptId, ReceiptStore, Task, TaskId, links,
};

use crate::catch::is_instead;
use crate::continuation::Walk;
use crate::handover::{Checkpoint, Handed, HandoverError};
use crate::request::Grants;
use crate::resolve::resolve;
use crate::{Engine, Entry, Plan, RunError, RunRequest, Step, stating};

/// How large an archive can be.
fn limits() -> CarLimits {
    let mut limits = CarLimits::default();
    (limits.bytes, limits.blocks) = (1 << 30, 1 << 20);
    limits
}

impl Engine {
    /// Hands a run that is not over, and not under way, over to the executor `to`, and gives the archive by which that one
    /// [takes it over](Engine::take_over): a CARv1 whose root is the signed handover, with the request, the workflow, the receipts so
    /// far, and the blocks that its tasks link to. From then on nothing of the run is started here. Asking again, for the same `to`,
    /// gives the same handover.
    ///
    /// A run that is under way is [paused](crate::Control::pause) first; this waits for it.
    ///
    /// # Errors
    /// [`HandoverError`] where the run is not open, could not be gone on with here either, or the store fails.
    pub async fn checkpoint(&self, run: &TaskId, to: &Did) -> Result<Vec<u8>, HandoverError> {
        let (shared, journal) = (&self.shared, &self.parts().journal);
        let _alone = shared.flights.enter(*run.cid()).await;
        let Some(open) = journal.open(run).await? else {
            let handover = journal.handed_over(run).await?.ok_or(RunError::NotOpen(*run))?;
            let taker = self.invocation(&handover).await?.executor().clone();
            return match taker.same_principal(to) {
                true => self.archive(&handover).await,
                false => Err(HandoverError::HandedToOther { run: *run, to: taker }),
            };
        };
        if open.cancelled {
            return Err(HandoverError::Cancelled(*run));
        }
        let request = self.request(run).await?;
        let handed = shared.taken(&request.invocation).await?;
        let request = shared.check_request(request, handed.as_ref()).await?;
        let plan = shared.prepare(&request).await?.plan;
        stays(&plan)?;
        let (mut receipts, mut outcomes, mut walk) = (Vec::new(), BTreeMap::new(), Walk::bounded());
        // One can be that of several tasks, and of several labels.
        let mut listed = BTreeSet::new();
        let classes: BTreeMap<TaskId, &Step> = plan.steps().iter().map(|step| (step.id, step)).collect();
        let awaited = plan.awaited_elsewhere().into_iter().map(|(_, task)| task);
        for task in plan.steps().iter().map(|step| step.id).chain(awaited) {
            if let Some(receipt) = shared.receipt_of(&task).await? {
                receipts.extend(Some(receipt.id()).filter(|id| listed.insert(*id)));
                outcomes.insert(task, receipt.outcome().clone());
                classes.get(&task).iter().for_each(|step| walk.add_step(&step.label, step.class, &receipt));
            }
        }
        let mut begun = Vec::new();
        for task in mutations(&plan, &outcomes, &|_| true).into_iter().filter(|task| !outcomes.contains_key(task)) {
            if journal.intended(&task).await? {
                begun.push(task);
            }
        }
        while let Some(asked) = walk.next() {
            let home = &request.grants.home;
            let class = shared.class_of_asked(home, &asked.task).await?;
            match shared.receipt_of(&asked.task).await? {
                Some(receipt) => {
                    class.iter().for_each(|class| walk.add_asked(&asked, *class, &receipt));
                    receipts.extend(Some(receipt.id()).filter(|id| listed.insert(*id)));
                }
                None if !begun.contains(&asked.task) && journal.intended(&asked.task).await? => begun.push(asked.task),
                None => {}
            }
        }
        let (request, before, started) = (open.request, open.handover, open.at);
        let checkpoint = Checkpoint { run: *run, request, receipts, begun, before, started };
        let handover = shared.hand_over(&checkpoint, to).await?;
        journal.append(&Entry::HandedOver { run: *run, handover }).await?;
        self.archive(&handover).await
    }

    /// Takes over the run that an archive of [`Engine::checkpoint`] hands over to this executor; [`Engine::resume`] goes on with it.
    /// Its tasks stay the tasks that they were. Receipts in the archive are reused as far as the [trust](crate::Trust) of this engine
    /// allows: what is not believed is computed again, and where it alters the world, it is uncertain whether it was done.
    ///
    /// # Errors
    /// [`HandoverError`] where the archive or anything in it does not hold, or the run could not be gone on with here: then nothing
    /// was written but blocks.
    pub async fn take_over(&self, archive: &[u8]) -> Result<TaskId, HandoverError> {
        let (shared, parts) = (&self.shared, self.parts());
        let archive = car::read(archive, &limits())?;
        let [root] = archive.roots() else { return Err(HandoverError::Roots(archive.roots().len())) };
        for (cid, bytes) in archive.blocks() {
            parts.blocks.put(cid, bytes.to_vec().into()).await?;
        }
        let handed = shared.handed(root, true).await?;
        let Handed { checkpoint, task, .. } = &handed;
        let run = checkpoint.run;
        let _alone = shared.flights.enter(*run.cid()).await;
        let open = parts.journal.open(&run).await?;
        let goes_on = open.is_some_and(|open| open.handover == Some(*root));
        if parts.journal.intended(task).await? {
            // What was handed on since must not come back by the same way.
            return if goes_on { Ok(run) } else { Err(HandoverError::TakenBefore(run)) };
        }
        if let Some(receipt) = shared.receipt_of(&run).await? {
            return Err(RunError::AlreadyRun { receipt: receipt.id() }.into());
        }
        if open.is_some() && !goes_on {
            return Err(HandoverError::TakenBefore(run));
        }
        if !goes_on
            && let Some(handover) = parts.journal.handed_over(&run).await?
            && !handed.before.contains(&handover)
        {
            return Err(HandoverError::HandedOn { run, handover });
        }
        let (invocation, delegations) = self.kept(&checkpoint.request).await?;
        let request = RunRequest { invocation, delegations };
        let request = shared.check_request(request, Some(&handed)).await?;
        // What its tasks await from elsewhere is among the receipts, which are not filed yet.
        let plan =
            shared.plan(run, &shared.workflow(&request.workflow).await?, &handed.home).map_err(RunError::from)?;
        stays(&plan)?;
        shared.check_secrets(&plan)?;
        // What is written down of a task as begun is a matter of all who may have it done.
        shared.check_authority(&plan, &request.grants).await?;
        let begun = self.take_receipts(checkpoint, &plan, &request.grants).await?;
        for task in begun {
            parts.journal.append(&Entry::Intent { run, task }).await?;
        }
        // Nobody has started it later than now, whatever their clocks say.
        let now = parts.clock.now();
        let at = Some(checkpoint.started.map_or(now, |started| started.min(now)));
        let (workflow, request) = (request.workflow, checkpoint.request);
        let started = Entry::Started { run, workflow, request, handover: Some(*root), at };
        parts.journal.append(&started).await?;
        shared.note_taken(&handed).await?;
        Ok(run)
    }

    /// Files the receipts of a checkpoint under the tasks of the plan, once all of it holds. What comes back was begun, and may have
    /// been done.
    async fn take_receipts(
        &self,
        checkpoint: &Checkpoint,
        plan: &Plan,
        grants: &Grants,
    ) -> Result<BTreeSet<TaskId>, HandoverError> {
        let revoked = self.shared.revoked(&grants.delegations).await?;
        let allowed = |task: &Task| self.shared.authority(task, grants, &revoked).is_ok();
        let mut classes: BTreeMap<TaskId, EffectClass> =
            plan.steps().iter().map(|step| (step.id, step.class)).collect();
        let asked = self.asked_for(checkpoint, plan, &grants.home).await?;
        classes.extend(asked.iter().filter(|(task, _)| !classes.contains_key(task)).collect::<Vec<_>>());
        let elsewhere: BTreeSet<TaskId> = plan.awaited_elsewhere().into_iter().map(|(_, task)| task).collect();
        let (mut begun, mut outcomes, mut filings) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let listed: BTreeSet<&ReceiptId> = checkpoint.receipts.iter().collect();
        for id in listed {
            let bad = |problem: String| HandoverError::Receipt { receipt: *id, problem };
            let receipt = Receipt::decode(self.shared.part(&(*id).into()).await?);
            let receipt = receipt.map_err(|error| bad(error.to_string()))?;
            let receipt = verify(receipt, &*self.parts().keys).map_err(|error| bad(error.to_string()))?;
            let class = classes.get(receipt.ran());
            if class.is_none() && !elsewhere.contains(receipt.ran()) || receipt.is_attempt() || is_instead(&receipt) {
                return Err(bad("it states no outcome of a task of the workflow".to_owned()));
            }
            if outcomes.contains_key(receipt.ran()) {
                // Another one of the same task has been taken.
                continue;
            }
            outcomes.insert(*receipt.ran(), receipt.outcome().clone());
            let resolved = self.kept_task(&receipt.resolved()).await?;
            if class.is_some_and(|class| class.is_mutation()) {
                begun.insert(*receipt.ran());
                begun.extend(resolved.as_ref().filter(|task| allowed(task)).map(|_| receipt.resolved()));
            }
            // It answers the instruction only as far as its task has it, which is looked at whenever it is reused.
            let memo = resolved.as_ref().filter(|_| class == Some(&EffectClass::Deterministic));
            let memo = memo.map(|task| task.instruction_id()).transpose()?;
            let of_it = class.is_none_or(|class| stating::answers(*class, &receipt));
            let filing = Filing {
                tasks: Some(*receipt.ran()).filter(|_| of_it).into_iter().collect(),
                memo,
                inputs: resolved.map(|task| task.links()).unwrap_or_default(),
                durability: Durability::Buffered,
            };
            filings.push((id, filing));
        }
        let mut mutations = mutations(plan, &outcomes, &allowed);
        for (id, _) in asked.iter().filter(|(_, class)| class.is_mutation()) {
            match self.kept_task(id).await? {
                Some(task) if allowed(&task) => mutations.insert(*id),
                // Whoever asks for it cannot have it done.
                _ => begun.remove(id),
            };
        }
        if let Some(task) = checkpoint.begun.iter().find(|task| !mutations.contains(task)) {
            return Err(HandoverError::NotBegun(*task));
        }
        for (id, filing) in &filings {
            let receipt = Receipt::decode(self.shared.part(&(**id).into()).await?);
            let receipt =
                receipt.map_err(|error| HandoverError::Receipt { receipt: **id, problem: error.to_string() })?;
            self.parts().receipts.file(&receipt, filing).await?;
        }
        begun.extend(&checkpoint.begun);
        Ok(begun)
    }

    /// The tasks that the receipts of a checkpoint ask for, one by another, with what they do to the world.
    async fn asked_for(
        &self,
        checkpoint: &Checkpoint,
        plan: &Plan,
        home: &Did,
    ) -> Result<BTreeMap<TaskId, EffectClass>, HandoverError> {
        let (mut receipts, mut asked, mut walk) = (BTreeMap::new(), BTreeMap::new(), Walk::bounded());
        let listed: BTreeSet<&ReceiptId> = checkpoint.receipts.iter().collect();
        for id in listed {
            // What is none is refused where it is filed.
            if let Ok(receipt) = Receipt::decode(self.shared.part(&(*id).into()).await?) {
                receipts.insert(*receipt.ran(), receipt);
            }
        }
        for step in plan.steps() {
            receipts.get(&step.id).iter().for_each(|receipt| walk.add_step(&step.label, step.class, receipt));
        }
        while let Some(wanted) = walk.next() {
            // What nobody here does may alter the world.
            let class = self.shared.class_of_asked(home, &wanted.task).await?.unwrap_or(EffectClass::Mutable);
            receipts.get(&wanted.task).iter().for_each(|receipt| walk.add_asked(&wanted, class, receipt));
            asked.insert(wanted.task, class);
        }
        Ok(asked)
    }

    /// A task whose block is at hand.
    async fn kept_task(&self, id: &TaskId) -> Result<Option<Task>, HandoverError> {
        let block = self.parts().blocks.get(id.cid()).await?;
        Ok(block.and_then(|bytes| Task::from_block(&bytes).ok()).filter(|task| task.id() == Ok(*id)))
    }

    /// All that the one to whom a run is handed over needs.
    async fn archive(&self, handover: &Cid) -> Result<Vec<u8>, HandoverError> {
        let shared = &self.shared;
        let token = self.invocation(handover).await?;
        let Some(Ipld::Link(at)) = token.args().get("checkpoint") else {
            return Err(HandoverError::NotAHandover(*handover));
        };
        let mut packed = Packed::default();
        packed.add(*handover, token.envelope().bytes().to_vec())?;
        let stated = shared.part(at).await?;
        let checkpoint = Checkpoint::decode(&stated).ok_or(HandoverError::NotACheckpoint(*at))?;
        packed.add(*at, stated)?;
        let mut before = checkpoint.before;
        while let Some(cid) = before.filter(|cid| !packed.blocks.contains_key(cid)) {
            let token = self.invocation(&cid).await?;
            let Some(Ipld::Link(at)) = token.args().get("checkpoint") else {
                return Err(HandoverError::NotAHandover(cid));
            };
            let stated = shared.part(at).await?;
            before = Checkpoint::decode(&stated).ok_or(HandoverError::NotACheckpoint(*at))?.before;
            packed.add(*at, stated)?;
            packed.add(cid, token.envelope().bytes().to_vec())?;
        }
        let (request, delegations) = self.kept(&checkpoint.request).await?;
        for token in &delegations {
            packed.add(*token.cid(), token.bytes().to_vec())?;
        }
        packed.add(checkpoint.request, request.envelope().bytes().to_vec())?;
        // The workflow, and what its tasks link to; tasks that it awaits from elsewhere are links as any other.
        let mut wanted = request.task().links();
        for id in &checkpoint.receipts {
            let receipt = ReceiptStore::get(&*self.parts().receipts, id).await?;
            let receipt = receipt.ok_or(HandoverError::Missing((*id).into()))?;
            packed.add((*id).into(), receipt.bytes().to_vec())?;
            let (Outcome::Ok(value) | Outcome::Error(value)) = receipt.outcome();
            wanted.extend([*receipt.ran(), receipt.resolved()].map(Cid::from));
            wanted.extend(links(value));
            wanted.extend(links(&receipt.effects().to_ipld()));
        }
        while let Some(cid) = wanted.pop() {
            if packed.blocks.contains_key(&cid) {
                continue;
            }
            // What is not here could not be read here either.
            let Some(bytes) = self.parts().blocks.get(&cid).await? else { continue };
            if cid.codec() == block::DAG_CBOR
                && let Ok(value) = dagcbor::decode(&bytes)
            {
                wanted.extend(links(&value));
            }
            packed.add(cid, bytes.to_vec())?;
        }
        Ok(packed.write(handover))
    }

    async fn invocation(&self, cid: &Cid) -> Result<Invocation, HandoverError> {
        let token = Invocation::decode(self.shared.part(cid).await?);
        token.map_err(|error| HandoverError::Token { cid: *cid, error })
    }
}

/// Refuses a plan that nobody else can go on with.
fn stays(plan: &Plan) -> Result<(), HandoverError> {
    match plan.elsewhere().next() {
        Some((step, to)) => Err(HandoverError::Elsewhere { label: step.label.clone(), to: to.clone() }),
        None => Ok(()),
    }
}

/// The mutations of a plan under the ids under which they are begun: as they stand in the workflow, and with these outcomes in the
/// place of their promises, where that is `allowed`.
fn mutations(plan: &Plan, outcomes: &BTreeMap<TaskId, Outcome>, allowed: &dyn Fn(&Task) -> bool) -> BTreeSet<TaskId> {
    let mut ids = BTreeSet::new();
    for step in plan.steps().iter().filter(|step| step.class.is_mutation()) {
        ids.insert(step.id);
        let resolved = resolve(&step.task, &|id| outcomes.get(id)).ok().filter(allowed);
        ids.extend(resolved.and_then(|task| task.id().ok()));
    }
    ids
}

/// The blocks of an archive.
#[derive(Default)]
struct Packed {
    blocks: BTreeMap<Cid, Vec<u8>>,
    bytes: usize,
}

/// How many bytes a block takes beside itself, at most.
const OVERHEAD: usize = 80;

impl Packed {
    fn add(&mut self, cid: Cid, bytes: Vec<u8>) -> Result<(), HandoverError> {
        self.bytes = self.bytes.saturating_add(bytes.len()).saturating_add(OVERHEAD);
        self.blocks.insert(cid, bytes);
        let limits = limits();
        if self.bytes > limits.bytes || self.blocks.len() > limits.blocks {
            return Err(HandoverError::TooLarge(limits));
        }
        Ok(())
    }

    fn write(&self, root: &Cid) -> Vec<u8> {
        car::write(&[*root], self.blocks.iter().map(|(cid, bytes)| (cid, bytes.as_slice())))
    }
}
