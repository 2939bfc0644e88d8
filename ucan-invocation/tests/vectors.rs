//! Published vectors: the invocations of UCAN 1.0.0, and the ids of tasks and instructions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use data_encoding::BASE64_NOPAD;
use ucan_core::{Cid, Command, Context, Delegation, Did, DidKeys, Ipld, Timestamp, dagjson};
use ucan_invocation::{Invocation, Task, TaskError, authorize};

fn cases(json: &str) -> Vec<Ipld> {
    match dagjson::decode(json.as_bytes()).unwrap().take("cases") {
        Ok(Some(Ipld::List(cases))) => cases,
        _ => panic!("no cases"),
    }
}

fn text<'a>(case: &'a Ipld, key: &str) -> &'a str {
    match case.get(key) {
        Ok(Some(Ipld::String(text))) => text,
        _ => panic!("no string {key}"),
    }
}

fn token(base64: &str) -> Vec<u8> {
    BASE64_NOPAD.decode(base64.as_bytes()).unwrap()
}

fn part<'a>(case: &'a Ipld, key: &str) -> &'a Ipld {
    match case.get(key) {
        Ok(Some(part)) => part,
        _ => panic!("no {key}"),
    }
}

#[test]
fn invocations_of_ucan_1_0_0() {
    let cases = cases(include_str!("../../fixtures/ucan/chains.json"));
    assert_eq!(cases.len(), 20);
    for case in cases {
        let name = text(&case, "name");
        let request = part(&case, "request");
        let Ipld::Integer(now) = part(request, "now") else { panic!("{name}: no time") };
        let Ipld::List(proofs) = part(request, "proofs") else { panic!("{name}: no proofs") };
        let proofs: Vec<Delegation> = proofs
            .iter()
            .map(|proof| match proof {
                Ipld::String(proof) => Delegation::decode(token(proof)).unwrap(),
                _ => panic!("{name}: not a token"),
            })
            .collect();
        let find = |cid: &Cid| proofs.iter().find(|proof| proof.cid() == cid).cloned();
        let context = Context::new(Timestamp::from_secs(u64::try_from(*now).unwrap()).unwrap(), &DidKeys);
        let invocation = Invocation::decode(token(text(request, "token"))).unwrap();
        let executor = invocation.executor().clone();
        match (authorize(invocation, &executor, &find, &context), case.get("error")) {
            (Ok(authorized), _) => {
                let task = authorized.invocation().task().id().unwrap().to_string();
                assert_eq!(task, text(part(&case, "ok"), "task"), "{name}");
            }
            (Err(error), Ok(Some(expected))) => assert_eq!(error.name(), text(expected, "name"), "{name}"),
            (Err(error), _) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn ids_of_tasks_and_instructions() {
    for case in cases(include_str!("../../fixtures/invocation/tasks.json")) {
        let name = text(&case, "name");
        let (request, expected) = (part(&case, "request"), part(&case, "ok"));
        let Ipld::Map(args) = part(request, "args") else { panic!("{name}: no args") };
        let subject = Did::parse(text(request, "sub")).unwrap();
        let command = Command::parse(text(request, "cmd")).unwrap();
        let task = Task::new(subject, command, args.clone(), token(text(request, "nonce")));
        assert_eq!(task.id().unwrap().to_string(), text(expected, "cid"), "{name}");
        assert_eq!(Task::from_block(&task.to_block().unwrap()).unwrap(), task, "{name}");
        match part(expected, "instruction") {
            Ipld::Null => assert_eq!(task.instruction(), Err(TaskError::Pending), "{name}"),
            _ => {
                let instruction = task.instruction_id().unwrap();
                assert_eq!(instruction.to_string(), text(expected, "instruction"), "{name}");
            }
        }
    }
}
