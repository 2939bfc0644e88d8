//! What homestar's guests ask of their host: a log, which goes into the trace, and a clock, which stands still.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::{Host, charge};

const LOGGING: &str = "wasi:logging/logging";
const HELPERS: &str = "homestar:host/helpers@0.1.1";

pub(super) const INTERFACES: [&str; 2] = [LOGGING, HELPERS];

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "guests make them")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// The time since the run began, of which a deterministic guest sees nothing.
#[derive(Default, ComponentType, Lower)]
#[component(record)]
struct Time {
    seconds: u64,
    milliseconds: u32,
    nanoseconds: u32,
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.instance(LOGGING)?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, Host>, (level, context, message): (Level, String, String)| {
            charge(&mut store, context.len().saturating_add(message.len()))?;
            store.data_mut().trace.push(level.name(), &context, &message);
            Ok(())
        },
    )?;
    let mut helpers = linker.instance(HELPERS)?;
    helpers.func_wrap("get-current-time", |mut store: StoreContextMut<'_, Host>, (): ()| {
        charge(&mut store, size_of::<Time>())?;
        Ok((Time::default(),))
    })?;
    helpers.func_wrap("print", |mut store: StoreContextMut<'_, Host>, (message,): (String,)| {
        charge(&mut store, message.len())?;
        store.data_mut().trace.push("stdout", "", &message);
        Ok(())
    })
}
