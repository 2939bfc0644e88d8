//! Streams and what waits for them: an input that has ended, outputs that take everything, and pollables that never wait.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};

use super::super::{Host, Stop, charge};
use super::{state, versioned};

/// How many bytes an output takes at once.
const PERMIT: u64 = 64 << 10;
/// How many pollables a guest can have at once.
const POLLABLES: usize = 10_000;
/// How long a line can be before it is broken.
const LINE: usize = 8 << 10;

/// The types of resources, of which there is nothing but their numbers.
pub(super) enum IoError {}
pub(super) enum InputStream {}
pub(super) enum OutputStream {}
pub(super) enum Pollable {}
pub(super) enum TerminalInput {}
pub(super) enum TerminalOutput {}
pub(super) enum Descriptor {}
pub(super) enum Network {}
/// Those that no function ever gives.
enum Never<const N: u8> {}

/// The numbers of the streams.
pub(super) const STDIN: u32 = 0;
pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// Why a stream gives nothing.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "nothing ever fails")]
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

/// What was printed and is no whole line yet.
#[derive(Debug, Default)]
pub(super) struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// What guests wait for: times, by the number of the resource.
#[derive(Debug, Default)]
pub(super) struct Pollables {
    times: Vec<u64>,
    free: Vec<u32>,
}

impl Pollables {
    /// A pollable that is ready from a time on.
    pub(super) fn add(&mut self, when: u64) -> Result<Resource<Pollable>, Stop> {
        if let Some(number) = self.free.pop() {
            if let Some(time) = self.times.get_mut(number as usize) {
                *time = when;
            }
            return Ok(Resource::new_own(number));
        }
        let number = u32::try_from(self.times.len()).ok().filter(|_| self.times.len() < POLLABLES);
        let number = number.ok_or_else(|| Stop::Trap(format!("more than {POLLABLES} pollables at once")))?;
        self.times.push(when);
        Ok(Resource::new_own(number))
    }

    fn time(&self, pollable: &Resource<Pollable>) -> u64 {
        self.times.get(pollable.rep() as usize).copied().unwrap_or_default()
    }
}

impl Host {
    /// Takes what was printed, line by line, into the trace.
    fn print(&mut self, stream: u32, bytes: &[u8]) {
        let name = if stream == STDERR { "stderr" } else { "stdout" };
        let output = &mut self.wasi().output;
        let mut line = std::mem::take(if stream == STDERR { &mut output.stderr } else { &mut output.stdout });
        for byte in bytes {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() == LINE {
                self.trace.push(name, "", &String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        let output = &mut self.wasi().output;
        *(if stream == STDERR { &mut output.stderr } else { &mut output.stdout }) = line;
    }

    /// Takes what was printed without the end of a line.
    pub(in super::super) fn end_lines(&mut self) {
        let Some(wasi) = &mut self.wasi else { return };
        let output = std::mem::take(&mut wasi.output);
        for (name, line) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            if !line.is_empty() {
                self.trace.push(name, "", &String::from_utf8_lossy(&line));
            }
        }
    }
}

type Store<'a> = StoreContextMut<'a, Host>;

/// Defines a resource, which is of one type in all interfaces.
pub(super) fn resource(instance: &mut LinkerInstance<'_, Host>, name: &str) -> wasmtime::Result<()> {
    let ty = match name {
        "error" => ResourceType::host::<IoError>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "pollable" => {
            return instance.resource(name, ResourceType::host::<Pollable>(), |mut store: Store<'_>, number| {
                state(&mut store).pollables.free.push(number);
                Ok(())
            });
        }
        "terminal-input" => ResourceType::host::<TerminalInput>(),
        "terminal-output" => ResourceType::host::<TerminalOutput>(),
        "descriptor" => ResourceType::host::<Descriptor>(),
        "network" => ResourceType::host::<Network>(),
        "directory-entry-stream" => ResourceType::host::<Never<0>>(),
        "resolve-address-stream" => ResourceType::host::<Never<1>>(),
        "tcp-socket" => ResourceType::host::<Never<2>>(),
        "udp-socket" => ResourceType::host::<Never<3>>(),
        "incoming-datagram-stream" => ResourceType::host::<Never<4>>(),
        _ => ResourceType::host::<Never<5>>(),
    };
    instance.resource(name, ty, |_, _| Ok(()))
}

pub(super) fn link(linker: &mut Linker<Host>, version: &str) -> wasmtime::Result<()> {
    link_poll(linker, version)?;
    link_streams(linker, version)
}

fn link_poll(linker: &mut Linker<Host>, version: &str) -> wasmtime::Result<()> {
    let mut poll = linker.instance(&versioned("wasi:io/poll", version))?;
    poll.func_wrap("[method]pollable.ready", |mut store: Store<'_>, (pollable,): (Resource<Pollable>,)| {
        charge(&mut store, 0)?;
        let wasi = state(&mut store);
        Ok((wasi.pollables.time(&pollable) <= wasi.clock.now(),))
    })?;
    poll.func_wrap("[method]pollable.block", |mut store: Store<'_>, (pollable,): (Resource<Pollable>,)| {
        charge(&mut store, 0)?;
        let wasi = state(&mut store);
        wasi.clock.pass(wasi.pollables.time(&pollable));
        Ok(())
    })?;
    poll.func_wrap("poll", |mut store: Store<'_>, (pollables,): (Vec<Resource<Pollable>>,)| {
        charge(&mut store, pollables.len().saturating_mul(4))?;
        let wasi = state(&mut store);
        let times: Vec<u64> = pollables.iter().map(|pollable| wasi.pollables.time(pollable)).collect();
        let first = times.iter().min().ok_or_else(|| Stop::Trap("a poll of nothing never ends".to_owned()))?;
        wasi.clock.pass(*first);
        let now = wasi.clock.now();
        Ok(((0_u32..).zip(times).filter(|(_, time)| *time <= now).map(|(at, _)| at).collect::<Vec<u32>>(),))
    })
}

