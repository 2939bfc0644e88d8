//! A compiled component, and a call of one of its functions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ipld_wit::text::nearest;
use ipld_wit::{Arguments, Budget, ConvertError, Exhausted, Signature, Unsupported, homestar};
use ucan_core::{Ipld, dagcbor};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{self, ComponentExportIndex, InstancePre};
use wasmtime::{Engine, Store, Trap};

use super::componentize;
use super::engine::Engines;
use super::host::{self, Blocks, Host, Stop};
use super::lift;
use super::limiter::Ended;
use super::scan::scan;
use super::ticker::Ticker;
use crate::{CallError, Compat, Completion, Component, Executed, Execution, ExportError, Limits, Params, PrepareError};

/// What may be spent on the description of a component's functions. Those of a large world, of hundreds of functions
/// with dozens of error codes each, stay below.
const FUNCTIONS: usize = 200_000;

type Functions = BTreeMap<String, Result<Function, Unsupported>>;

/// A component that was compiled, and found to ask for nothing but what the host offers.
pub(super) struct WasmtimeComponent {
    engines: Arc<Engines>,
    instance: InstancePre<Host>,
    imports: Vec<String>,
    functions: Functions,
    /// About how many bytes the functions' types take.
    described: usize,
    slots: u32,
}

struct Function {
    index: ComponentExportIndex,
    signature: Signature,
}

impl WasmtimeComponent {
    pub(super) fn compile(engines: &Arc<Engines>, wasm: &[u8]) -> Result<Self, PrepareError> {
        recognise(wasm)?;
        let wasm = componentize::component(wasm)?;
        scan(&wasm, engines.compat)?;
        let component = engines.compile(&wasm).map_err(refusal)?;
        Self::of(engines, component)
    }

    /// A component whose bytes were found to be acceptable, compiled.
    pub(super) fn of(engines: &Arc<Engines>, component: component::Component) -> Result<Self, PrepareError> {
        let imports = imports(&component);
        host::check(imports.iter().map(String::as_str), engines.compat)?;
        let instance = engines.link(&component).map_err(refusal)?;
        let mut budget = Budget::new(FUNCTIONS);
        let functions = functions(&component, &mut budget)?;
        let (slots, described) = (engines.slots(&component), budget.spent_bytes());
        Ok(Self { slots, engines: Arc::clone(engines), instance, imports, functions, described })
    }

    /// The compiled code.
    pub(super) fn code(&self) -> &component::Component {
        self.instance.component()
    }

    /// About how many bytes it takes: those of the compiled code, and of the types of its functions.
    pub(super) fn size(&self) -> usize {
        self.code_size().saturating_add(self.described)
    }

    /// The size of the compiled code in bytes.
    pub(super) fn code_size(&self) -> usize {
        let range = self.code().image_range();
        (range.end as usize).saturating_sub(range.start as usize)
    }

    fn function(&self, name: &str) -> Result<&Function, ExportError> {
        let spelt = match self.engines.compat {
            None => None,
            Some(Compat::Homestar) => homestar::function(name, self.functions.keys().map(String::as_str)),
        };
        match self.functions.get(spelt.unwrap_or(name)) {
            Some(Ok(function)) => Ok(function),
            Some(Err(reason)) => Err(ExportError::Unsupported { name: name.to_owned(), reason: reason.clone() }),
            None => Err(ExportError::NoSuchExport {
                nearest: nearest(name, self.functions.keys().map(String::as_str)),
                name: ipld_wit::text::shorten(name, 80),
            }),
        }
    }
}

impl Component for WasmtimeComponent {
    fn exports(&self) -> Vec<(&str, &Signature)> {
        let callable = self.functions.iter().filter_map(|(name, function)| Some((name, function.as_ref().ok()?)));
        callable.map(|(name, function)| (name.as_str(), &function.signature)).collect()
    }

    fn uncallable(&self) -> Vec<(&str, &Unsupported)> {
        self.functions.iter().filter_map(|(name, function)| Some((name.as_str(), function.as_ref().err()?))).collect()
    }

    fn signature(&self, fun: &str) -> Result<&Signature, ExportError> {
        self.function(fun).map(|function| &function.signature)
    }

