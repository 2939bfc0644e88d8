//! Loading compiled code: the one place of the family where the compiler's guarantees end.
//!
//! wasmtime's loading call is `unsafe` because it runs what it is given as machine code; it tells files that are damaged or from
//! another build, not files that somebody made to do harm. Here it is given only what carries the authentication code of a key
//! that nobody but the owner of the cache has:
//!
//! - [`seal`] is called with what this very process has compiled.
//! - [`Authentic`] cannot be made but by [`Authentic::open`], which computes the code over the very bytes that are loaded later,
//!   in memory that is this process's own: nothing can be exchanged between the check and the use.
//! - The code also covers what the artifact is for (component, build, profile, flavour), so that one cannot pass for another.
//!
//! What remains trusted is that the key is secret and that this build of wasmtime compiles soundly, which any use of it rests on.
#![allow(unsafe_code, reason = "wasmtime cannot check machine code; it is authenticated here instead")]

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;
use zeroize::Zeroizing;

const CODE: usize = 32;

/// A file's content: the authentication code, and the artifact.
pub(super) fn seal(key: &[u8; 32], context: &[u8], artifact: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(CODE + artifact.len());
    file.extend_from_slice(&mac(key, context, artifact).finalize().into_bytes());
    file.extend_from_slice(artifact);
    file
}

/// An artifact that this owner's key vouches for.
pub(super) struct Authentic(Vec<u8>);

impl Authentic {
    /// Checks what a file has.
    pub(super) fn open(key: &[u8; 32], context: &[u8], file: Vec<u8>) -> Option<Self> {
        let (code, artifact) = file.split_at_checked(CODE)?;
        // In constant time.
        mac(key, context, artifact).verify_slice(code).ok()?;
        Some(Self(file))
    }

    /// The component in it, for an engine of the build that compiled it.
    pub(super) fn load(&self, engine: &Engine) -> Result<Component, wasmtime::Error> {
        let artifact = self.0.get(CODE..).unwrap_or_default();
        // SAFETY: these bytes were authenticated by `open`, with a key under which only `seal` signs what `Engine` of this
        // build has compiled in a process that holds the key. See the module's text.
        unsafe { Component::deserialize(engine, artifact) }
    }
}

fn mac(key: &[u8; 32], context: &[u8], artifact: &[u8]) -> Hmac<Sha256> {
    // A shorter key is one with zeros behind it.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&(*block).into());
    // Lengths first, so that nothing can move from one part to the other.
    mac.update(&(context.len() as u64).to_be_bytes());
    mac.update(context);
    mac.update(artifact);
    mac
}
