//! Calls of components.

use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use ipvm_task::{CallError, Compat, Limits, PrepareError, Runtime, RuntimeError, WasmtimeOptions, WasmtimeRuntime};
use ucan_core::{Ipld, block};

use super::{Answer, Failure, Request, map};
use crate::file::{LARGEST, read_file};

/// One for all requests, so that a component that is called again is not compiled again; and one for homestar's guests.
static STRICT: LazyLock<Result<WasmtimeRuntime, RuntimeError>> =
    LazyLock::new(|| WasmtimeRuntime::new(&WasmtimeOptions::default()));
static HOMESTAR: LazyLock<Result<WasmtimeRuntime, RuntimeError>> = LazyLock::new(|| {
    WasmtimeRuntime::new(&WasmtimeOptions { compat: Some(Compat::Homestar), ..WasmtimeOptions::default() })
});

pub(super) fn wasm(request: &Request<'_>) -> Answer {
    let (path, name, params) = (request.text("component")?, request.text("fun")?, request.data("params")?);
    let limits = Limits {
        fuel: request.amount("fuel")?.unwrap_or(Limits::STANDARD.fuel),
        memory: request.amount("memory")?.unwrap_or(Limits::STANDARD.memory),
        ..Limits::STANDARD
    };
    let runtime = match request.optional_text("compat")?.as_deref().map(Compat::from_str) {
        None => &*STRICT,
        Some(Ok(_)) => &*HOMESTAR,
        Some(Err(error)) => return Err(Failure::request(format!("`compat`: {error}"))),
    };
    let wasm = read_file(Path::new(&path), LARGEST)
        .map_err(|error| Failure::new("HostFailure", format!("the component cannot be read: {error}")))?;
    let runtime = runtime.as_ref().map_err(|error| Failure::new("HostFailure", error.to_string()))?;
    let component = runtime.prepare(&block::raw_cid(&wasm), &wasm)?;
    let completion = component.call(&name, &params, &limits)?;
    Ok(map([("value", completion.output), ("fuel", Ipld::Integer(completion.fuel.into()))]))
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
