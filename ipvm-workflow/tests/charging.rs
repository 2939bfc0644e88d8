//! An engine that is paid by channels: what is charged, what is not, and when a run is paused for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{Crash, Knows, Random, World, step};
use ipvm_workflow::{How, Paused, PaymentError, RunError, RunOptions, RunReport};
use ucan_chan::{Channel, Charge, Purse, Status};
use ucan_core::{Cid, Ipld, Timestamp};
use ucan_invocation::meta::{FUEL, FUEL_BOUND};
use ucan_invocation::{
    BlockStore, Cursor, Invocation, Listing, Page, Receipt, ReceiptStore, Revocation, RevocationStore, Task,
};

/// A world in which runs are paid for by a channel of a million, of which so much is signed for.
async fn world(knows: Knows, signed: u64) -> (World, Purse) {
    let mut world = World::new(knows);
    let (channel, purse) = world.open_channel("gas", 1_000_000, signed, 1).await;
    world.channel = Some(*channel.cid());
    world.open(&Crash::never());
    (world, purse)
}

fn tasks(tasks: &[&str]) -> String {
    format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "))
}

/// A pure task that uses so much fuel.
fn pure(label: &str, fuel: u64) -> String {
    format!(r#""{label}": {{"cmd": "/pure", "args": {{"name": "{label}", "fuel": {fuel}}}}}"#)
}

async fn channel(world: &World) -> Channel {
    world.till.channel(&world.channel.unwrap()).await.unwrap()
}

/// All receipts that say that something was charged on a channel.
async fn charged(world: &World, channel: Cid) -> Vec<(Receipt, Charge)> {
    let page = world.receipts.list(&Listing::Input(channel), Cursor::START, Page::LIMIT).await.unwrap();
    let mut charged = Vec::new();
    for id in page.receipts {
        let receipt = ReceiptStore::get(&*world.receipts, &id).await.unwrap().unwrap();
        // The runs that it paid for are listed, too.
        if let Some(charge) = Charge::of(&receipt).unwrap() {
            charged.push((receipt, charge));
        }
    }
    charged
}

fn fuel(receipt: &Receipt) -> Option<u64> {
    let amount = receipt.meta().get(FUEL).or_else(|| receipt.meta().get(FUEL_BOUND))?;
    if let Ipld::Integer(amount) = amount { Some(u64::try_from(*amount).unwrap()) } else { None }
}

/// What the channel has charged is what the receipts say, each charge once, and what they say is the fuel that they state.
async fn adds_up(world: &World) -> u64 {
    let channel = channel(world).await;
    let charged = charged(world, *channel.terms().id()).await;
    let sum: u64 = charged.iter().map(|(_, charge)| charge.cost).sum();
    assert_eq!(channel.charged(), sum, "{charged:?}");
    let numbers: BTreeSet<u64> = charged.iter().map(|(_, charge)| charge.number).collect();
    assert_eq!(numbers.len(), charged.len(), "one charge in two receipts");
    assert!(numbers.iter().eq((1..=charged.len() as u64).collect::<Vec<_>>().iter()));
    for (receipt, charge) in &charged {
        let bytes = world.blocks.get(receipt.resolved().cid()).await.unwrap().unwrap();
        let task = Task::from_block(&bytes).unwrap();
        let expected = match task.args().get("fuel") {
            Some(Ipld::Integer(fuel)) => u64::try_from(*fuel).unwrap().min(100),
            _ => 0,
        };
        match fuel(receipt) {
            Some(fuel) => assert_eq!((fuel, charge.cost), (expected, expected)),
            // What somebody found out after a crash was charged before, or is not.
            None => assert!(charge.cost == 0 || charge.cost == expected),
        }
    }
    sum
}

async fn paused(world: &World, json: &str, options: &RunOptions) -> (ucan_invocation::TaskId, Paused) {
    let request = world.request(json).await;
    let run = request.invocation.task().id().unwrap();
    match world.engine.run_with(request, options, &|_| {}).await {
        Err(RunError::Paused(paused)) => (run, paused),
        other => panic!("{other:?}"),
    }
}

async fn resume(world: &World, run: &ucan_invocation::TaskId, options: &RunOptions) -> RunReport {
    world.engine.resume(run, options, &|_| {}).await.unwrap()
}

#[tokio::test]
async fn what_is_used_is_charged_and_what_is_known_costs_nothing() {
    let (world, _) = world(Knows::Key, 400).await;
    let mut document = vec![pure("a", 7), pure("b", 30), pure("c", 500)];
    document.push(r#""d": {"cmd": "/do", "args": {"name": "d", "fuel": 5}}"#.to_owned());
    let json = tasks(&document[..2].iter().chain(&document[3..]).map(String::as_str).collect::<Vec<_>>());
    let report = world.run(&json).await;
    assert!(report.succeeded());
    let costs = |report: &RunReport| {
        let mut costs: Vec<_> = report.steps.iter().map(|step| (step.label.clone(), step.charged)).collect();
        costs.sort_by(|a, b| a.0.cmp(&b.0));
        costs.into_iter().map(|(_, charged)| charged).collect::<Vec<_>>()
    };
    assert_eq!(costs(&report), [Some(7), Some(30), Some(5)]);
    assert_eq!(adds_up(&world).await, 42);
    // Asked for again, pure work is known; the effect is another one.
    let again = world.run(&json).await;
    assert_eq!(step(&again, "a").how, How::Reused);
    assert_eq!(step(&again, "d").charged, Some(5));
    assert_eq!(adds_up(&world).await, 47);
    // Whoever hits the limit has used all of it.
    let failed = world.run(&tasks(&[&document[2]])).await;
    assert_eq!(step(&failed, "c").charged, Some(100));
    assert_eq!(adds_up(&world).await, 147);
    let channel = channel(&world).await;
    assert_eq!((channel.reserved(), channel.credit()), (0, 400 - 147));
}

#[tokio::test]
async fn every_attempt_is_charged() {
    let (world, _) = world(Knows::Key, 1_000).await;
    let retry = r#""config": {"retry": {"attempts": 4}}"#;
    let json = tasks(&[&format!(r#""q": {{"cmd": "/ask", "args": {{"name": "q", "fails": 2, "fuel": 9}}, {retry}}}"#)]);
    let report = world.run(&json).await;
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(adds_up(&world).await, 27);
}

#[tokio::test]
async fn who_runs_out_is_paused_and_goes_on_when_there_is_more() {
    let (world, mut purse) = world(Knows::Key, 150).await;
    let json = tasks(&[
        &pure("a", 90),
        r#""b": {"cmd": "/pure", "args": {"name": "b", "of": [{"await/ok": "a"}], "fuel": 80}}"#,
        r#""c": {"cmd": "/do", "args": {"name": "c", "of": [{"await/ok": "b"}], "fuel": 1}}"#,
    ]);
    let options = RunOptions::default();
    let (run, why) = paused(&world, &json, &options).await;
    let channel_id = world.channel.unwrap();
    assert_eq!(why, Paused::Exhausted { label: "b".into(), channel: channel_id, credit: 60, asked: 100 });
    let again = world.engine.resume(&run, &options, &|_| {}).await;
    assert!(matches!(again, Err(RunError::Paused(Paused::Exhausted { credit: 60, .. }))), "{again:?}");
    assert_eq!(adds_up(&world).await, 90);
    world.sign_for(&mut purse, 300).await;
    let report = resume(&world, &run, &options).await;
    assert!(report.succeeded());
    assert_eq!((adds_up(&world).await, world.outside.names()), (171, vec!["c".to_owned()]));
}

#[tokio::test]
async fn a_run_whose_channel_is_used_up_or_closed_goes_on_with_another() {
    let (world, _) = world(Knows::Key, 0).await;
    let (run, _) = paused(&world, &tasks(&[&pure("a", 10)]), &RunOptions::default()).await;
    let (other, _) = world.open_channel("gas", 100, 100, 2).await;
    let options = RunOptions { channel: Some(*other.cid()), ..RunOptions::default() };
    // Closed first, and then revoked: either ends it.
    let revoke = Invocation::builder(
        world.node.did().clone(),
        "/ucan/revoke".parse().unwrap(),
        Revocation::args(other.cid(), &[]),
    );
    let revoke = revoke.sign(&world.node).unwrap();
    let now = Timestamp::from_secs(world.now).unwrap();
    let find = |cid: &Cid| (cid == other.cid()).then(|| other.clone());
    let revocation = Revocation::check(revoke, &find, &ucan_core::Context::new(now, &ucan_core::DidKeys)).unwrap();
    world.revocations.keep(&revocation).await.unwrap();
    let refused = world.engine.resume(&run, &options, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::Paused(Paused::ChannelClosed { channel, .. })) if channel == *other.cid()));
    let status = world.till.channel(other.cid()).await.unwrap().status();
    assert!(matches!(status, Status::Closing { by: None, .. }), "{status:?}");

    let (third, _) = world.open_channel("gas", 100, 100, 3).await;
    let options = RunOptions { channel: Some(*third.cid()), ..RunOptions::default() };
    assert!(resume(&world, &run, &options).await.succeeded());
    assert_eq!(world.till.channel(third.cid()).await.unwrap().charged(), 10);
    assert_eq!(adds_up(&world).await, 0, "the first one is as it was");
}

#[tokio::test]
async fn what_is_under_way_is_waited_for_before_anybody_is_told_that_there_is_too_little() {
    // Enough for one at a time; each uses a little of what it may.
    let (world, _) = world(Knows::Key, 150).await;
    let document: Vec<String> = (0..20).map(|at| pure(&format!("t{at}"), 2)).collect();
    let report = world.run(&tasks(&document.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert!(report.succeeded());
    assert_eq!(adds_up(&world).await, 40);
}

#[tokio::test]
async fn a_cap_holds_without_channels_too() {
    let world = World::new(Knows::Key);
    let document: Vec<String> = (0..6).map(|at| pure(&format!("t{at}"), 40)).collect();
    let json = tasks(&document.iter().map(String::as_str).collect::<Vec<_>>());
    let options = RunOptions { cap: Some(200), ..RunOptions::default() };
    let (run, why) = paused(&world, &json, &options).await;
    // After three, 120 are spent, and the next may use 100.
    let Paused::Capped { cap: 200, spent: 120, asked: 100, .. } = why else { panic!("{why:?}") };
    let options = RunOptions { cap: Some(220), ..RunOptions::default() };
    let report = resume(&world, &run, &options).await;
    assert!(report.succeeded());
    assert!(report.steps.iter().all(|step| step.charged.is_none()));
    assert_eq!(report.steps.iter().filter(|step| step.how == How::Ran).count(), 3);
}

#[tokio::test]
async fn a_channel_has_to_be_the_invokers_in_gas_and_at_hand() {
    let (mut world, _) = world(Knows::Key, 100).await;
    let json = tasks(&[&pure("a", 1)]);
    let refused = async |world: &World, channel: Option<Cid>| {
        let options = RunOptions { channel, ..RunOptions::default() };
        world.engine.run_with(world.request(&json).await, &options, &|_| {}).await.unwrap_err()
    };
    let reason = |error: RunError| match error {
        RunError::Channel { error, .. } => *error,
        other => panic!("{other:?}"),
    };
    let unknown = ucan_core::block::raw_cid(b"nothing");
    assert!(matches!(reason(refused(&world, Some(unknown)).await), PaymentError::Till(_)));
    let (other, _) = world.open_channel("requests", 100, 100, 2).await;
    assert!(matches!(reason(refused(&world, Some(*other.cid())).await), PaymentError::OtherUnit { .. }));
    let own = world.channel.take();
    assert!(matches!(refused(&world, None).await, RunError::Unpaid));
    // Somebody else's.
    let mine = std::mem::replace(
        &mut world.user,
        ucan_core::Issuer::ed25519(varsig::ed25519::SigningKey::from_seed(&[9; 32])),
    );
    let (theirs, _) = world.open_channel("gas", 100, 100, 3).await;
    world.user = mine;
    assert!(matches!(reason(refused(&world, Some(*theirs.cid())).await), PaymentError::OtherHolder { .. }));
    assert!(world.journal.entries().is_empty(), "nothing was begun");
    // An engine that is not paid does not look at what a request names, and does not take what it is told to.
    world.open(&Crash::never());
    world.channel = own;
    assert!(world.run(&json).await.succeeded());
    assert!(matches!(reason(refused(&world, own).await), PaymentError::NotPaid));
    assert_eq!(channel(&world).await.charged(), 0);
}

#[tokio::test]
async fn a_handler_that_panics_keeps_nobody_waiting() {
    let (world, _) = world(Knows::Key, 190).await;
    let json = tasks(&[&pure("a", 1), r#""bad": {"cmd": "/pure", "args": {"panics": true}}"#]);
    let failed = world.engine.run(world.request(&json).await, &|_| {}).await;
    assert!(matches!(failed, Err(RunError::CutOff(_))), "{failed:?}");
    // What it had set aside is set aside in the channel still, and is no reason to wait for ever.
    let (_, why) = paused(&world, &tasks(&[&pure("b", 1), &pure("c", 1)]), &RunOptions::default()).await;
    assert!(matches!(why, Paused::Exhausted { .. }), "{why:?}");
}

/// A workflow of tasks that use random fuel, some more than they may, of which some fail, and some are tried again.
fn draw(random: &mut Random) -> String {
    let mut document = Vec::new();
    for position in 0..1 + random.below(6) {
        let command = ["/pure", "/pure", "/ask", "/put", "/do"][random.below(5) as usize];
        // Every fourth says the same as another.
        let name = if random.below(4) == 0 { 0 } else { position };
        let fuel = [random.below(100), random.below(100), 130][random.below(3) as usize];
        let fails = [0, 0, 1, 2][random.below(4) as usize];
        let retry = if random.below(2) == 0 { r#", "config": {"retry": {"attempts": 3}}"# } else { "" };
        let of = match random.below(2) {
            0 if position > 0 && command != "/pure" => {
                format!(r#", "of": [{{"await/ok": "t{}"}}]"#, random.below(position))
            }
            _ => String::new(),
        };
        let of = if command == "/ask" { String::new() } else { of };
        document.push(format!(
            r#""t{position}": {{"cmd": "{command}", "args": {{"name": "{name}", "fuel": {fuel}, "fails": {fails}{of}}}{retry}}}"#
        ));
    }
    tasks(&document.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Random workflows on a process that dies at every write, on a channel that runs out again and again: in the end what the channel
/// has charged is what the receipts say, to the unit.
#[test]
fn to_the_unit_whenever_the_process_dies() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let simulations = std::env::var("IPVM_SIMULATIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(24);
    let (mut deaths, mut pauses, mut sum) = (0, 0, 0);
    for seed in 0..simulations {
        let mut random = Random((seed + 1_u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let json = draw(&mut random);
        for first in (0..).step_by(1 + random.below(3) as usize) {
            let (died, was_paused, cost) = runtime.block_on(survive(&json, first, &mut random));
            deaths += died;
            pauses += was_paused;
            sum += cost;
            if died == 0 {
                break;
            }
        }
    }
    println!("{simulations} workflows, {deaths} deaths, {pauses} pauses, {sum} gas");
    assert!(deaths > 500 && pauses > 500 && sum > 10_000, "{deaths} deaths, {pauses} pauses, {sum} gas");
}

async fn survive(json: &str, first: i64, random: &mut Random) -> (u64, u64, u64) {
    let (mut world, mut purse) = world(Knows::Key, 100).await;
    let request = world.request(json).await;
    let (mut deaths, mut pauses, mut spent, mut writes) = (0, 0, 0, first);
    loop {
        let crash = if deaths < 10 { Crash::after(writes) } else { Crash::never() };
        world.open(&crash);
        match world.engine.run(request.clone(), &|_| {}).await {
            Ok(_) | Err(RunError::AlreadyRun { .. }) => break,
            Err(RunError::Paused(Paused::Exhausted { credit, asked, .. })) => {
                pauses += 1;
                world.open(&Crash::never());
                // Attempts begin anew when it is resumed: there has to be enough for some.
                world.sign_for(&mut purse, asked - credit + random.below(800)).await;
                assert!(pauses < 1_000, "it does not come to an end");
            }
            // What was tried too often is asked for once more, a few times.
            Err(RunError::Paused(Paused::Spent { .. })) if spent < 2 => spent += 1,
            Err(RunError::Paused(Paused::Spent { .. })) => break,
            Err(RunError::Paused(other)) => panic!("{other:?}"),
            Err(_) => {
                deaths += 1;
                writes = random.below(30) as i64;
            }
        }
    }
    let unfiled = channel(&world).await.unfiled().count();
    assert!(unfiled <= 64);
    // Once more the same, so that pure work is known.
    world.open(&Crash::never());
    world.sign_for(&mut purse, 2_000).await;
    let before = channel(&world).await.charged();
    let again = world.engine.run(world.request(json).await, &|_| {}).await;
    let cost = adds_up(&world).await;
    if let Ok(report) = again {
        let own: u64 = report.steps.iter().filter(|step| step.how == How::Ran).count() as u64;
        assert!(cost - before <= own * 300, "what is known costs nothing");
    }
    (deaths, pauses, cost)
}
