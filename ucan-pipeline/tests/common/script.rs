//! An executor whose others answer as they are told.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use ucan_core::{Container, Did, Ipld, Token};
use ucan_invocation::{Executor, Invocation, Outcome, Patience, Receipt, Transport, TransportError, Trust};

use super::{Network, Weather, id, issuer, network, number, receipts};

pub(crate) type Answer = dyn Fn(&Did, &Container) -> Option<Container> + Send + Sync;

/// Answers as it is told, or never; remembers what was sent.
pub(crate) struct Script {
    answer: Box<Answer>,
    pub(crate) sent: Mutex<Vec<(Did, Container)>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        self.sent.lock().unwrap().push((to.clone(), container.clone()));
        match (self.answer)(to, container) {
            Some(answer) => Ok(answer),
            None => pending().await,
        }
    }
}

pub(crate) struct World {
    pub(crate) network: Arc<Network>,
    pub(crate) script: Arc<Script>,
}

pub(crate) fn world_of(
    trust: &Trust,
    patience: Patience,
    answer: impl Fn(&Did, &Container) -> Option<Container> + Send + Sync + 'static,
) -> World {
    let network = network(1, 2, Weather::default(), trust, patience);
    let script = Arc::new(Script { answer: Box::new(answer), sent: Mutex::default() });
    network.node(100).alter(|parts| {
        parts.elsewhere.as_mut().unwrap().transport = Arc::<Script>::clone(&script);
    });
    World { network, script }
}

pub(crate) fn world(answer: impl Fn(&Did, &Container) -> Option<Container> + Send + Sync + 'static) -> World {
    world_of(&Trust::Own, Patience::default(), answer)
}

pub(crate) fn silent() -> World {
    world(|_, _| None)
}

pub(crate) fn meta(attempt: bool) -> BTreeMap<String, Ipld> {
    if attempt { [("attempt".to_owned(), Ipld::Bool(true))].into() } else { BTreeMap::new() }
}

pub(crate) fn told(of: &Invocation, outcome: Outcome, by: u8, attempt: bool) -> Receipt {
    Receipt::builder(id(of), outcome).meta(meta(attempt)).sign(&issuer(by), [by; 16]).unwrap()
}

pub(crate) fn ok(value: i128) -> Outcome {
    Outcome::Ok(number(value))
}

pub(crate) fn deliver(receipt: &Receipt) -> Container {
    [receipt.bytes()].into_iter().collect()
}

impl World {
    pub(crate) fn executor(&self) -> Executor {
        self.network.node(100).executor.lock().unwrap().clone().unwrap()
    }

    /// The receipt of what waits, after `others` were delivered.
    pub(crate) async fn after(&self, waiting: &Invocation, tokens: &[&dyn Token], others: &[Receipt]) -> Receipt {
        let executor = self.executor();
        let tokens: Vec<&dyn Token> = tokens.iter().copied().chain([waiting as &dyn Token]).collect();
        let container = self.network.container(&tokens);
        let asking = {
            let executor = executor.clone();
            tokio::spawn(async move { receipts(&executor.execute(&container).await.unwrap()) })
        };
        sleep(Duration::from_secs(1)).await;
        for receipt in others {
            assert!(executor.execute(&deliver(receipt)).await.unwrap().is_empty());
        }
        asking.await.unwrap()[&id(waiting)].clone()
    }

    /// What others were asked with; results that are pushed come alone.
    pub(crate) fn forwarded(&self) -> Vec<BTreeSet<Vec<u8>>> {
        let sent = self.script.sent.lock().unwrap();
        let asked = sent.iter().map(|(_, container)| container).filter(|container| container.len() > 1);
        asked.map(|container| container.tokens().map(<[u8]>::to_vec).collect()).collect()
    }
}

pub(crate) fn error<'a>(receipt: &'a Receipt, field: &str) -> Option<&'a Ipld> {
    match receipt.outcome() {
        Outcome::Error(Ipld::Map(error)) => error.get(field),
        _ => None,
    }
}
