use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Poll, Waker};

use crate::memory::lock;

/// A value that is not there yet, and those who wait for it. Nothing that is dropped while it waits is missed by others.
#[derive(Debug)]
pub(crate) struct Slot<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waiting: Vec<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(State { value: None, waiting: Vec::new() }))
    }
}

impl<T: Clone> Slot<T> {
    /// Puts the value there and wakes those who wait. The first value stays.
    pub(crate) fn set(&self, value: T) {
        let waiting = {
            let mut state = lock(&self.0);
            state.value.get_or_insert(value);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The value, if it is there.
    pub(crate) fn get(&self) -> Option<T> {
        lock(&self.0).value.clone()
    }

    /// The value, as soon as it is there.
    pub(crate) async fn settled(&self) -> T {
        poll_fn(|context| {
            let mut state = lock(&self.0);
            if let Some(value) = &state.value {
                return Poll::Ready(value.clone());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}
