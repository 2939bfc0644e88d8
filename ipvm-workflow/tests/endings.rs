//! Every run can be ended: also one whose authority has expired or was revoked while it waited, and one that nobody pays for any more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Crash, Knows, World, field};
use ipvm_workflow::{Event, Paused, Resolution, RunError, RunOptions, RunReport, RunState, StepState, Verification};
use ucan_core::{Cid, Context, Delegation, DidKeys, Ipld, Timestamp};
use ucan_invocation::{Invocation, Outcome, Receipt, ReceiptId, ReceiptStore, Revocation, RevocationStore, TaskId};

/// An order: each step has another that undoes it, by another command.
const ORDER: &str = r#"{"v": "1.0.0", "tasks": {
    "reserve": {"cmd": "/do", "args": {"name": "reserve"}, "undo": "release"},
    "label": {"cmd": "/put", "args": {"name": "label", "of": [{"await/ok": "reserve"}]}, "undo": "tear off"},
    "charge": {"cmd": "/do", "args": {"name": "charge", "of": [{"await/ok": "label"}]}, "undo": "refund"},
    "ship": {"cmd": "/do", "args": {"name": "ship", "of": [{"await/ok": "charge"}]}},
    "release": {"cmd": "/do", "args": {"name": "release", "of": [{"await/ok": "reserve"}]}},
    "tear off": {"cmd": "/put", "args": {"name": "tear off"}},
    "refund": {"cmd": "/do", "args": {"name": "refund"}}
}}"#;
const DAY: u64 = 86_400;

/// A world in which the grants of these commands end after a day.
fn world(ending: &[&str]) -> World {
    let mut world = World::new(Knows::Nothing);
    let end = Timestamp::from_secs(world.now + DAY).unwrap();
    let grants = world.grants.iter().map(|grant| match ending.contains(&grant.command().as_str()) {
        true => Delegation::builder(grant.audience().clone(), grant.subject().cloned(), grant.command().clone())
            .expiration(end)
            .sign(&world.node)
            .unwrap(),
        false => grant.clone(),
    });
    world.grants = grants.collect();
    world
}

/// A run of the order that is paused when it was charged, two days ago.
async fn paused(world: &mut World) -> TaskId {
    let options = RunOptions::default();
    let observe = |event| {
        if matches!(event, Event::Finished(step) if step.label == "charge") {
            options.control.pause();
        }
    };
    let request = world.request(ORDER).await;
    let run = request.invocation.task().id().unwrap();
    let paused = world.engine.run_with(request, &options, &observe).await;
    assert!(matches!(paused, Err(RunError::Paused(Paused::Asked))), "{paused:?}");
    assert_eq!(world.outside.names(), ["reserve", "label", "charge"]);
    world.now += 2 * DAY;
    world.open(&Crash::never());
    run
}

async fn resume(world: &World, run: &TaskId) -> Result<RunReport, RunError> {
    world.engine.resume(run, &RunOptions::default(), &|_| {}).await
}

async fn cancel(world: &World, run: &TaskId) -> Result<RunReport, RunError> {
    world.engine.cancel(run, &RunOptions::default(), &|_| {}).await
}

fn labels(report: &RunReport) -> (Vec<&str>, Vec<(&str, &str)>) {
    let undone = report.undone.iter().map(|step| step.label.as_str()).collect();
    let stays = report.not_undone.iter().map(|stays| (stays.label.as_str(), stays.by.as_str())).collect();
    (undone, stays)
}

async fn receipt(world: &World, id: &ReceiptId) -> Receipt {
    ReceiptStore::get(&*world.receipts, id).await.unwrap().unwrap()
}

