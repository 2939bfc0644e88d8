use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// What lets time pass. Libraries take it from their host, so that they need no runtime of their own, and tests can make time
/// pass as they like.
#[async_trait]
pub trait Timer: fmt::Debug + Send + Sync {
    /// Comes back after so much time, no earlier.
    async fn sleep(&self, time: Duration);
}

/// The timer of tokio, within whose runtime it has to be polled.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

#[cfg(feature = "tokio")]
#[async_trait]
impl Timer for TokioTimer {
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
