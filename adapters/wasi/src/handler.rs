use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ipvm_task::{Bounds, CallError, Limits, TaskConfig, WasmCall};
use ucan_core::Ipld;
use ucan_invocation::meta::{FUEL, FUEL_BOUND, TRACE};
use ucan_invocation::{
    Await, BlockStore, Call, Completion, Config, EffectClass, Failure, Handler, Outcome, Task, is_pending,
};

use crate::Grants;
use crate::machine::{Called, Function, Machine};

/// The command that calls a function of a component which may reach the world. Its arguments are those of `/wasm/run`.
pub const WASI_RUN_COMMAND: &str = "/wasi/run";

/// Runs the tasks of [`WASI_RUN_COMMAND`]: components with WASI 0.2 as the system has it, as far as its [`Grants`] go.
///
/// What comes of such a call is nothing that anybody else could compute again, so its class is what its operator declares: a
/// query, an idempotent write, or a mutation.
pub struct WasiHandler {
    machine: Arc<Machine>,
    blocks: Arc<dyn BlockStore>,
    class: EffectClass,
    grants: Grants,
    bounds: Bounds,
}

/// Why a handler cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasiError {
    /// What reaches the world is no function of its arguments.
    #[error("tasks of {WASI_RUN_COMMAND} are never deterministic; declare what they do to the world")]
    Deterministic,
    /// A folder that guests are to see is not there.
    #[error("the folder {} is to be granted, and is not there", .0.display())]
    NoFolder(PathBuf),
    /// The machine cannot be set up.
    #[error("wasmtime cannot run here: {0}")]
    Machine(String),
}

impl WasiHandler {
    /// A handler of the declared class, that takes components from `blocks`, within the standard [`Bounds`].
    ///
    /// # Errors
    /// [`WasiError`] where the class is that of a function, a folder is not there, or wasmtime does not run on this machine.
    pub fn new(class: EffectClass, blocks: Arc<dyn BlockStore>, grants: Grants) -> Result<Self, WasiError> {
        if class == EffectClass::Deterministic {
            return Err(WasiError::Deterministic);
        }
        if let Some(path) = grants.missing() {
            return Err(WasiError::NoFolder(path.to_owned()));
        }
        let machine = Machine::new().map_err(|error| WasiError::Machine(format!("{error:#}")))?;
        Ok(Self { machine: Arc::new(machine), blocks, class, grants, bounds: Bounds::default() })
    }

    /// The same with other limits for those who ask for none, and other ceilings for those who ask.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    fn limits(&self, config: &Config) -> Result<Limits, Failure> {
        let invalid = |problem: String| Failure::new("InvalidConfig", problem);
        let config = TaskConfig::parse(&Ipld::Map(config.clone())).map_err(|error| invalid(error.to_string()))?;
        if let Some(check) = config.check.as_ref().filter(|check| !check.is_local()) {
            return Err(invalid(format!("check: what reaches the world cannot be verified by {}", check.name())));
        }
        config.limits(&self.bounds).map_err(|error| invalid(error.to_string()))
    }

    async fn function(&self, call: &WasmCall) -> Result<Function, Failure> {
        let cid = call.module.cid();
        let component = match self.machine.prepared(&cid) {
            Some(component) => component,
            None => {
                let wasm = match call.module.inline() {
                    Some(bytes) => Bytes::copy_from_slice(bytes),
                    None => self.blocks.get(&cid).await.map_err(store_failed)?.ok_or_else(|| {
                        let message = format!("the component {cid} is not in the block store; add it, and run again");
                        Failure::new("MissingBlock", message).with("block", Ipld::Link(cid))
                    })?,
                };
                let machine = Arc::clone(&self.machine);
                let prepared = tokio::task::spawn_blocking(move || machine.prepare(cid, &wasm)).await;
                let prepared = prepared.map_err(|error| Failure::new("HostFailure", error.to_string()))?;
                prepared.map_err(|error| Failure::new(error.name(), format!("the component {cid}: {error}")))?
            }
        };
        Machine::function(component, &call.fun).map_err(|error| failed(&error))
    }

    async fn call(&self, call: &Call) -> Result<Called, Failure> {
        let limits = self.limits(call.config())?;
        let call = parse(call.task())?;
        let function = self.function(&call).await?;
        Ok(self.machine.call(&function, &call.params, &self.grants, &limits).await)
    }
}

#[async_trait]
impl Handler for WasiHandler {
    fn limits_time(&self) -> bool {
        true
    }

    fn effect_class(&self) -> EffectClass {
        self.class
    }

    async fn check(&self, task: &Task, config: &Config) -> Result<(), Failure> {
        self.limits(config)?;
        if ["mod", "fun"].iter().any(|key| task.args().get(*key).is_some_and(is_pending)) {
            return Ok(());
        }
        let call = parse(task)?;
        let function = self.function(&call).await?;
        if Await::recognise(&call.params).is_some() {
            return Ok(());
        }
        function.signature.check_known(&call.params, &is_pending).map_err(|error| failed(&error.into()))
    }

    async fn handle(&self, call: &Call) -> Completion {
        let Called { result, fuel, printed } = match self.call(call).await {
            Ok(called) => called,
            Err(failure) => return Completion::new(failure.into()),
        };
        let mut completion = Completion::new(match result {
            Ok(output) => Outcome::Ok(output),
            Err(error) => failed(&error).into(),
        });
        let key = if completion.outcome.is_ok() { FUEL } else { FUEL_BOUND };
        completion.meta.insert(key.to_owned(), Ipld::Integer(fuel.into()));
        completion.meta.extend(printed.map(|printed| (TRACE.to_owned(), printed)));
        completion
    }

    fn most_fuel(&self, config: &Config) -> Option<u64> {
        self.limits(config).ok().map(|limits| limits.fuel)
    }
}

impl fmt::Debug for WasiHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasiHandler").field("class", &self.class).field("grants", &self.grants).finish_non_exhaustive()
    }
}

fn parse(task: &Task) -> Result<WasmCall, Failure> {
    WasmCall::parse(task.args_value())
        .map_err(|error| Failure::new("ArgumentMismatch", format!("{WASI_RUN_COMMAND}: {error}")))
}

fn failed(error: &CallError) -> Failure {
    let message = error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"));
    Failure::new(error.name(), message)
}

fn store_failed(error: ucan_core::StoreError) -> Failure {
    Failure::new("StoreFailed", error.to_string())
}
