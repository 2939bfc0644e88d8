//! Results that are for this engine's eyes only.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use ucan_core::{Cid, Ipld, block, dagcbor};
use ucan_invocation::{Entropy, Failure, Outcome, Receipt, TaskId};
use zeroize::Zeroizing;

/// The field of a sealed result that holds it.
const SEALED: &str = "ipvm/sealed";
/// How many bytes the nonce of a sealed value has; they are in front of it.
const NONCE: usize = 24;

/// What keeps the results of secret tasks: they are encrypted (XChaCha20-Poly1305) before they are signed, so that neither the store
/// nor anybody who is shown a receipt has them in the clear.
///
/// Whoever has the key reads them all. Without it, or with another, what was sealed is as if it were not known: it is computed
/// again, and where it alters the world, it is uncertain whether it was done.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

struct Keys {
    cipher: XChaCha20Poly1305,
    blind: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// A vault with this key: 32 random bytes that are kept as a signing key is.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let [seal, blind] = [b"ipvm seal", b"ipvm name"].map(|use_| derive(key, use_));
        Self(Arc::new(Keys { cipher: XChaCha20Poly1305::new((&*seal).into()), blind }))
    }

    /// Encrypts `value`, so that it can be opened as what `context` says and nothing else. `None` where it is too long to be.
    #[must_use]
    pub fn seal(&self, value: &[u8], context: &[u8], entropy: &dyn Entropy) -> Option<Vec<u8>> {
        let mut sealed = vec![0; NONCE];
        entropy.fill(&mut sealed);
        let nonce = XNonce::try_from(sealed.as_slice()).ok()?;
        sealed.extend(self.0.cipher.encrypt(&nonce, Payload { msg: value, aad: context }).ok()?);
        Some(sealed)
    }

    /// What was sealed with the same key and context, if that is what it is.
    #[must_use]
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let nonce = XNonce::try_from(nonce).ok()?;
        self.0.cipher.decrypt(&nonce, Payload { msg: sealed, aad: context }).ok().map(Zeroizing::new)
    }

    /// A name for a task whose arguments are secret: the same for the same task, and without the key it says nothing of them.
    pub(crate) fn blind(&self, task: &TaskId) -> TaskId {
        TaskId::new(block::raw_cid(&*derive(&self.0.blind, &task.cid().to_bytes())))
    }

    /// What a receipt states in the place of the outcome of the secret task `id`. Whether it failed can be seen, and then `name`.
    pub(crate) fn seal_outcome(
        &self,
        id: &TaskId,
        outcome: &Outcome,
        name: Option<&str>,
        entropy: &dyn Entropy,
    ) -> Option<Outcome> {
        let (Outcome::Ok(value) | Outcome::Error(value)) = outcome;
        let plain = Zeroizing::new(dagcbor::encode(value).ok()?);
        let sealed = Ipld::Bytes(self.seal(&plain, &context(id, outcome.is_ok()), entropy)?);
        Some(match outcome {
            Outcome::Ok(_) => Outcome::Ok(Ipld::Map([(SEALED.to_owned(), sealed)].into())),
            Outcome::Error(_) => Failure::new(name.unwrap_or("Failed"), "what came of a secret task is secret")
                .with(SEALED, sealed)
                .into(),
        })
    }

    /// What came of the secret task `id`, where `stated` is what [`Vault::seal_outcome`] gave.
    pub(crate) fn open_outcome(&self, id: &TaskId, stated: &Outcome) -> Option<Outcome> {
        let (Outcome::Ok(Ipld::Map(map)) | Outcome::Error(Ipld::Map(map))) = stated else { return None };
        let Some(Ipld::Bytes(sealed)) = map.get(SEALED) else { return None };
        let plain = self.open(sealed, &context(id, stated.is_ok()))?;
        let value = dagcbor::decode(&plain).ok()?;
        Some(if stated.is_ok() { Outcome::Ok(value) } else { Outcome::Error(value) })
    }
}

/// Whether a receipt states the sealed outcome of a secret task.
pub(crate) fn is_sealed(receipt: &Receipt) -> bool {
    let (Outcome::Ok(value) | Outcome::Error(value)) = receipt.outcome();
    matches!(value, Ipld::Map(map) if map.contains_key(SEALED))
}

/// An outcome is that of its task, and cannot be passed for that of another, or a failure for a success.
fn context(id: &TaskId, succeeded: bool) -> Vec<u8> {
    let mut context = Cid::from(*id).to_bytes();
    context.push(succeeded.into());
    context
}

fn derive(key: &[u8; 32], what: &[u8]) -> Zeroizing<[u8; 32]> {
    // A key is filled up with zeros to the block of the hash.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new((&*block).into());
    mac.update(what);
    Zeroizing::new(mac.finalize().into_bytes().into())
}