    fn imports(&self) -> &[String] {
        &self.imports
    }

    fn check(&self, fun: &str, params: &Ipld, open: &dyn Fn(&Ipld) -> bool) -> Result<(), CallError> {
        let signature = &self.function(fun)?.signature;
        match self.engines.compat {
            None => signature.check_known(params, open)?,
            Some(Compat::Homestar) => {
                let params = homestar::known_arguments(params.clone(), signature, open);
                signature.check_known(&params, open)?;
            }
        }
        Ok(())
    }

    fn execute(&self, execution: &Execution<'_>) -> Executed {
        match (self.engines.compat, execution.params) {
            (None, given) => self.execute_strictly(execution, given),
            (Some(Compat::Homestar), Params::Ipld(params)) => self.execute_loosely(execution, params.clone()),
            (Some(Compat::Homestar), given @ Params::DagCbor(bytes)) => match dagcbor::decode(bytes) {
                Ok(params) => self.execute_loosely(execution, params),
                // What cannot be read is refused in the usual words.
                Err(_) => self.execute_strictly(execution, given),
            },
        }
        .unwrap_or_else(Executed::from)
    }
}

impl WasmtimeComponent {
    /// In homestar's forms.
    fn execute_loosely(&self, execution: &Execution<'_>, params: Ipld) -> Result<Executed, CallError> {
        let signature = &self.function(execution.fun)?.signature;
        let params = homestar::arguments(params, signature);
        let strict = Execution { params: Params::Ipld(&params), ..execution.clone() };
        let mut executed = self.execute_strictly(&strict, execution.params)?;
        if let (Ok(completion), Some(ty)) = (&mut executed.result, &signature.result) {
            completion.output = homestar::result(std::mem::replace(&mut completion.output, Ipld::Null), ty);
        }
        Ok(executed)
    }

    /// In the strict forms. The blocks that can be read are those to which the arguments link as they were `given`.
    fn execute_strictly(&self, execution: &Execution<'_>, given: Params<'_>) -> Result<Executed, CallError> {
        let function = self.function(execution.fun)?;
        let signature = &function.signature;
        let within = ipld_wit::Limits::default();
        // Before it waits for its turn, nothing is made of the arguments: they can take far more as values.
        match execution.params {
            Params::Ipld(params) => signature.check(params)?,
            Params::DagCbor(bytes) => signature.check_dag_cbor(bytes, &within)?,
        }
        // Given back in the opposite order: the store has left its slots before they are free again.
        let _pass = self.engines.gate.enter(self.slots);
        let _watch = self.engines.ticker.watch();
        let arguments = match execution.params {
            Params::Ipld(params) => signature.arguments(params)?,
            Params::DagCbor(bytes) => signature.arguments_from_dag_cbor(bytes, &within)?,
        };
        let blocks = self.blocks(execution, given);
        let mut run = Run::new(self, signature, execution, blocks)?;
        let result = run.call(&self.instance, function, &arguments);
        let spent = run.spent(&result);
        let (trace, reads) = run.store.into_data().into_observed();
        Ok(Executed { result, trace, reads, spent })
    }

    /// The blocks that a call may read, which matters to a component that asks for blocks at all.
    fn blocks(&self, execution: &Execution<'_>, given: Params<'_>) -> Blocks {
        match self.imports.iter().any(|import| import == host::BLOCKS) {
            true => Blocks::new(execution.inputs.clone(), given),
            false => Blocks::default(),
        }
    }
}

impl fmt::Debug for WasmtimeComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmtimeComponent")
            .field("exports", &self.functions.keys())
            .field("code_size", &self.code_size())
            .finish_non_exhaustive()
    }
}

/// One run: a store with all limits set, which is the only way to have one.
struct Run<'a> {
    store: Store<Host>,
    limits: &'a Limits,
    /// What instantiation took, once it is over.
    instantiation: u64,
    /// Whether the guest was cut off in the middle of what it computed: machine code writes down what it has used when it calls
    /// or ends something, and not in between.
    cut_off: bool,
}