/// What must be true of a run that was cancelled, whatever there was authority for.
async fn is_over(world: &World, run: &TaskId, report: &RunReport) {
    assert!(report.cancelled && !report.succeeded());
    assert_eq!(world.engine.parts().journal.unfinished().await.unwrap(), []);
    let again = cancel(world, run).await;
    assert!(matches!(&again, Err(RunError::NotOpen(id)) if id == run), "{again:?}");
    let stated = world.stated(report).await;
    assert_eq!(field(&stated, "name"), &Ipld::String("Cancelled".to_owned()));
    for stays in &report.not_undone {
        let said = field(&stated, &format!("notUndone.{}", stays.by));
        assert_eq!(field(said, "of"), &Ipld::String(stays.label.clone()));
        assert_eq!(field(said, "reason"), &Ipld::String(stays.reason.clone()));
        assert_eq!(field(said, "receipt"), &Ipld::Link(stays.receipt.into()));
        assert!(receipt(world, &stays.receipt).await.is_attempt(), "nobody tried");
    }
    let verified = world.engine.verify_run(receipt(world, &report.receipt).await, &|_, _| {}).await.unwrap();
    assert!(verified.steps.iter().all(|(_, verified)| verified.is_ok()), "{verified:?}");
    for stays in &report.not_undone {
        let (_, verified) = verified.steps.iter().find(|(label, _)| *label == stays.by).unwrap();
        assert!(matches!(verified, Ok(Verification::Attempt)), "{verified:?}");
    }
    let status = world.engine.status(run).await.unwrap();
    assert_eq!(status.state, RunState::Over { receipt: report.receipt, succeeded: false });
    for stays in &report.not_undone {
        let (.., state) = status.steps.iter().find(|(label, ..)| *label == stays.by).unwrap();
        assert_eq!(*state, StepState::Done { receipt: stays.receipt, succeeded: false });
    }
}

#[tokio::test]
async fn what_cannot_be_undone_for_lack_of_authority_is_named_and_the_run_is_over() {
    for (ending, undone, stays) in [
        (
            &["/do", "/put"] as &[_],
            &[] as &[&str],
            &[("charge", "refund"), ("label", "tear off"), ("reserve", "release")] as &[_],
        ),
        (&["/put"], &["refund", "release"], &[("label", "tear off")]),
        (&["/do"], &["tear off"], &[("charge", "refund"), ("reserve", "release")]),
        // What the request rests on is not asked for any more; what undoes it is granted as ever.
        (&["/ipvm/run"], &["refund", "tear off", "release"], &[]),
    ] {
        let mut world = world(ending);
        let run = paused(&mut world).await;
        if !ending.contains(&"/ipvm/run") {
            let refused = resume(&world, &run).await;
            assert!(matches!(refused, Err(RunError::NoAuthority(_))), "{refused:?}");
        }
        assert_eq!(world.outside.names().len(), 3, "nothing is done without authority");
        let report = cancel(&world, &run).await.unwrap();
        assert_eq!(labels(&report), (undone.to_vec(), stays.to_vec()));
        for stays in &report.not_undone {
            assert!(stays.reason.starts_with("NoAuthority: ") && stays.reason.contains("expire"), "{}", stays.reason);
        }
        assert_eq!(world.outside.names()[3..], *undone);
        assert_eq!(report.not_started, ["ship"]);
        is_over(&world, &run, &report).await;
    }
}

/// The node takes a grant back.
async fn revoke(world: &World, grant: &Delegation) {
    let args = Revocation::args(grant.cid(), &[]);
    let asked = Invocation::builder(world.node.did().clone(), "/ucan/revoke".parse().unwrap(), args);
    let context = Context::new(Timestamp::from_secs(world.now).unwrap(), &DidKeys);
    let find = |cid: &Cid| (cid == grant.cid()).then(|| grant.clone());
    let revocation = Revocation::check(asked.sign(&world.node).unwrap(), &find, &context).unwrap();
    world.revocations.keep(&revocation).await.unwrap();
}

#[tokio::test]
async fn a_run_whose_request_was_revoked_is_refused_and_can_be_ended() {
    let mut world = world(&[]);
    let run = paused(&mut world).await;
    revoke(&world, &world.grants[0]).await;
    let refused = resume(&world, &run).await;
    assert!(matches!(refused, Err(RunError::Request(_))), "{refused:?}");
    let report = cancel(&world, &run).await.unwrap();
    assert_eq!(labels(&report).0, ["refund", "tear off", "release"]);
    is_over(&world, &run, &report).await;
}

