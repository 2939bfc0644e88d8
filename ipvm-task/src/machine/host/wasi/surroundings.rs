//! A world with nothing in it.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource};

use super::super::{Host, Stop, charge};
use super::io::{Descriptor, InputStream, Network, OutputStream, STDERR, STDIN, STDOUT, TerminalInput, TerminalOutput};
use super::versioned;

/// Why there is no socket, in the words of `wasi:sockets/network`; its other reasons are not given.
const NO_SOCKET: &str = "access-denied";

type Store<'a> = StoreContextMut<'a, Host>;

pub(super) fn link(linker: &mut Linker<Host>, version: &str) -> wasmtime::Result<()> {
    let mut environment = linker.instance(&versioned("wasi:cli/environment", version))?;
    environment.func_wrap("get-environment", |store: Store<'_>, (): ()| nothing::<Vec<(String, String)>>(store))?;
    environment.func_wrap("get-arguments", |store: Store<'_>, (): ()| nothing::<Vec<String>>(store))?;
    environment.func_wrap("initial-cwd", |store: Store<'_>, (): ()| nothing::<Option<String>>(store))?;

    linker.instance(&versioned("wasi:cli/exit", version))?.func_wrap(
        "exit",
        |_: Store<'_>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            let how = if status.is_ok() { "success" } else { "failure" };
            Err(Stop::Trap(format!("the guest ended itself and gave nothing, with the status of a {how}")).into())
        },
    )?;

    linker.instance(&versioned("wasi:cli/stdin", version))?.func_wrap(
        "get-stdin",
        |mut store: Store<'_>, (): ()| {
            charge(&mut store, 0)?;
            Ok((Resource::<InputStream>::new_own(STDIN),))
        },
    )?;
    for (interface, function, stream) in
        [("wasi:cli/stdout", "get-stdout", STDOUT), ("wasi:cli/stderr", "get-stderr", STDERR)]
    {
        linker.instance(&versioned(interface, version))?.func_wrap(function, move |mut store: Store<'_>, (): ()| {
            charge(&mut store, 0)?;
            Ok((Resource::<OutputStream>::new_own(stream),))
        })?;
    }

    linker
        .instance(&versioned("wasi:cli/terminal-stdin", version))?
        .func_wrap("get-terminal-stdin", |store: Store<'_>, (): ()| {
            nothing::<Option<Resource<TerminalInput>>>(store)
        })?;
    for (interface, function) in
        [("wasi:cli/terminal-stdout", "get-terminal-stdout"), ("wasi:cli/terminal-stderr", "get-terminal-stderr")]
    {
        linker
            .instance(&versioned(interface, version))?
            .func_wrap(function, |store: Store<'_>, (): ()| nothing::<Option<Resource<TerminalOutput>>>(store))?;
    }

    linker
        .instance(&versioned("wasi:filesystem/preopens", version))?
        .func_wrap("get-directories", |store: Store<'_>, (): ()| {
            nothing::<Vec<(Resource<Descriptor>, String)>>(store)
        })?;

    linker.instance(&versioned("wasi:sockets/instance-network", version))?.func_wrap(
        "instance-network",
        |mut store: Store<'_>, (): ()| {
            charge(&mut store, 0)?;
            // It is there, and nothing can be done with it.
            Ok((Resource::<Network>::new_own(0),))
        },
    )?;
    for (interface, function) in [
        ("wasi:sockets/tcp-create-socket", "create-tcp-socket"),
        ("wasi:sockets/udp-create-socket", "create-udp-socket"),
        ("wasi:sockets/ip-name-lookup", "resolve-addresses"),
    ] {
        refuse(linker, version, interface, function)?;
    }
    Ok(())
}

/// The empty value of a type.
fn nothing<T: Default + ComponentType + Lift + Lower>(mut store: Store<'_>) -> wasmtime::Result<(T,)> {
    charge(&mut store, 0)?;
    Ok((T::default(),))
}

/// A function that gives nothing but an error. It is not typed, since what it would give is a resource without functions.
fn refuse(linker: &mut Linker<Host>, version: &str, interface: &str, function: &str) -> wasmtime::Result<()> {
    use wasmtime::component::Val;
    linker.instance(&versioned(interface, version))?.func_new(function, |mut store, _, _, results| {
        charge(&mut store, 0)?;
        if let [result] = results {
            *result = Val::Result(Err(Some(Box::new(Val::Enum(NO_SOCKET.to_owned())))));
        }
        Ok(())
    })
}
