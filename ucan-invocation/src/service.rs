use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_service::Service;
use ucan_core::Container;

use crate::{ExecuteError, Executor};

/// An executor is always ready, so that layers decide how much it takes on at once and how long it may take.
///
/// A layer that gives up on a call drops its future: what a handler has begun may have been done, and has no receipt then.
impl Service<Container> for Executor {
    type Response = Container;
    type Error = ExecuteError;
    type Future = Pin<Box<dyn Future<Output = Result<Container, ExecuteError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ExecuteError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Container) -> Self::Future {
        let executor = self.clone();
        Box::pin(async move { executor.execute(&request).await })
    }
}