#[tokio::test]
async fn only_the_request_that_was_accepted_is_brought_to_its_end() {
    let mut world = world(&[]);
    let run = paused(&mut world).await;
    let accepted = common::request_of(&world, &run).await;
    // Somebody else signs the same task.
    let task = accepted.invocation.task();
    let stranger = ucan_core::Issuer::ed25519(varsig::ed25519::SigningKey::from_seed(&[9; 32]));
    let forged = Invocation::builder(task.subject().clone(), task.command().clone(), task.args().clone())
        .nonce(task.nonce().to_vec())
        .sign(&stranger)
        .unwrap();
    assert_eq!(forged.task().id().unwrap(), run);
    // The process dies when that it is cancelled is written down.
    world.open(&Crash::after(2));
    assert!(cancel(&world, &run).await.is_err());
    world.open(&Crash::never());
    let request = ipvm_workflow::RunRequest { invocation: forged, delegations: world.grants.clone() };
    let refused = world.engine.run(request, &|_| {}).await;
    assert!(matches!(refused, Err(RunError::Request(_))), "{refused:?}");
    assert_eq!(world.outside.names().len(), 3);
    let report = world.engine.run(accepted, &|_| {}).await.unwrap();
    assert_eq!(labels(&report).0, ["refund", "tear off", "release"]);
    is_over(&world, &run, &report).await;
}

#[tokio::test]
async fn what_was_undone_while_there_was_authority_was() {
    // It dies at each moment of being undone; then the authority is gone.
    let mut seen = Vec::new();
    'moments: for writes in 0.. {
        let mut world = world(&["/do", "/put"]);
        let run = paused(&mut world).await;
        world.now -= 2 * DAY;
        world.open(&Crash::after(writes));
        let survived = cancel(&world, &run).await.is_ok();
        world.now += 2 * DAY;
        world.open(&Crash::never());
        if survived {
            assert_eq!(world.outside.names()[3..], ["refund", "tear off", "release"]);
            break;
        }
        let mut options = RunOptions::default();
        let report = loop {
            match world.engine.cancel(&run, &options, &|_| {}).await {
                Ok(report) => break report,
                // It had begun, and without authority nobody is asked.
                Err(RunError::Paused(Paused::Uncertain { label, task })) => {
                    let done = world.outside.names().contains(&label);
                    let found = if done { Resolution::Done(Outcome::Ok(Ipld::Null)) } else { Resolution::NotDone };
                    assert!(options.resolutions.insert(task, found).is_none(), "it was found out of {label}");
                }
                // It died when all was done.
                Err(RunError::NotOpen(_) | RunError::AlreadyRun { .. }) => {
                    assert_eq!(world.outside.names()[3..], ["refund", "tear off", "release"]);
                    continue 'moments;
                }
                Err(error) => panic!("{error:?}"),
            }
        };
        let (undone, stays) = labels(&report);
        assert_eq!(world.outside.names()[3..], undone, "after {writes} writes");
        assert_eq!(undone.len() + stays.len(), 3);
        is_over(&world, &run, &report).await;
        seen.push(undone.len());
    }
    assert!([0, 1, 2, 3].iter().all(|undone| seen.contains(undone)), "{seen:?}");
}

