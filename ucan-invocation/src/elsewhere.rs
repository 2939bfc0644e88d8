use std::sync::Arc;
use std::time::Duration;

use crate::{RequestStore, Timer, Transport};

/// How an executor waits for the tasks of others: whom it reaches, how time passes, and where it keeps what waits.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// The way to other executors.
    pub transport: Arc<dyn Transport>,
    /// What lets time pass.
    pub timer: Arc<dyn Timer>,
    /// Where requests are kept while they wait.
    pub requests: Arc<dyn RequestStore>,
    /// For how long and how much is waited.
    pub patience: Patience,
}

/// For how long an executor waits for others, and how much may wait at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// How long an invocation waits at most: 5 minutes. What is less than a second is cut off.
    pub longest: Duration,
    /// How long one attempt to ask another executor may take before it is asked again: 30 seconds. The other one answers when it
    /// is done, so that a shorter time asks more often for nothing, and a longer one notices a lost answer later.
    pub attempt: Duration,
    /// How long the pause after the first failed attempt is: 200 milliseconds. Each further one is twice as long.
    pub pause: Duration,
    /// How long a pause is at most: 10 seconds.
    pub longest_pause: Duration,
    /// How many invocations may wait at once: 4,096.
    pub waiting: usize,
    /// How many of one invoker: 256.
    pub waiting_of_one: usize,
    /// The same with an invocation that comes in several requests, as it does from all who await its task, counted in each: 512.
    pub places_of_one: usize,
    /// For how many tasks of others one invocation may wait: 256.
    pub awaited: usize,
    /// How many questions to others may be open at once, each of which can take a socket: 512.
    pub questions: usize,
    /// How many bytes of requests to others are held at once while these are asked: 256 MiB.
    pub forwarded: usize,
    /// To how many others results are pushed for one request: 64.
    pub pushes: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(300),
            attempt: Duration::from_secs(30),
            pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            waiting: 4096,
            waiting_of_one: 256,
            places_of_one: 512,
            awaited: 256,
            questions: 512,
            forwarded: 256 << 20,
            pushes: 64,
        }
    }
}
