//! Calls of components.

use std::path::Path;
use std::sync::LazyLock;

use ipld_wit::homestar;
use ipvm_task::{CallError, Limits, PrepareError, Runtime, RuntimeError, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block};

use super::{Answer, Failure, Request, map};
use crate::file::{LARGEST, read_file};

/// One for all requests, so that a component that is called again is not compiled again.
static RUNTIME: LazyLock<Result<WasmtimeRuntime, RuntimeError>> =
    LazyLock::new(|| WasmtimeRuntime::new(&WasmtimeOptions::default()));

pub(super) fn wasm(request: &Request<'_>) -> Answer {
    let (path, name, params) = (request.text("component")?, request.text("fun")?, request.data("params")?);
    let limits = Limits {
        fuel: request.amount("fuel")?.unwrap_or(Limits::STANDARD.fuel),
        memory: request.amount("memory")?.unwrap_or(Limits::STANDARD.memory),
        ..Limits::STANDARD
    };
    let is_loose = match request.optional_text("compat")?.as_deref() {
        None => false,
        Some("homestar") => true,
        Some(_) => return Err(Failure::request("`compat` is \"homestar\", or left out")),
    };
    let wasm = read_file(Path::new(&path), LARGEST)
        .map_err(|error| Failure::new("HostFailure", format!("the component cannot be read: {error}")))?;
    let runtime = RUNTIME.as_ref().map_err(|error| Failure::new("HostFailure", error.to_string()))?;
    let component = runtime.prepare(&block::raw_cid(&wasm), &wasm)?;

    let exports = component.exports();
    let fun = match is_loose {
        true => homestar::function(&name, exports.iter().map(|(name, _)| *name)).unwrap_or(&name),
        false => &name,
    };
    let signature = component.signature(fun).map_err(CallError::from)?;
    let params = if is_loose { homestar::arguments(params, signature) } else { params };
    let completion = component.call(fun, &params, &limits)?;
    let value = match &signature.result {
        Some(ty) if is_loose => homestar::result(completion.output, ty),
        _ => completion.output,
    };
    Ok(map([("value", value), ("fuel", Ipld::Integer(completion.fuel.into()))]))
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        Self::new(error.name(), error.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::new(error.name(), error.to_string())
    }
}
