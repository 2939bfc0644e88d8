//! The handler of `/wasm/run`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use ucan_core::{Cid, Ipld, StoreError};
use ucan_invocation::meta::{FUEL, FUEL_BOUND, INSTANTIATION, READS, TRACE};
use ucan_invocation::{
    Await, BlockStore, Call, Completion as Done, Config, EffectClass, Failure, Handler, Outcome, Receipt, Reexecutor,
    Task, TaskError, is_pending,
};

use crate::{
    Bounds, CallError, Completion, Component, Executed, Execution, Inputs, Limits, Params, PrepareError, Runtime, Seed,
    TaskConfig, Verification, WasmCall, Witnessing,
};

/// The command that calls a function of a Wasm component. Its arguments are `{mod, fun, params}` (see [`WasmCall`]).
pub const WASM_RUN_COMMAND: &str = "/wasm/run";

/// What tells the seeds of guests from all other hashes.
const SEED: &str = "ipvm-task seed 1";

/// Runs the tasks of [`WASM_RUN_COMMAND`]: components from a block store, on a [`Runtime`], within [`Bounds`].
#[derive(Debug)]
pub struct WasmHandler {
    runtime: Arc<dyn Runtime>,
    blocks: Arc<dyn BlockStore>,
    bounds: Bounds,
    witnessing: Option<Witnessing>,
}

impl WasmHandler {
    /// A handler that takes components from `blocks`, with the standard [`Bounds`].
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>, blocks: Arc<dyn BlockStore>) -> Self {
        Self { runtime, blocks, bounds: Bounds::default(), witnessing: None }
    }

    /// The same with other limits for those who ask for none, and other ceilings for those who ask.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The same that asks others where a configuration wants more than the word of this executor. Without it such tasks are
    /// refused.
    #[must_use]
    pub fn with_witnesses(mut self, witnessing: Witnessing) -> Self {
        self.witnessing = Some(witnessing);
        self
    }

    /// The limits of a task, and how it is to be verified where that takes others.
    fn read(&self, config: &Config) -> Result<(Limits, Option<Asked<'_>>), Failure> {
        let invalid = |problem: String| Failure::new("InvalidConfig", problem);
        let config = TaskConfig::parse(&Ipld::Map(config.clone())).map_err(|error| invalid(error.to_string()))?;
        let limits = config.limits(&self.bounds).map_err(|error| invalid(error.to_string()))?;
        let asked = match (config.check.filter(|check| !check.is_local()), &self.witnessing) {
            (None, _) => None,
            (Some(strategy), Some(witnessing)) => Some(Asked { strategy, witnessing }),
            // Never less than what was asked for.
            (Some(strategy), None) => {
                let name = strategy.name();
                return Err(invalid(format!(
                    "check: verification by {name} needs other executors, and none are asked here"
                )));
            }
        };
        Ok((limits, asked))
    }

    async fn component(&self, call: &WasmCall) -> Result<Arc<dyn Component>, Failure> {
        let cid = call.module.cid();
        if let Some(component) = self.runtime.prepared(&cid) {
            return Ok(component);
        }
        let wasm = match call.module.inline() {
            Some(bytes) => Bytes::copy_from_slice(bytes),
            None => self.block(&cid).await?,
        };
        let runtime = self.runtime.clone();
        let prepared = blocking(move || runtime.prepare(&cid, &wasm)).await?;
        prepared.map_err(|error| prepare_failure(&cid, &error))
    }

    async fn block(&self, cid: &Cid) -> Result<Bytes, Failure> {
        let found = self.blocks.get(cid).await;
        let found = found.map_err(|error| Failure::new("StoreFailed", error.to_string()))?;
        found.ok_or_else(|| {
            Failure::new(
                "MissingBlock",
                format!("the component {cid} is not in the block store; add it, and run again"),
            )
            .with("block", Ipld::Link(*cid))
        })
    }

    /// What can be said of a call before it is made.
    async fn check_call(&self, task: &Task) -> Result<(), Failure> {
        let args = Ipld::Map(task.args().clone());
        // Which component it is may itself be a result that is not there yet.
        if ["mod", "fun"].iter().any(|key| task.args().get(*key).is_some_and(is_pending)) {
            return Ok(());
        }
        let call = parse(&args)?;
        let component = self.component(&call).await?;
        // Large arguments take long to look at.
        let check = move || {
            // All arguments together may be a result that is not there yet.
            match Await::recognise(&call.params) {
                Some(_) => Ok(component.signature(&call.fun).map(drop)?),
                None => component.check(&call.fun, &call.params, &is_pending),
            }
        };
        blocking(check).await?.map_err(|error| call_failure(&error))
    }

    /// Makes the call. The second value says whether another machine would come to the same result.
    async fn call(&self, task: &Task, limits: Limits) -> Result<Done, (Failure, bool)> {
        let final_ = |failure| (failure, true);
        let passing = |failure| (failure, false);
        let call = parse(&Ipld::Map(task.args().clone())).map_err(final_)?;
        let component = self.component(&call).await.map_err(passing)?;
        // Only what asks its host for something can tell one seed from another, or read a block.
        let (seed, inputs) = if component.imports().is_empty() {
            ([0; 32], None)
        } else {
            let seed = self.seed(task).map_err(|error| final_(Failure::new("ArgumentMismatch", error.to_string())))?;
            let inputs = StoredInputs { blocks: self.blocks.clone(), runtime: tokio::runtime::Handle::current() };
            (seed, Some(Arc::new(inputs) as Arc<dyn Inputs>))
        };
        let execute = move || {
            let execution = Execution::new(&call.fun, Params::Ipld(&call.params), &limits);
            component.execute(&Execution { seed, inputs, ..execution })
        };
        Ok(done(blocking(execute).await.map_err(passing)?))
    }

    /// The same for the same instruction under the same profile, on every machine.
    fn seed(&self, task: &Task) -> Result<Seed, TaskError> {
        let instruction = task.instruction_id()?;
        let hash = Sha256::new()
            .chain_update(SEED)
            .chain_update(instruction.cid().to_bytes())
            .chain_update(self.runtime.profile().cid().to_bytes());
        Ok(hash.finalize().into())
    }

    async fn complete(&self, task: &Task, limits: Limits) -> Done {
        match self.call(task, limits).await {
            Ok(done) => done,
            Err((failure, repeatable)) => Done { repeatable, ..Done::new(failure.into()) },
        }
    }
}