#[tokio::test]
async fn what_was_begun_waits_for_a_person_who_has_the_last_word() {
    for done in [true, false] {
        // It dies with the charge under way.
        let mut found = None;
        for writes in 0..200 {
            let mut world = world(&["/do", "/put"]);
            let request = world.request(ORDER).await;
            let run = request.invocation.task().id().unwrap();
            world.open(&Crash::after(writes));
            assert!(world.engine.run(request, &|_| {}).await.is_err());
            if world.outside.names().len() == 3 {
                found = Some((world, run));
                break;
            }
        }
        let (mut world, run) = found.expect("some write comes after the charge");
        world.now += 2 * DAY;
        world.open(&Crash::never());
        let refused = resume(&world, &run).await;
        assert!(matches!(refused, Err(RunError::NoAuthority(_))), "{refused:?}");
        let waits = cancel(&world, &run).await;
        let Err(RunError::Paused(Paused::Uncertain { label, task })) = waits else { panic!("{waits:?}") };
        assert_eq!(label, "charge");
        // From now on it is to be ended: who resumes it does that.
        let waits = resume(&world, &run).await;
        assert!(matches!(waits, Err(RunError::Paused(Paused::Uncertain { .. }))), "{waits:?}");
        let answer = if done { Resolution::Done(Outcome::Ok(Ipld::Integer(1))) } else { Resolution::NotDone };
        let options = RunOptions { resolutions: [(task, answer)].into(), ..RunOptions::default() };
        let report = world.engine.resume(&run, &options, &|_| {}).await.unwrap();
        let stays: &[(&str, &str)] = match done {
            true => &[("charge", "refund"), ("label", "tear off"), ("reserve", "release")],
            false => &[("label", "tear off"), ("reserve", "release")],
        };
        assert_eq!(labels(&report), (vec![], stays.to_vec()));
        let charge = report.steps.iter().find(|step| step.label == "charge").unwrap();
        assert_eq!(charge.outcome.is_ok(), done);
        assert_eq!(world.outside.names().len(), 3, "nothing was done");
        is_over(&world, &run, &report).await;
    }
}

#[tokio::test]
async fn nobody_waits_for_a_channel_that_does_not_pay_any_more() {
    let mut world = world(&[]);
    let (channel, _purse) = world.open_channel("gas", 1_000_000, 1_000_000, 1).await;
    world.channel = Some(*channel.cid());
    world.open(&Crash::never());
    let run = paused(&mut world).await;
    revoke(&world, &channel).await;
    let waits = resume(&world, &run).await;
    assert!(matches!(waits, Err(RunError::Paused(Paused::ChannelClosed { .. }))), "{waits:?}");
    let report = cancel(&world, &run).await.unwrap();
    let stays = [("charge", "refund"), ("label", "tear off"), ("reserve", "release")];
    assert_eq!(labels(&report), (vec![], stays.to_vec()));
    assert!(report.not_undone.iter().all(|stays| stays.reason.starts_with("NotPaid: ")), "{report:?}");
    is_over(&world, &run, &report).await;
}

#[tokio::test]
async fn an_undo_that_fails_undoes_nothing_and_is_named() {
    let world = world(&[]);
    let document = ORDER
        .replace(r#""name": "refund""#, r#""name": "refund", "fails": -1"#)
        .replace(r#""name": "ship","#, r#""name": "ship", "fails": -1,"#);
    let report = world.run(&document).await;
    assert_eq!(labels(&report), (vec!["tear off", "release"], vec![("charge", "refund")]));
    assert_eq!(report.not_undone[0].reason, "Unavailable: refund is not there");
    let stated = world.stated(&report).await;
    let Ipld::Map(undone) = field(&stated, "undone") else { panic!("{stated:?}") };
    assert_eq!(undone.keys().collect::<Vec<_>>(), ["release", "tear off"]);
    assert_eq!(field(&stated, "notUndone.refund.of"), &Ipld::String("charge".to_owned()));
}

#[tokio::test]
async fn a_run_that_is_under_way_is_found_by_its_id_and_told() {
    let world = world(&[]);
    let request = world.request(ORDER).await;
    let run = request.invocation.task().id().unwrap();
    assert!(world.engine.control(&run).is_none());
    let observe = |event| {
        if matches!(event, Event::Finished(step) if step.label == "label") {
            world.engine.control(&run).expect("it is under way").cancel();
        }
    };
    let report = world.engine.run(request, &observe).await.unwrap();
    assert!(report.cancelled);
    assert_eq!(world.outside.names(), ["reserve", "label", "tear off", "release"]);
    assert!(world.engine.control(&run).is_none(), "it is over");
}
