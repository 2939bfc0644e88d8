//! WASI 0.2 for guests that cannot do without it, in which nothing comes from outside: what a guest reads of the time, of chance and
//! of the world is the same on every machine.
//!
//! | interface | what a guest sees |
//! |---|---|
//! | `wasi:clocks` | a clock that stands still but for 1 ms at each reading, and jumps to where a guest waits for |
//! | `wasi:random` | numbers that derive from the seed of the call |
//! | `wasi:cli` | no arguments, no environment, an input that has ended, an output that goes into the trace |
//! | `wasi:filesystem`, `wasi:sockets` | no folder and no network: none of their functions can be called with anything |

mod clocks;
mod io;
mod random;
mod surroundings;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::Host;
use crate::Seed;

/// The interfaces that are offered, in any version 0.2.
pub(super) const INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The resources that each interface has or uses. All of one name are one type.
const RESOURCES: [(&str, &[&str]); 21] = [
    ("wasi:cli/stderr", &["output-stream"]),
    ("wasi:cli/stdin", &["input-stream"]),
    ("wasi:cli/stdout", &["output-stream"]),
    ("wasi:cli/terminal-input", &["terminal-input"]),
    ("wasi:cli/terminal-output", &["terminal-output"]),
    ("wasi:cli/terminal-stderr", &["terminal-output"]),
    ("wasi:cli/terminal-stdin", &["terminal-input"]),
    ("wasi:cli/terminal-stdout", &["terminal-output"]),
    ("wasi:clocks/monotonic-clock", &["pollable"]),
    ("wasi:filesystem/preopens", &["descriptor"]),
    ("wasi:filesystem/types", &["input-stream", "output-stream", "error", "descriptor", "directory-entry-stream"]),
    ("wasi:io/error", &["error"]),
    ("wasi:io/poll", &["pollable"]),
    ("wasi:io/streams", &["error", "pollable", "input-stream", "output-stream"]),
    ("wasi:sockets/instance-network", &["network"]),
    ("wasi:sockets/ip-name-lookup", &["pollable", "network", "resolve-address-stream"]),
    ("wasi:sockets/network", &["network", "error"]),
    ("wasi:sockets/tcp", &["input-stream", "output-stream", "pollable", "network", "tcp-socket"]),
    ("wasi:sockets/tcp-create-socket", &["network", "tcp-socket"]),
    ("wasi:sockets/udp-create-socket", &["network", "udp-socket"]),
    (
        "wasi:sockets/udp",
        &["pollable", "network", "udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"],
    ),
];

/// What the run of one guest has of it.
#[derive(Default)]
pub(super) struct Wasi {
    clock: clocks::Clock,
    random: random::Random,
    output: io::Output,
    pollables: io::Pollables,
}

impl Wasi {
    pub(super) fn new(seed: &Seed) -> Self {
        Self { random: random::Random::new(seed), ..Self::default() }
    }
}

/// The version in which this offers what is imported by a name, if it does.
pub(super) fn version(name: &str) -> Option<&str> {
    let (interface, version) = name.split_once('@')?;
    // What comes before a release keeps to nothing.
    let released = version.strip_prefix("0.2.").is_some_and(|patch| patch.bytes().all(|c| c.is_ascii_digit()));
    (released && INTERFACES.contains(&interface)).then_some(version)
}

/// Defines, in a version, all functions that can come to be called. The others, which need a file or a socket that nobody can
/// have, are left to be defined as traps where a component imports them.
pub(super) fn link(linker: &mut Linker<Host>, version: &str) -> wasmtime::Result<()> {
    for (interface, resources) in RESOURCES {
        let mut instance = linker.instance(&versioned(interface, version))?;
        resources.iter().try_for_each(|name| io::resource(&mut instance, name))?;
    }
    io::link(linker, version)?;
    clocks::link(linker, version)?;
    random::link(linker, version)?;
    surroundings::link(linker, version)
}

/// An interface as it is imported.
fn versioned(interface: &str, version: &str) -> String {
    format!("{interface}@{version}")
}

/// The state of this guest, made when it is first asked for.
fn state<'a>(store: &'a mut StoreContextMut<'_, Host>) -> &'a mut Wasi {
    store.data_mut().wasi()
}
