//! Pipelines over executors that reach each other badly: whatever is lost, late, doubled or cut off, every task comes to its
//! value or to a receipt that says why not, and no effect happens twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::{Link, Network, Random, Weather, id, issuer, network, number, paused, promise, receipts};
use tokio::time::{Instant, sleep, timeout};
use ucan_core::{Container, Ipld, Token};
use ucan_invocation::{Invocation, Outcome, Patience, Receipt, TaskId, Transport, Trust};

struct Dag {
    tasks: Vec<Planned>,
    executors: u8,
}

struct Planned {
    invocation: Invocation,
    to: u8,
    awaits: Vec<usize>,
    value: i128,
}

fn dag(network: &Network, executors: u8) -> Dag {
    let random = &network.random;
    let mut tasks: Vec<Planned> = Vec::new();
    for at in 0..3 + random.below(8) as usize {
        let to = 100 + random.below(executors.into()) as u8;
        let mut awaits = BTreeSet::new();
        for _ in 0..random.below(4).min(at as u64) {
            awaits.insert(random.below(at as u64) as usize);
        }
        let plus = at as i128 + 1;
        let of = awaits.iter().map(|at| promise(&tasks[*at].invocation)).chain([number(plus)]).collect();
        let command = if random.chance(50) { "/log" } else { "/sum" };
        let value = plus + awaits.iter().map(|at| tasks[*at].value).sum::<i128>();
        let invocation = network.ask(to, command, of);
        tasks.push(Planned { invocation, to, awaits: awaits.into_iter().collect(), value });
    }
    Dag { tasks, executors }
}

impl Dag {
    fn container(&self, network: &Network) -> Container {
        let tokens: Vec<&dyn Token> = self.tasks.iter().map(|task| &task.invocation as &dyn Token).collect();
        network.container(&tokens)
    }

    fn check_values(&self, answers: &BTreeMap<TaskId, Receipt>, reasons: &[&str]) -> usize {
        let mut unfinished = 0;
        for task in &self.tasks {
            let Some(receipt) = answers.get(&id(&task.invocation)) else { continue };
            if receipt.outcome() == &Outcome::Ok(number(task.value)) {
                assert!(!receipt.is_attempt());
                assert_eq!(receipt.meta().contains_key("awaited"), !task.awaits.is_empty());
                continue;
            }
            let name = receipt.outcome().failure_name();
            assert!(
                receipt.is_attempt() && name.is_some_and(|name| reasons.contains(&name)),
                "{:?}",
                receipt.outcome()
            );
            unfinished += 1;
        }
        unfinished
    }
}

