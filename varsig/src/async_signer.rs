//! Keys that take their time.

use alloc::boxed::Box;
use core::{fmt, pin::Pin};

use crate::{SignError, Signature, SignatureAlgorithm, Signer};

/// A signature that is being made.
pub type SignFuture<'a> = Pin<Box<dyn Future<Output = Result<Signature, SignError>> + Send + 'a>>;

/// Somebody who signs after a while: a hardware module, a key service, a wallet that asks its owner.
///
/// Every [`Signer`] is one. The trait needs no runtime, and can be held as `Arc<dyn AsyncSigner>`.
///
/// # Contract
///
/// That of [`Signer`]. Nothing is signed before the future is polled; one that is dropped may have signed or not.
///
/// ```
/// use std::sync::Arc;
/// use varsig::{AsyncSigner, SignError, Signature};
///
/// async fn countersign(keys: &[Arc<dyn AsyncSigner>], message: &[u8]) -> Result<Vec<Signature>, SignError> {
///     let mut signatures = Vec::new();
///     for key in keys {
///         signatures.push(key.sign(message).await?);
///     }
///     Ok(signatures)
/// }
/// ```
pub trait AsyncSigner: fmt::Debug + Send + Sync {
    /// The algorithm of every signature that this signer makes.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs a message; the future fails when the key cannot be used.
    fn sign<'a>(&'a self, message: &'a [u8]) -> SignFuture<'a>;
}

impl<T: Signer + ?Sized> AsyncSigner for T {
    fn algorithm(&self) -> SignatureAlgorithm {
        Signer::algorithm(self)
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> SignFuture<'a> {
        Box::pin(async move { self.try_sign(message) })
    }
}
