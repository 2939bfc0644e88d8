//! Components, and calls of their functions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ipld_wit::{Budget, ConvertError, Signature, result_to_ipld};
use ipvm_task::{CallError, ExportError, Limits, PrepareError, encode_component};
use ucan_core::{Cid, Ipld};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, Val};
use wasmtime::{Config, Engine, Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::Grants;
use crate::guest::Guest;

/// How many components are kept ready.
const KEPT: usize = 64;
/// After how much fuel a guest lets others of its thread have their turn, so that its time limit is noticed.
const TURN: u64 = 1_000_000;
/// How many bytes a guest may hand over in one call of the host at least, and how many times the limit of its output.
const AT_ONCE: usize = 16 << 20;
const LARGER: usize = 8;
/// What may be spent on describing one function.
const FUNCTION: usize = 10_000;

pub(crate) struct Machine {
    engine: Engine,
    linker: Linker<Guest>,
    ready: Mutex<HashMap<Cid, Arc<InstancePre<Guest>>>>,
}

/// A function of a component that can be called.
pub(crate) struct Function {
    component: Arc<InstancePre<Guest>>,
    index: ComponentExportIndex,
    pub(crate) signature: Signature,
}

/// What came of a call, and what the guest printed in any case.
pub(crate) struct Called {
    pub(crate) result: Result<Ipld, CallError>,
    /// What it used; where it came to nothing, the most that it may have used.
    pub(crate) fuel: u64,
    pub(crate) printed: Option<Ipld>,
}

impl Machine {
    pub(crate) fn new() -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Ok(Self { engine, linker, ready: Mutex::default() })
    }

    pub(crate) fn prepared(&self, cid: &Cid) -> Option<Arc<InstancePre<Guest>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(cid).cloned()
    }

    /// Compiles a component, which takes its time.
    pub(crate) fn prepare(&self, cid: Cid, wasm: &[u8]) -> Result<Arc<InstancePre<Guest>>, PrepareError> {
        let component = encode_component(wasm)?;
        let invalid = |error: wasmtime::Error| PrepareError::Invalid { detail: format!("{error:#}") };
        let component = Component::from_binary(&self.engine, &component).map_err(invalid)?;
        // What it imports beyond WASI is named here.
        let ready = Arc::new(self.linker.instantiate_pre(&component).map_err(invalid)?);
        let mut kept = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(cid, Arc::clone(&ready));
        Ok(ready)
    }

    /// The function `name`, or `interface#name`.
    pub(crate) fn function(component: Arc<InstancePre<Guest>>, name: &str) -> Result<Function, CallError> {
        let missing = || ExportError::NoSuchExport { name: ipld_wit::text::shorten(name, 80), nearest: None };
        let (index, ty) = find(component.component(), name).ok_or_else(missing)?;
        let described = Signature::of(&ty, &mut Budget::new(FUNCTION));
        let unsupported = |reason| ExportError::Unsupported { name: name.to_owned(), reason };
        let described = described.map_err(|error| CallError::Host { message: error.to_string() })?;
        let signature = described.map_err(unsupported)?;
        Ok(Function { component, index, signature })
    }

    /// Calls a function, in the time that it may take.
    pub(crate) async fn call(&self, function: &Function, params: &Ipld, grants: &Grants, limits: &Limits) -> Called {
        let host = |error: wasmtime::Error| CallError::Host { message: format!("{error:#}") };
        let nothing = |error| Called { result: Err(error), fuel: 0, printed: None };
        let arguments = match function.signature.vals(params) {
            Ok(arguments) => arguments,
            Err(error) => return nothing(error.into()),
        };
        let guest = match Guest::new(grants, limits) {
            Ok(guest) => guest,
            Err(error) => return nothing(host(error)),
        };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        // What a guest hands over takes far more room here than there.
        let most = usize::try_from(limits.output).unwrap_or(usize::MAX).saturating_mul(LARGER).max(AT_ONCE);
        store.set_hostcall_fuel(most);
        let set = store.set_fuel(limits.fuel).and_then(|()| store.fuel_async_yield_interval(Some(TURN)));
        if let Err(error) = set {
            return nothing(host(error));
        }
        let run = run(&mut store, function, &arguments, limits);
        let result = match tokio::time::timeout(limits.time, run).await {
            Ok(Err(_)) if let Some(wanted) = store.data().memory.refused => {
                Err(CallError::OutOfMemory { limit: limits.memory, wanted })
            }
            Ok(result) => result,
            Err(_) => Err(CallError::TimeLimit { limit: limits.time }),
        };
        // A guest that was cut off has not written down what it used last.
        let left = if result.is_ok() { store.get_fuel().unwrap_or(0) } else { 0 };
        let fuel = limits.fuel.saturating_sub(left);
        Called { result, fuel, printed: store.data().printed() }
    }
}

async fn run(
    store: &mut Store<Guest>,
    function: &Function,
    arguments: &[Val],
    limits: &Limits,
) -> Result<Ipld, CallError> {
    let failure = |error: wasmtime::Error| failure(&error, limits);
    let instance = function.component.instantiate_async(&mut *store).await.map_err(failure)?;
    let called = instance.get_func(&mut *store, function.index);
    let called = called.ok_or_else(|| CallError::Host { message: "an export has vanished".to_owned() })?;
    let signature = &function.signature;
    let mut results = vec![Val::Bool(false); usize::from(signature.result.is_some())];
    called.call_async(&mut *store, arguments, &mut results).await.map_err(failure)?;
    let output = result_to_ipld(results.first(), signature).map_err(mismatch)?;
    let amount = signature.result.as_ref().map_or(Ok(1), |_| length(&output))?;
    if amount > limits.output {
        return Err(CallError::OutputLimit { limit: limits.output, amount: Some(amount) });
    }
    Ok(output)
}

fn length(output: &Ipld) -> Result<u64, CallError> {
    let encoded = ucan_core::dagcbor::encode(output).map_err(|error| CallError::Trap { message: error.to_string() })?;
    Ok(encoded.len() as u64)
}

fn mismatch(error: ConvertError) -> CallError {
    CallError::ResultMismatch(Box::new(error))
}

/// What an error of wasmtime stands for.
fn failure(error: &wasmtime::Error, limits: &Limits) -> CallError {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return CallError::Trap { message: format!("the program ended itself with the status {status}") };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => CallError::OutOfFuel { limit: limits.fuel },
        Some(Trap::StackOverflow) => CallError::StackOverflow,
        Some(trap) => CallError::Trap { message: trap.to_string() },
        None => CallError::Trap { message: error.root_cause().to_string() },
    }
}

fn find(component: &Component, name: &str) -> Option<(ComponentExportIndex, ComponentFunc)> {
    let engine = component.engine();
    let (interface, function) = match name.split_once('#') {
        Some((interface, function)) => (Some(interface), function),
        None => (None, name),
    };
    let outer = interface.map(|interface| component.get_export_index(None, interface));
    let index = match outer {
        Some(None) => return None,
        Some(Some(outer)) => component.get_export_index(Some(&outer), function)?,
        None => component.get_export_index(None, function)?,
    };
    let function_of = |item: ComponentItem| match item {
        ComponentItem::ComponentFunc(ty) => Some(ty),
        _ => None,
    };
    let ty = component.component_type();
    let export = match interface {
        None => ty.get_export(engine, function)?.ty,
        Some(interface) => match ty.get_export(engine, interface)?.ty {
            ComponentItem::ComponentInstance(instance) => instance.get_export(engine, function)?.ty,
            _ => return None,
        },
    };
    Some((index, function_of(export)?))
}