/// Sends to an executor until it answers.
async fn insist(network: &Arc<Network>, to: u8, container: &Container) -> BTreeMap<TaskId, Receipt> {
    let link = Link { from: 3, network: Arc::downgrade(network) };
    loop {
        match timeout(Duration::from_secs(40), link.send(issuer(to).did(), container)).await {
            Ok(Ok(answer)) => return receipts(&answer),
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn insist_all(network: &Arc<Network>, dag: &Dag, to: &BTreeSet<u8>) -> BTreeMap<TaskId, Receipt> {
    let container = dag.container(network);
    let mut asking = Vec::new();
    for to in to.iter().copied() {
        let (network, container) = (Arc::clone(network), container.clone());
        asking.push(tokio::spawn(async move { insist(&network, to, &container).await }));
    }
    let mut answers = BTreeMap::new();
    for asking in asking {
        answers.extend(asking.await.unwrap());
    }
    answers
}

fn no_mutation_ran_twice(network: &Network) {
    let mutations = network.mutations.lock().unwrap();
    assert!(mutations.values().all(|times| *times == 1), "{mutations:?}");
}

/// Nothing waits any longer, and nothing is kept.
async fn nothing_is_left(network: &Network) {
    use ucan_invocation::RequestStore;
    for node in network.nodes.values() {
        assert_eq!(node.requests.list().await.unwrap(), [], "requests are forgotten when they are answered");
    }
}

/// A recipient for each executor that has a task, or for some only: those bring the tasks of the others.
fn recipients(random: &Random, dag: &Dag) -> BTreeSet<u8> {
    let all: BTreeSet<u8> = dag.tasks.iter().map(|task| task.to).collect();
    let some: BTreeSet<u8> = all.iter().copied().filter(|_| random.chance(50)).collect();
    if some.is_empty() { all } else { some }
}

fn seeds() -> std::ops::Range<u64> {
    let from = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    from.map_or(0..200, |seed| seed..seed + 1)
}

#[test]
fn whatever_is_lost_every_task_comes_to_its_value() {
    for seed in seeds() {
        paused(async {
            let random = Random::new(seed);
            let weather =
                Weather { delay: 1 + random.below(200), loss: random.below(30), doubled: 20, ..Weather::default() };
            let executors = 2 + random.below(4) as u8;
            let network = network(seed, executors, weather, &Trust::Own, Patience::default());
            let dag = dag(&network, executors);
            let to = recipients(&random, &dag);
            let answers = insist_all(&network, &dag, &to).await;
            let expected = dag.tasks.iter().filter(|task| to.contains(&task.to)).count();
            assert_eq!(answers.len(), expected, "seed {seed}");
            assert_eq!(dag.check_values(&answers, &[]), 0, "seed {seed}");
            no_mutation_ran_twice(&network);
            // What is still on its way comes to its end, too.
            sleep(Duration::from_secs(1000)).await;
            no_mutation_ran_twice(&network);
            nothing_is_left(&network).await;
        });
    }
}

#[test]
fn where_nothing_gets_through_all_ends_by_the_deadline() {
    let mut unfinished = 0;
    for seed in seeds() {
        paused(async {
            let random = Random::new(seed);
            let cut = BTreeSet::from([(100, 101), (101, 100)]);
            let weather = Weather { delay: 50, loss: random.below(10), doubled: 5, cut };
            let executors = 2 + random.below(3) as u8;
            let network = network(seed, executors, weather, &Trust::Own, Patience::default());
            let dag = dag(&network, executors);
            let to: BTreeSet<u8> = dag.tasks.iter().map(|task| task.to).collect();
            let start = Instant::now();
            let container = dag.container(&network);
            // One request each, over a way that always holds: what is answered when is what counts.
            let mut asking = Vec::new();
            for to in to {
                let executor = network.node(to).executor.lock().unwrap().clone().unwrap();
                let container = container.clone();
                asking.push(tokio::spawn(async move { receipts(&executor.execute(&container).await.unwrap()) }));
            }
            let mut answers = BTreeMap::new();
            for asking in asking {
                answers.extend(asking.await.unwrap());
            }
            assert!(start.elapsed() < Duration::from_secs(310), "seed {seed}: {:?}", start.elapsed());
            assert_eq!(answers.len(), dag.tasks.len(), "seed {seed}");
            let late = dag.check_values(&answers, &["Unresolved"]);
            // What does not rest on that link is done.
            let mut rests = Vec::new();
            for task in &dag.tasks {
                let direct = |at: &usize| {
                    rests[*at] || network.weather.lock().unwrap().cut.contains(&(task.to, dag.tasks[*at].to))
                };
                let cut = task.awaits.iter().any(direct);
                rests.push(cut);
                assert_eq!(answers[&id(&task.invocation)].outcome().is_ok(), !cut, "seed {seed}");
            }
            unfinished += late;
            no_mutation_ran_twice(&network);
            assert!(dag.executors >= 2);
        });
    }
    assert!(unfinished > 0);
}

#[test]
fn an_executor_that_crashes_goes_on_from_its_stores() {
    let (mut unknown, mut resumed) = (0, 0);
    for seed in seeds() {
        paused(async {
            let random = Random::new(seed);
            let weather = Weather { delay: 40, loss: random.below(10), doubled: 10, ..Weather::default() };
            let executors = 2 + random.below(3) as u8;
            let network = network(seed, executors, weather, &Trust::Own, Patience::default());
            let dag = dag(&network, executors);
            let to = recipients(&random, &dag);
            let crashing = {
                let (network, after, down) = (Arc::clone(&network), random.below(150), random.below(2000));
                let which = 100 + random.below(executors.into()) as u8;
                tokio::spawn(async move {
                    use ucan_invocation::RequestStore;
                    sleep(Duration::from_millis(after)).await;
                    network.node(which).crash();
                    let kept = network.node(which).requests.list().await.unwrap().len();
                    sleep(Duration::from_millis(down)).await;
                    network.node(which).restart();
                    kept
                })
            };
            let answers = insist_all(&network, &dag, &to).await;
            assert_eq!(answers.len(), dag.tasks.iter().filter(|task| to.contains(&task.to)).count(), "seed {seed}");
            unknown += dag.check_values(&answers, &["Replayed", "Unresolved"]);
            // Only an effect that was cut off is not known, and what rests on it.
            let replayed = |outcome: &Outcome| match outcome {
                Outcome::Error(Ipld::Map(error)) => match error.get("because") {
                    Some(Ipld::Map(because)) => {
                        format!("{because:?}").contains("Replayed") || format!("{because:?}").contains("Unresolved")
                    }
                    _ => outcome.failure_name() == Some("Replayed"),
                },
                _ => true,
            };
            for receipt in answers.values() {
                assert!(replayed(receipt.outcome()), "seed {seed}: {:?}", receipt.outcome());
            }
            no_mutation_ran_twice(&network);
            resumed += crashing.await.unwrap();
            sleep(Duration::from_secs(1000)).await;
            no_mutation_ran_twice(&network);
            nothing_is_left(&network).await;
        });
    }
    assert!(unknown > 0 && resumed > 0, "{unknown} unknown, {resumed} resumed");
}

#[test]
fn what_waits_is_carried_out_after_a_crash_though_nobody_asks_again() {
    paused(async {
        let network = network(1, 2, Weather { delay: 10, ..Weather::default() }, &Trust::Own, Patience::default());
        let first = network.ask(101, "/log", vec![number(1)]);
        let second = network.ask(100, "/log", vec![promise(&first), number(2)]);
        network.node(101).crash();
        let link = Link { from: 3, network: Arc::downgrade(&network) };
        let container = network.container(&[&first, &second]);
        let sent = tokio::spawn(async move { link.send(issuer(100).did(), &container).await.is_err() });
        sleep(Duration::from_secs(1)).await;
        network.node(100).crash();
        assert!(sent.await.unwrap());
        network.node(101).restart();
        network.node(100).restart();
        sleep(Duration::from_secs(60)).await;
        use ucan_invocation::ReceiptStore;
        let filed = network.node(100).receipts.by_task(&id(&second)).await.unwrap();
        assert_eq!(filed[0].outcome(), &Outcome::Ok(number(3)));
        nothing_is_left(&network).await;
    });
}

/// Each executor awaits the other in turn: what is asked of whom grows with the edges, not with the ways through them.
#[test]
fn a_chain_between_two_asks_once_for_each_edge() {
    paused(async {
        let network = network(1, 2, Weather { delay: 20, ..Weather::default() }, &Trust::Own, Patience::default());
        let mut chain = vec![network.ask(100, "/log", vec![number(1)])];
        for at in 1..30_u8 {
            chain.push(network.ask(100 + at % 2, "/log", vec![promise(&chain[chain.len() - 1]), number(1)]));
        }
        let tokens: Vec<&dyn Token> = chain.iter().map(|task| task as &dyn Token).collect();
        let container = network.container(&tokens);
        let (one, other) = tokio::join!(insist(&network, 100, &container), insist(&network, 101, &container));
        assert_eq!((one.len(), other.len()), (15, 15));
        assert_eq!(other[&id(&chain[29])].outcome(), &Outcome::Ok(number(30)));
        no_mutation_ran_twice(&network);
        let asked = network.sent.lock().unwrap().iter().filter(|(from, ..)| *from >= 100).count();
        // An ask and a push for each of the 29 edges, and the two requests.
        assert!(asked <= 29 * 2 + 2, "{asked}");
    });
}
