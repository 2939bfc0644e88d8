//! Numbers that look random and are the same for the same call.

use sha2::{Digest, Sha256};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::super::{Host, Stop, charge};
use super::{state, versioned};
use crate::Seed;

/// The most bytes that one call gives.
const MOST: u64 = 1 << 20;

/// The hashes of a seed, a purpose and a counter, one after the other.
#[derive(Debug, Default)]
pub(super) struct Random {
    seed: Seed,
    used: [u64; 3],
}

/// What numbers are for. Those for one purpose say nothing about those for another.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Secure,
    Insecure,
    Seed,
}

impl Random {
    pub(super) fn new(seed: &Seed) -> Self {
        Self { seed: *seed, used: [0; 3] }
    }

    fn block(&mut self, purpose: Purpose) -> [u8; 32] {
        let (name, used) = match (purpose, &mut self.used) {
            (Purpose::Secure, [used, _, _]) => ("random", used),
            (Purpose::Insecure, [_, used, _]) => ("insecure", used),
            (Purpose::Seed, [_, _, used]) => ("insecure-seed", used),
        };
        let hash = Sha256::new().chain_update(self.seed).chain_update(name).chain_update(used.to_be_bytes());
        *used += 1;
        hash.finalize().into()
    }

    fn bytes(&mut self, purpose: Purpose, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let left = length - bytes.len();
            bytes.extend(self.block(purpose).into_iter().take(left));
        }
        bytes
    }

    fn number(&mut self, purpose: Purpose) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.block(purpose);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

pub(super) fn link(linker: &mut Linker<Host>, version: &str) -> wasmtime::Result<()> {
    for (interface, bytes, number, purpose) in [
        ("wasi:random/random", "get-random-bytes", "get-random-u64", Purpose::Secure),
        ("wasi:random/insecure", "get-insecure-random-bytes", "get-insecure-random-u64", Purpose::Insecure),
    ] {
        let mut instance = linker.instance(&versioned(interface, version))?;
        instance.func_wrap(bytes, move |mut store: StoreContextMut<'_, Host>, (length,): (u64,)| {
            let Some(length) = usize::try_from(length).ok().filter(|_| length <= MOST) else {
                return Err(Stop::Trap(format!("more than {MOST} random bytes at once")).into());
            };
            charge(&mut store, length)?;
            Ok((state(&mut store).random.bytes(purpose, length),))
        })?;
        instance.func_wrap(number, move |mut store: StoreContextMut<'_, Host>, (): ()| {
            charge(&mut store, 8)?;
            Ok((state(&mut store).random.number(purpose),))
        })?;
    }
    linker.instance(&versioned("wasi:random/insecure-seed", version))?.func_wrap(
        "insecure-seed",
        |mut store: StoreContextMut<'_, Host>, (): ()| {
            charge(&mut store, 16)?;
            let random = &mut state(&mut store).random;
            Ok(((random.number(Purpose::Seed), random.number(Purpose::Seed)),))
        },
    )
}
