//! Real programs.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use ipvm_process::{ProcessHandler, RUN_COMMAND};
use ucan_core::{Command, Context, DidKeys, Ipld, Issuer, Timestamp};
use ucan_invocation::{Call, Config, Handler, Outcome, Task};
use varsig::ed25519::SigningKey;

fn owner() -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[1; 32]))
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn task(args: &[(&str, Ipld)]) -> Task {
    let args: BTreeMap<String, Ipld> = args.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Task::new(owner().did().clone(), Command::parse(RUN_COMMAND).unwrap(), args, vec![])
}

fn handler(folder: &tempfile::TempDir) -> ProcessHandler {
    ProcessHandler::new(owner().did().clone(), folder.path()).with_program("sh", "/bin/sh").with_output_limit(1_000)
}

async fn run(handler: &ProcessHandler, args: &[(&str, Ipld)]) -> Outcome {
    let context = Context::new(Timestamp::EPOCH, &DidKeys);
    let call = Call::authorize(task(args), Config::new(), owner().did(), &[], &context).unwrap();
    handler.check(call.task(), &Config::new()).await.unwrap();
    handler.handle(&call).await.outcome
}

fn script(script: &str) -> [(&'static str, Ipld); 2] {
    [("program", text("sh")), ("args", Ipld::List(vec![text("-c"), text(script)]))]
}

fn bytes<'a>(outcome: &'a Outcome, key: &str) -> &'a [u8] {
    let (Outcome::Ok(Ipld::Map(map)) | Outcome::Error(Ipld::Map(map))) = outcome else { panic!("{outcome:?}") };
    let Ipld::Bytes(bytes) = &map[key] else { panic!("{outcome:?}") };
    bytes
}

#[tokio::test]
async fn a_program_gets_what_it_is_given_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let handler = handler(&folder);
    let read = [("stdin", Ipld::Bytes(b"one\ntwo".to_vec()))];
    let done =
        run(&handler, &[&script("while read -r line; do echo \"<$line>\"; done; echo no >&2")[..], &read].concat())
            .await;
    assert!(done.is_ok(), "{done:?}");
    assert_eq!((bytes(&done, "stdout"), bytes(&done, "stderr")), (&b"<one>\n"[..], &b"no\n"[..]));
    let done = run(&handler, &script("pwd -P; echo \"[$HOME]\"; echo made > file")).await;
    let place = folder.path().canonicalize().unwrap();
    assert_eq!(bytes(&done, "stdout"), format!("{}\n[]\n", place.display()).as_bytes());
    assert!(folder.path().join("file").exists());
    // There is no shell between a task and a program.
    let args = Ipld::List([text("-c"), text("echo \"$1\""), text("sh"), text("$(exit 3); `x` *")].into());
    let done = run(&handler, &[("program", text("sh")), ("args", args)]).await;
    assert_eq!(bytes(&done, "stdout"), b"$(exit 3); `x` *\n");
}

#[tokio::test]
async fn what_ends_badly_is_a_failure_that_says_how() {
    let folder = tempfile::tempdir().unwrap();
    let handler = handler(&folder);
    let failed = run(&handler, &script("echo half; exit 3")).await;
    assert_eq!((failed.failure_name(), bytes(&failed, "stdout")), (Some("Exited"), &b"half\n"[..]));
    let Outcome::Error(Ipld::Map(error)) = &failed else { panic!("{failed:?}") };
    assert_eq!(error["status"], Ipld::Integer(3));
    let killed = run(&handler, &script("kill -9 $$")).await;
    assert_eq!(killed.failure_name(), Some("Exited"));
    let gone = ProcessHandler::new(owner().did().clone(), folder.path()).with_program("sh", "/nowhere/sh");
    assert_eq!(run(&gone, &script("true")).await.failure_name(), Some("NotStarted"));
}

#[tokio::test]
async fn what_writes_or_takes_too_much_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let handler = handler(&folder);
    let flood = run(&handler, &script("while :; do echo more; done")).await;
    assert_eq!(flood.failure_name(), Some("OutputTooLarge"));
    // What is read by nobody does not keep it waiting.
    let deaf = [("stdin", Ipld::Bytes(vec![0; 1 << 20]))];
    assert!(run(&handler, &[&script("exit 0")[..], &deaf].concat()).await.is_ok());

    let slow = script("echo $$ > pid; exec sleep 1000");
    let ended = tokio::time::timeout(Duration::from_millis(500), run(&handler, &slow)).await;
    assert!(ended.is_err());
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let alive = || std::path::Path::new("/proc").join(pid.trim()).join("cmdline");
    for _ in 0..100 {
        // One that is dead and not waited for yet has no command line.
        if std::fs::read(alive()).map_or(true, |line| line.is_empty()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is still there");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let handler = handler(&folder);
    let promise = Ipld::Map([("await/ok".to_owned(), Ipld::Link(ucan_core::block::raw_cid(b"it")))].into());
    for (args, name) in [
        (vec![("program", text("bash"))], Some("NoSuchProgram")),
        (vec![("program", text("/bin/sh"))], Some("NoSuchProgram")),
        (vec![], Some("ArgumentMismatch")),
        (vec![("program", text("sh")), ("env", text("x"))], Some("ArgumentMismatch")),
        (vec![("program", text("sh")), ("args", Ipld::List(vec![text("a\0b")]))], Some("ArgumentMismatch")),
        (vec![("program", text("sh")), ("args", Ipld::List(vec![text("a"); 1_001]))], Some("ArgumentMismatch")),
        (vec![("program", text("sh")), ("stdin", Ipld::Integer(1))], Some("ArgumentMismatch")),
        (vec![("program", promise.clone())], None),
        (vec![("program", text("sh")), ("stdin", promise)], None),
    ] {
        let refused = handler.check(&task(&args), &Config::new()).await.err().map(Outcome::from);
        assert_eq!(refused.as_ref().and_then(Outcome::failure_name), name, "{args:?}");
    }
    let stranger = Issuer::ed25519(SigningKey::from_seed(&[2; 32]));
    let other = Task::new(stranger.did().clone(), Command::parse(RUN_COMMAND).unwrap(), BTreeMap::new(), vec![]);
    assert!(handler.check(&other, &Config::new()).await.is_err());
}
