use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use ucan_core::{Cid, Delegation, Did, Ipld, StoreError};
use ucan_invocation::{Invocation, TaskError, TaskId};

use crate::{Control, Engine, Entry, Event, HandoverError, RunError, RunOptions, RunReport, RunRequest};

/// A run under way. Dropping it lets the run go on.
#[derive(Debug)]
pub struct RunHandle {
    engine: Engine,
    id: Result<TaskId, TaskError>,
    control: Control,
    events: mpsc::UnboundedReceiver<(u64, Event)>,
    run: JoinHandle<Result<RunReport, RunError>>,
}

impl RunHandle {
    /// By what the run can be told to stop.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The next event with its number, from 0; `None` when the run has ended.
    pub async fn next(&mut self) -> Option<(u64, Event)> {
        self.events.recv().await
    }

    /// What comes of the run. Events that were not looked at are dropped.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn finish(self) -> Result<RunReport, RunError> {
        self.run.await.unwrap_or_else(|_| Err(RunError::Panicked { label: String::new() }))
    }

    /// Pauses the run, and hands it over to the executor `to` once what is under way has its receipts, as [`Engine::checkpoint`] does.
    ///
    /// # Errors
    /// [`HandoverError`] as there; of a run that comes to its end meanwhile, [`RunError::AlreadyRun`].
    pub async fn checkpoint(self, to: &Did) -> Result<Vec<u8>, HandoverError> {
        let (engine, id) = (self.engine.clone(), self.id.clone().map_err(RunError::from)?);
        self.control.pause();
        match self.finish().await {
            Ok(report) => Err(RunError::AlreadyRun { receipt: report.receipt }.into()),
            Err(RunError::Paused(_)) => engine.checkpoint(&id, to).await,
            Err(error) => Err(error.into()),
        }
    }
}

impl Engine {
    /// Starts the run that `request` asks for in the background of the current tokio runtime.
    #[must_use]
    pub fn start(&self, request: RunRequest, options: RunOptions) -> RunHandle {
        let (sender, events) = mpsc::unbounded_channel();
        let (engine, control, id) = (self.clone(), options.control.clone(), request.invocation.task().id());
        let run = tokio::spawn(async move {
            let number = std::sync::atomic::AtomicU64::new(0);
            let observe = move |event| {
                let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                // Nobody has to listen.
                let _unheard = sender.send((number, event));
            };
            engine.run_with(request, &options, &observe).await
        });
        RunHandle { engine: self.clone(), id, control, events, run }
    }

    /// Goes on with a run that was started and is not over, after a crash, a pause, or a failure of a store: with the request that
    /// it was started by.
    ///
    /// # Errors
    /// [`RunError::NotOpen`] where there is no such run; [`RunError::NoRequest`] where its request is not in the store; as
    /// [`Engine::run`] otherwise.
    pub async fn resume(
        &self,
        run: &TaskId,
        options: &RunOptions,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, RunError> {
        let request = self.request(run).await?;
        self.run_with(request, options, observe).await
    }

    /// Cancels a run that is not over and not under way here: nothing of it is started any more, and what it did is undone where
    /// its workflow says how. One that is under way is told by its [`Control`].
    ///
    /// It is the executor's to say, so that it takes no authority: what the request rests on, and what it grants, may have expired or have been
    /// revoked. What undoes the run needs authority as ever; what cannot be undone for lack of it, or since a channel that pays is
    /// closed, is [named](RunReport::not_undone) in the receipt of the run.
    ///
    /// # Errors
    /// As [`Engine::resume`]; [`RunError::Paused`] where nobody knows whether something that was begun took effect, until
    /// [`RunOptions::resolutions`] say so.
    pub async fn cancel(
        &self,
        run: &TaskId,
        options: &RunOptions,
        observe: &(dyn Fn(Event) + Send + Sync),
    ) -> Result<RunReport, RunError> {
        let request = self.request(run).await?;
        self.parts().journal.append(&Entry::Cancelled { run: *run }).await?;
        self.watch(request, options, observe, true).await
    }

    /// By what a run that is under way here can be told to stop; `None` of any other.
    #[must_use]
    pub fn control(&self, run: &TaskId) -> Option<Control> {
        self.shared.under_way.control(run)
    }

    /// The request by which an open run was started.
    pub(crate) async fn request(&self, run: &TaskId) -> Result<RunRequest, RunError> {
        let open = self.parts().journal.open(run).await?.ok_or(RunError::NotOpen(*run))?;
        let (invocation, delegations) = self.kept(&open.request).await?;
        Ok(RunRequest { invocation, delegations })
    }

    /// An invocation that was kept, and the delegations that it names: its proofs, and those among its arguments.
    pub(crate) async fn kept(&self, request: &Cid) -> Result<(Invocation, Vec<Delegation>), RunError> {
        let invocation = Invocation::decode(self.block(request).await?).ok();
        let invocation = invocation.ok_or(RunError::NoRequest(*request))?;
        let granted = match invocation.args().get("prf") {
            Some(Ipld::List(links)) => links.as_slice(),
            _ => &[],
        };
        let granted = granted.iter().filter_map(|link| match link {
            Ipld::Link(cid) => Some(*cid),
            _ => None,
        });
        let named: Vec<Cid> = invocation.proofs().iter().copied().chain(granted).collect();
        let mut delegations = Vec::with_capacity(named.len());
        for cid in named {
            let delegation = Delegation::decode(self.block(&cid).await?).ok();
            delegations.push(delegation.filter(|it| *it.cid() == cid).ok_or(RunError::NoRequest(cid))?);
        }
        Ok((invocation, delegations))
    }

    async fn block(&self, cid: &Cid) -> Result<Vec<u8>, RunError> {
        let found: Result<_, StoreError> = self.parts().blocks.get(cid).await;
        Ok(found?.ok_or(RunError::NoRequest(*cid))?.to_vec())
    }
}
