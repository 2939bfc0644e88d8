//! Components out of core modules: toolchains leave the types of a module's functions in a custom section.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::scan::bound_types;
use crate::PrepareError;

/// What makes components, as the determinism profile names it: the component is part of what decides fuel.
pub(super) const ENCODER: &str = "wit-component 0.254";
/// How the sections with types are named; a suffix tells several apart.
const SECTION: &str = "component-type";

/// The component that `wasm` is, or that it says how to make: a core module with embedded component types becomes one that
/// has it inside. Anything else that begins like WebAssembly is left for others to refuse.
pub(super) fn component(wasm: &[u8]) -> Result<Cow<'_, [u8]>, PrepareError> {
    if !Parser::is_core_wasm(wasm) {
        return Ok(Cow::Borrowed(wasm));
    }
    if !has_types(wasm)? {
        return Err(PrepareError::CoreModule);
    }
    // The encoder is made for what compilers write; should it panic at other bytes, the host does not.
    let encode = || ComponentEncoder::default().validate(false).module(wasm)?.encode();
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