impl<'a> Run<'a> {
    fn new(
        component: &WasmtimeComponent,
        signature: &Signature,
        execution: &Execution<'a>,
        blocks: Blocks,
    ) -> Result<Self, CallError> {
        let limits = execution.limits;
        let mut store = Store::new(component.instance.engine(), Host::new(execution, blocks));
        store.limiter(|host| &mut host.limiter);
        let mut allowance = lift::allowance(signature, limits.output);
        if !component.imports.is_empty() {
            // It holds for what is handed to the host on the way, too.
            allowance = allowance.max(host::MOST_AT_ONCE);
        }
        store.set_hostcall_fuel(allowance);
        store.set_epoch_deadline(Ticker::epochs(limits.time));
        let mut run = Self { store, limits, instantiation: 0, cut_off: false };
        run.refuel()?;
        Ok(run)
    }

    /// Gives one unit more than the limit: a guest can overrun by a few units where wasmtime does not look, and would
    /// then be said to have used just what it had.
    fn refuel(&mut self) -> Result<(), CallError> {
        self.store.set_fuel(self.limits.fuel.saturating_add(1)).map_err(host)
    }

    /// Fuel used since the last [`refuel`](Self::refuel), which is the same under every limit that it keeps.
    fn fuel_used(&self) -> Result<u64, CallError> {
        match self.store.get_fuel().map_err(host)? {
            0 => Err(CallError::OutOfFuel { limit: self.limits.fuel }),
            left => Ok(self.limits.fuel.saturating_add(1) - left),
        }
    }

    /// Fuel used from the beginning to the end, whatever that was; the most that it may have been where the guest was cut off.
    fn spent(&self, result: &Result<Completion, CallError>) -> u64 {
        let since = match result {
            Ok(completion) => completion.fuel,
            Err(_) if self.cut_off => self.limits.fuel,
            Err(_) => self.fuel_used().unwrap_or(self.limits.fuel),
        };
        self.instantiation.saturating_add(since)
    }

    fn call(
        &mut self,
        component: &InstancePre<Host>,
        function: &Function,
        arguments: &Arguments<'_>,
    ) -> Result<Completion, CallError> {
        let instance = component.instantiate(&mut self.store).map_err(|error| self.failure(&error, host_failure))?;
        let instantiation_fuel = self.fuel_used()?;
        self.instantiation = instantiation_fuel;
        self.refuel()?;

        let fun = instance.get_func(&mut self.store, function.index);
        let fun = fun.ok_or_else(|| CallError::Host { message: "an export has vanished".to_owned() })?;
        // What is no trap by name is a breach of the guest's own types, found while its result is copied out.
        let given = arguments.call(&mut self.store, &fun, &function.signature);
        let given = given.map_err(|error| self.failure(&error, trap))?;
        let fuel = self.fuel_used()?;

        let amount = given.encoded_len(&function.signature).map_err(mismatch)?;
        if amount > self.limits.output {
            return Err(CallError::OutputLimit { limit: self.limits.output, amount: Some(amount) });
        }
        let output = given.into_ipld(&function.signature).map_err(mismatch)?;
        Ok(Completion { output, fuel, instantiation_fuel })
    }

    /// What an error of wasmtime stands for; `otherwise` says it for one that has no name.
    fn failure(&mut self, error: &wasmtime::Error, otherwise: impl FnOnce(String) -> CallError) -> CallError {
        let trap = error.downcast_ref::<Trap>();
        self.cut_off =
            self.store.data().limiter.ended.is_some() || trap.is_some_and(|trap| *trap != Trap::UnreachableCodeReached);
        match &self.store.data().limiter.ended {
            Some(Ended::Limit { limit, wanted }) => {
                return CallError::OutOfMemory { limit: *limit, wanted: *wanted };
            }
            Some(Ended::Host { message }) => {
                return CallError::Host { message: message.clone() };
            }
            None => {}
        }
        match error.downcast_ref::<Stop>() {
            Some(Stop::Trap(message)) => return CallError::Trap { message: message.clone() },
            Some(Stop::MissingBlock(cid)) => return CallError::MissingBlock { cid: *cid },
            Some(Stop::Host(message)) => return host_failure(message.clone()),
            None => {}
        }
        match trap {
            Some(Trap::OutOfFuel) => CallError::OutOfFuel { limit: self.limits.fuel },
            Some(Trap::Interrupt) => CallError::TimeLimit { limit: self.limits.time },
            Some(Trap::StackOverflow) => CallError::StackOverflow,
            Some(trap) => CallError::Trap { message: trap.to_string() },
            None if lift::is_allowance_exceeded(error) => {
                CallError::OutputLimit { limit: self.limits.output, amount: None }
            }
            None if error.is::<wasmtime::OutOfMemory>() => host_failure("out of memory".to_owned()),
            None => otherwise(error.root_cause().to_string()),
        }
    }
}