#[async_trait]
impl Handler for WasmHandler {
    fn limits_time(&self) -> bool {
        true
    }

    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    fn profile(&self) -> Option<Cid> {
        Some(*self.runtime.profile().cid())
    }

    /// The function that is called.
    fn workload(&self, task: &Task) -> Option<String> {
        match (task.args().get("mod")?, task.args().get("fun")?) {
            (Ipld::Link(module), Ipld::String(fun)) => Some(format!("{module} {fun}")),
            (Ipld::String(_), Ipld::String(fun)) => Some(fun.clone()),
            _ => None,
        }
    }

    async fn check(&self, task: &Task, config: &Config) -> Result<(), Failure> {
        self.read(config)?;
        self.check_call(task).await
    }

    async fn handle(&self, call: &Call) -> Done {
        let (limits, asked) = match self.read(call.config()) {
            Ok(read) => read,
            Err(failure) => return Done { repeatable: false, ..Done::new(failure.into()) },
        };
        let run = self.complete(call.task(), limits);
        let Some(Asked { strategy, witnessing }) = asked else { return run.await };
        let profile = *self.runtime.profile().cid();
        let settled = witnessing.settle(&strategy, call.task(), profile, Box::pin(run)).await;
        settled.unwrap_or_else(|failure| Done { repeatable: false, ..Done::new(failure.into()) })
    }

    fn accepts(&self, known: &Receipt, config: &Config) -> bool {
        // A configuration that cannot be read is refused when the task is checked.
        self.read(config).is_ok_and(|(_, asked)| asked.is_none_or(|asked| asked.strategy.is_met_by(known)))
    }

    /// The limit holds for the call, and for getting ready apart.
    fn most_fuel(&self, config: &Config) -> Option<u64> {
        self.read(config).ok().map(|(limits, _)| limits.fuel.saturating_mul(2))
    }

    fn reexecutor(&self) -> Option<&dyn Reexecutor> {
        Some(self)
    }
}

#[async_trait]
impl Reexecutor for WasmHandler {
    /// Runs it within the ceilings: how it was asked to be run is no part of the task.
    async fn reexecute(&self, task: &Task) -> Done {
        self.complete(task, self.bounds.ceiling).await
    }
}

/// A way of verifying a result that takes others.
struct Asked<'a> {
    strategy: Verification,
    witnessing: &'a Witnessing,
}

/// What came of a call, as its receipt has it.
fn done(executed: Executed) -> Done {
    let Executed { result, trace, reads, spent } = executed;
    let (mut done, amounts) = match result {
        Ok(Completion { output, fuel, instantiation_fuel }) => {
            (Done::new(Outcome::Ok(output)), vec![(FUEL, fuel), (INSTANTIATION, instantiation_fuel)])
        }
        Err(error) => {
            let repeatable = error.is_deterministic();
            // What never started has used nothing.
            let bound = (spent > 0).then_some((FUEL_BOUND, spent));
            (Done { repeatable, ..Done::new(call_failure(&error).into()) }, bound.into_iter().collect())
        }
    };
    for (key, amount) in amounts {
        done.meta.insert(key.to_owned(), Ipld::Integer(amount.into()));
    }
    if !trace.is_empty() {
        done.meta.insert(TRACE.to_owned(), trace.to_ipld());
    }
    if !reads.is_empty() {
        done.meta.insert(READS.to_owned(), Ipld::List(reads.into_iter().map(Ipld::Link).collect()));
    }
    done
}

/// The blocks of an asynchronous store, for a guest on a thread that may block.
#[derive(Debug)]
struct StoredInputs {
    blocks: Arc<dyn BlockStore>,
    runtime: tokio::runtime::Handle,
}

impl Inputs for StoredInputs {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        self.runtime.block_on(self.blocks.get(cid))
    }
}

/// Compiling and running are pure computation: they belong on a thread that may be kept busy.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::new("HostFailure", error.to_string()))
}

fn parse(args: &Ipld) -> Result<WasmCall, Failure> {
    WasmCall::parse(args).map_err(|error| Failure::new("ArgumentMismatch", format!("{WASM_RUN_COMMAND}: {error}")))
}

fn prepare_failure(cid: &Cid, error: &PrepareError) -> Failure {
    let message = with_hint(format!("the component {cid}: {error}"), error.hint());
    Failure::new(error.name(), message)
}

fn call_failure(error: &CallError) -> Failure {
    Failure::new(error.name(), with_hint(error.to_string(), error.hint()))
}

fn with_hint(message: String, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}; {hint}"),
        None => message,
    }
}
