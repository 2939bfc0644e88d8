//! Components out of core modules: toolchains leave the types of a module's functions in a custom section.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR_ADAPTER,
};

use super::scan::bound_types;
use crate::PrepareError;

/// What makes components, as the determinism profile names it: the component is part of what decides fuel.
pub(super) const ENCODER: &str = "wit-component 0.254, preview 1 adapter 48";
/// How the sections with types are named; a suffix tells several apart.
const SECTION: &str = "component-type";

/// The component that `wasm` is, or that it says how to make: a core module with embedded component types becomes one that
/// has it inside. Anything else that begins like WebAssembly is left for others to refuse.
///
/// # Errors
/// [`PrepareError`] where a core module says nothing of its types, or they do not go together with its functions.
pub fn component(wasm: &[u8]) -> Result<Cow<'_, [u8]>, PrepareError> {
    if !Parser::is_core_wasm(wasm) {
        return Ok(Cow::Borrowed(wasm));
    }
    if !has_types(wasm)? {
        return Err(PrepareError::CoreModule);
    }
    // The encoder is made for what compilers write; should it panic at other bytes, the host does not.
    let encode = || {
        let encoder = ComponentEncoder::default().validate(false).module(wasm)?;
        // Only what imports functions of it gets it.
        encoder.adapter(ADAPTER_NAME, REACTOR_ADAPTER)?.encode()
    };
    match catch_unwind(AssertUnwindSafe(encode)) {
        Ok(Ok(component)) => Ok(Cow::Owned(component)),
        Ok(Err(error)) => Err(PrepareError::not_encoded(&format!("{error:#}"))),
        Err(_) => Err(PrepareError::not_encoded("its types and its functions do not go together")),
    }
}

/// Whether a core module says what its types are; what it says is bounded as that of a component is.
fn has_types(module: &[u8]) -> Result<bool, PrepareError> {
    let mut found = false;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| PrepareError::invalid(&error.to_string()))?;
        let Payload::CustomSection(section) = payload else { continue };
        if !section.name().starts_with(SECTION) {
            continue;
        }
        found = true;
        for payload in Parser::new(0).parse_all(section.data()) {
            // What cannot be read is for the encoder to explain.
            let Ok(payload) = payload else { break };
            if let Payload::ComponentTypeSection(types) = payload {
                bound_types(section.data().get(types.range()).unwrap_or_default())?;
            }
        }
    }
    Ok(found)
}