fn host(error: wasmtime::Error) -> CallError {
    host_failure(format!("{error:#}"))
}

fn host_failure(message: String) -> CallError {
    CallError::Host { message }
}

fn mismatch(error: ConvertError) -> CallError {
    CallError::ResultMismatch(Box::new(error))
}

fn trap(message: String) -> CallError {
    CallError::Trap { message }
}

/// Tells components from other things, in words that help.
fn recognise(bytes: &[u8]) -> Result<(), PrepareError> {
    const MAGIC: &[u8] = b"\0asm";
    let found = match bytes {
        [] => "nothing".to_owned(),
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] | [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => return Ok(()),
        _ if bytes.starts_with(MAGIC) => "WebAssembly of an unknown version".to_owned(),
        [0x1f, 0x8b, ..] => "data compressed with gzip".to_owned(),
        [0x7f, b'E', b'L', b'F', ..] => "a program for another machine (ELF)".to_owned(),
        _ => {
            let start = &bytes[..bytes.len().min(24)];
            match std::str::from_utf8(start) {
                Ok(text) if text.trim_start().starts_with('(') => "WebAssembly in its text form".to_owned(),
                Ok(text) => format!("{} bytes of text that start with {text:?}", bytes.len()),
                Err(_) => format!("{} bytes that start with {:02x?}", bytes.len(), &start[..start.len().min(8)]),
            }
        }
    };
    Err(PrepareError::NotAComponent { found })
}

/// What the compiler refuses is the component's fault, unless the host has no room for it.
fn refusal(error: wasmtime::Error) -> PrepareError {
    let message = format!("{error:#}");
    if error.is::<wasmtime::OutOfMemory>() || error.root_cause().is::<std::io::Error>() {
        return PrepareError::Host { message };
    }
    PrepareError::invalid(&message)
}

/// What must be given by a host. It was seen beforehand except for resources by other names. Types may be imported as they
/// are: they are names for what the component holds.
fn imports(component: &component::Component) -> Vec<String> {
    let engine = component.engine();
    let ty = component.component_type();
    let asked = ty.imports(engine).filter(|(_, import)| !is_only_types(&import.ty, engine));
    asked.map(|(name, _)| name.to_owned()).collect()
}

fn is_only_types(item: &ComponentItem, engine: &Engine) -> bool {
    match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| is_only_types(&export.ty, engine))
        }
        _ => false,
    }
}

/// The functions that the component exports, itself or within its interfaces.
fn functions(component: &component::Component, budget: &mut Budget) -> Result<Functions, Exhausted> {
    let engine = component.engine();
    let mut functions = BTreeMap::new();
    let mut add = |interface: Option<(&str, ComponentExportIndex)>, name: &str, ty: &ComponentFunc| {
        let outer = interface.as_ref().map(|(_, index)| index);
        let Some(index) = component.get_export_index(outer, name) else { return Ok(()) };
        // The name of an interface is there for each of its functions.
        interface.map_or(Ok(()), |(interface, _)| budget.name(interface))?;
        budget.name(name)?;
        let function = Signature::of(ty, budget)?.map(|signature| Function { index, signature });
        let name = interface.map_or_else(|| name.to_owned(), |(interface, _)| format!("{interface}#{name}"));
        functions.insert(name, function);
        Ok(())
    };
    for (name, export) in component.component_type().exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(ty) => add(None, name, &ty)?,
            ComponentItem::ComponentInstance(instance) => {
                let interface = component.get_export_index(None, name).map(|index| (name, index));
                for (fun, export) in instance.exports(engine).filter(|_| interface.is_some()) {
                    if let ComponentItem::ComponentFunc(ty) = export.ty {
                        add(interface, fun, &ty)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(functions)
}