fn link_streams(linker: &mut Linker<Host>, version: &str) -> wasmtime::Result<()> {
    let mut streams = linker.instance(&versioned("wasi:io/streams", version))?;
    for read in ["read", "blocking-read"] {
        let read = format!("[method]input-stream.{read}");
        streams.func_wrap(&read, |mut store: Store<'_>, (_, _): (Resource<InputStream>, u64)| {
            charge(&mut store, 0)?;
            Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
        })?;
    }
    for skip in ["skip", "blocking-skip"] {
        let skip = format!("[method]input-stream.{skip}");
        streams.func_wrap(&skip, |mut store: Store<'_>, (_, _): (Resource<InputStream>, u64)| {
            charge(&mut store, 0)?;
            Ok((Err::<u64, _>(StreamError::Closed),))
        })?;
    }
    streams.func_wrap("[method]input-stream.subscribe", |mut store: Store<'_>, (_,): (Resource<InputStream>,)| {
        charge(&mut store, 0)?;
        Ok((state(&mut store).pollables.add(0)?,))
    })?;
    streams.func_wrap("[method]output-stream.subscribe", |mut store: Store<'_>, (_,): (Resource<OutputStream>,)| {
        charge(&mut store, 0)?;
        Ok((state(&mut store).pollables.add(0)?,))
    })?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |mut store: Store<'_>, (_,): (Resource<OutputStream>,)| {
            charge(&mut store, 0)?;
            Ok((Ok::<_, StreamError>(PERMIT),))
        },
    )?;
    for flush in ["flush", "blocking-flush"] {
        let flush = format!("[method]output-stream.{flush}");
        streams.func_wrap(&flush, |mut store: Store<'_>, (_,): (Resource<OutputStream>,)| {
            charge(&mut store, 0)?;
            Ok((Ok::<_, StreamError>(()),))
        })?;
    }
    for write in ["write", "blocking-write-and-flush"] {
        let write = format!("[method]output-stream.{write}");
        streams.func_wrap(&write, |mut store: Store<'_>, (to, bytes): (Resource<OutputStream>, Vec<u8>)| {
            charge(&mut store, bytes.len())?;
            if bytes.len() as u64 > PERMIT {
                return Err(Stop::Trap(format!("more than {PERMIT} bytes written at once")).into());
            }
            store.data_mut().print(to.rep(), &bytes);
            Ok((Ok::<_, StreamError>(()),))
        })?;
    }
    for zeroes in ["write-zeroes", "blocking-write-zeroes-and-flush"] {
        let zeroes = format!("[method]output-stream.{zeroes}");
        streams.func_wrap(&zeroes, |mut store: Store<'_>, (to, length): (Resource<OutputStream>, u64)| {
            let Some(length) = usize::try_from(length).ok().filter(|_| length <= PERMIT) else {
                return Err(Stop::Trap(format!("more than {PERMIT} bytes written at once")).into());
            };
            charge(&mut store, length)?;
            store.data_mut().print(to.rep(), &vec![0; length]);
            Ok((Ok::<_, StreamError>(()),))
        })?;
    }
    for splice in ["splice", "blocking-splice"] {
        let splice = format!("[method]output-stream.{splice}");
        type Spliced = (Resource<OutputStream>, Resource<InputStream>, u64);
        streams.func_wrap(&splice, |mut store: Store<'_>, (_, _, _): Spliced| {
            charge(&mut store, 0)?;
            // There is no input that has anything.
            Ok((Err::<u64, _>(StreamError::Closed),))
        })?;
    }
    Ok(())
}
