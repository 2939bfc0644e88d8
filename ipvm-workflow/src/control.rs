use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use ucan_core::Cid;
use ucan_invocation::{Outcome, TaskId};

/// What somebody wants of a run that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    #[default]
    Go,
    Pause,
    Cancel,
}

/// Tells a run that is under way to stop. Clones tell the same run.
#[derive(Clone, Debug)]
pub struct Control {
    own: Arc<watch::Sender<Wish>>,
    /// What tells this run and others.
    all: Option<Arc<Control>>,
}

impl Default for Control {
    fn default() -> Self {
        Self { own: Arc::new(watch::Sender::new(Wish::Go)), all: None }
    }
}

impl Control {
    /// That of a single run among several: what this one is told holds for it too, and not the other way round.
    #[must_use]
    pub fn of_one(&self) -> Self {
        Self { all: Some(Arc::new(self.clone())), ..Self::default() }
    }

    /// Starts nothing more. What is under way comes to its receipts; then the run ends with
    /// [`RunError::Paused`](crate::RunError::Paused), and can be resumed.
    pub fn pause(&self) {
        self.wish(Wish::Pause);
    }

    /// Starts nothing more. What is under way comes to its receipts, what the run did is undone where its workflow says how, and
    /// the run is over.
    pub fn cancel(&self) {
        self.wish(Wish::Cancel);
    }

    fn wish(&self, wish: Wish) {
        // What was cancelled stays so.
        self.own.send_if_modified(|wished| std::mem::replace(wished, wish.max(*wished)) < wish);
    }

    pub(crate) fn wished(&self) -> Wish {
        let all = self.all.as_ref().map_or(Wish::Go, |all| all.wished());
        all.max(*self.own.borrow())
    }

    /// Comes back when something else is wanted than going on.
    pub(crate) async fn stopped(&self) {
        let own = async {
            let mut wishes = self.own.subscribe();
            // The sender is here, so that there is always one.
            let _never = wishes.wait_for(|wish| *wish > Wish::Go).await;
        };
        match &self.all {
            None => own.await,
            Some(all) => tokio::select! {
                () = own => {}
                () = Box::pin(all.stopped()) => {}
            },
        }
    }
}

/// What somebody found out of a task of which it was uncertain whether it took effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// It did, and this came of it.
    Done(Outcome),
    /// It did not, and will not: it can be done now.
    NotDone,
}

/// How a run is to be gone about.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// By what it can be told to stop.
    pub control: Control,
    /// What was found out of tasks that are uncertain, by their ids in the workflow's plan. It holds for this time: after another
    /// crash it has to be found out again.
    pub resolutions: BTreeMap<TaskId, Resolution>,
    /// How important it is beside other runs: places to run tasks are given to the most important runs first. 0 unless it is said.
    pub priority: i16,
    /// The most that it may cost from now on, in units of fuel: it is paused before a task starts that could exceed it.
    pub cap: Option<u64>,
    /// How long after its first start tasks are started, in whole seconds, instead of what its workflow says
    /// ([`RunConfig::time`](crate::RunConfig::time)).
    pub time: Option<Duration>,
    /// The most fuel that its tasks may use together since its first start, instead of what its workflow says
    /// ([`RunConfig::gas`](crate::RunConfig::gas)).
    pub gas: Option<u64>,
    /// The channel that pays for it, instead of the one that its request names; it has to be held by the same principal. For a
    /// run whose channel is used up.
    pub channel: Option<Cid>,
}
