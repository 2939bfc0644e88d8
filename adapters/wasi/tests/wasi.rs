//! A guest that looks around, with and without grants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ipvm_task::{Bounds, Limits};
use ipvm_wasi::{Access, Grants, WASI_RUN_COMMAND, WasiError, WasiHandler};
use ucan_core::{Command, Context, DidKeys, Ipld, Issuer, Timestamp, block};
use ucan_invocation::meta::TRACE;
use ucan_invocation::{BlockStore, Call, Completion, Config, EffectClass, Handler, MemoryBlocks, Outcome, Task};
use varsig::ed25519::SigningKey;

const SURVEY: &[u8] = include_bytes!("../../../examples/guests/survey.wasm");

async fn handler(class: EffectClass, grants: Grants) -> Result<WasiHandler, WasiError> {
    let blocks = Arc::new(MemoryBlocks::default());
    blocks.put(&block::raw_cid(SURVEY), SURVEY.to_vec().into()).await.unwrap();
    WasiHandler::new(class, blocks, grants)
}

fn call(fun: &str, params: Vec<Ipld>) -> Call {
    let owner = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let args = BTreeMap::from([
        ("mod".to_owned(), Ipld::Link(block::raw_cid(SURVEY))),
        ("fun".to_owned(), Ipld::String(fun.to_owned())),
        ("params".to_owned(), Ipld::List(params)),
    ]);
    let task = Task::new(owner.did().clone(), Command::parse(WASI_RUN_COMMAND).unwrap(), args, vec![1]);
    let context = Context::new(Timestamp::from_secs(1_800_000_000).unwrap(), &DidKeys);
    Call::authorize(task, Config::new(), owner.did(), &[], &context).unwrap()
}

async fn survey(grants: Grants) -> BTreeMap<String, Ipld> {
    let handler = handler(EffectClass::Query, grants).await.unwrap();
    let call = call("survey", vec![Ipld::Integer(0)]);
    handler.check(call.task(), call.config()).await.unwrap();
    match handler.handle(&call).await.outcome {
        Outcome::Ok(Ipld::Map(report)) => report,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Ipld {
    Ipld::String(text.to_owned())
}

fn failure(done: &Completion) -> (&str, &str) {
    (done.outcome.failure_name().unwrap(), done.outcome.failure_message().unwrap())
}

#[tokio::test]
async fn without_grants_there_are_clocks_and_nothing_else() {
    let report = survey(Grants::new()).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(matches!(report["began"], Ipld::Integer(began) if began.abs_diff(now.into()) < 600), "{report:?}");
    assert_eq!(report["variables"], Ipld::Integer(0));
    assert_eq!(report["arguments"], Ipld::List(vec![]));
    assert_eq!(report["input"], text(""));
    for key in ["file", "folder"] {
        assert!(matches!(&report[key], Ipld::String(said) if !said.starts_with("it was")), "{report:?}");
    }
    // Chance is chance.
    assert_ne!(report["hash"], survey(Grants::new()).await["hash"]);
}

#[tokio::test]
async fn what_is_granted_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("passwd"), "nobody").unwrap();
    let grants = Grants::new()
        .folder(folder.path(), "/etc", Access::Read)
        .folder(folder.path(), ".", Access::Read)
        .variable("TOKEN", "of great value")
        .argument("program")
        .argument("first");
    let shown = format!("{grants:?}");
    assert!(shown.contains("TOKEN") && !shown.contains("of great value"), "{shown}");
    let report = survey(grants).await;
    assert_eq!((&report["file"], &report["folder"]), (&text("it was read"), &text("it was listed")));
    assert_eq!(report["variables"], Ipld::Integer(1));
    assert_eq!(report["arguments"], Ipld::List(vec![text("program"), text("first")]));
}

#[tokio::test]
async fn what_it_prints_is_traced_and_how_it_ends_is_told() {
    let handler = handler(EffectClass::Mutable, Grants::new()).await.unwrap();
    let said = handler.handle(&call("say", vec![Ipld::List(vec![text("one"), text("two")])])).await;
    assert_eq!(said.outcome, Outcome::Ok(Ipld::Null));
    let line = |to, line| Ipld::Map([("to".to_owned(), text(to)), ("text".to_owned(), text(line))].into());
    let trace = [line("stdout", "one"), line("stdout", "and no more"), line("stderr", "two")];
    assert_eq!(said.meta[TRACE], Ipld::List(trace.to_vec()));

    // WASI 0.2 knows success and failure, and nothing between.
    let left = handler.handle(&call("leave", vec![Ipld::Bool(false)])).await;
    assert_eq!(failure(&left), ("Trap", "the program ended itself with the status 1"));
    let panicked = handler.handle(&call("leave", vec![Ipld::Bool(true)])).await;
    assert_eq!(failure(&panicked).0, "Trap");
    assert!(format!("{:?}", panicked.meta[TRACE]).contains("on purpose"));
}

#[tokio::test]
async fn limits_hold() {
    let standard = Limits::STANDARD;
    let within = |limits: Limits| Bounds { default: limits, ceiling: limits };
    let run = async |limits: Limits, seconds| {
        let handler = handler(EffectClass::Query, Grants::new()).await.unwrap().with_bounds(within(limits));
        handler.handle(&call("survey", vec![Ipld::Integer(seconds)])).await
    };
    // Also one that sleeps, where it would not be seen to do anything.
    let began = Instant::now();
    let slept = run(Limits { time: Duration::from_millis(100), ..standard }, 3_600).await;
    assert_eq!(failure(&slept).0, "TimeLimit");
    assert!(began.elapsed() < Duration::from_secs(600));
    assert_eq!(failure(&run(Limits { fuel: 1_000, ..standard }, 0).await).0, "OutOfFuel");
    assert_eq!(failure(&run(Limits { output: 10, ..standard }, 0).await).0, "OutputLimit");
    let full = run(Limits { memory: 1 << 16, ..standard }, 0).await;
    assert_eq!(failure(&full).0, "OutOfMemory", "{:?}", full.outcome);
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_starts() {
    let refused = handler(EffectClass::Deterministic, Grants::new()).await.unwrap_err();
    assert!(matches!(refused, WasiError::Deterministic));
    let nowhere = Grants::new().folder("/no/such/folder", "/data", Access::Write);
    assert!(matches!(handler(EffectClass::Mutable, nowhere).await, Err(WasiError::NoFolder(_))));

    let handler = handler(EffectClass::Query, Grants::new()).await.unwrap();
    let check = async |call: Call| handler.check(call.task(), call.config()).await.unwrap_err();
    assert_eq!(check(call("servey", vec![])).await.name, "NoSuchExport");
    assert_eq!(check(call("survey", vec![text("soon")])).await.name, "ArgumentMismatch");

    // More than WASI has.
    let blocks = Arc::new(MemoryBlocks::default());
    let wasm = wat::parse_str(r#"(component (import "acme:disk/format" (instance (export "all" (func)))))"#).unwrap();
    blocks.put(&block::raw_cid(&wasm), wasm.clone().into()).await.unwrap();
    let handler = WasiHandler::new(EffectClass::Query, blocks, Grants::new()).unwrap();
    let of_all = call("all", vec![]);
    let args = of_all.task().args().clone();
    let args = args.into_iter().map(|(key, value)| match key.as_str() {
        "mod" => (key, Ipld::Link(block::raw_cid(&wasm))),
        _ => (key, value),
    });
    let refused = handler.check(&of_all.task().with_args(args.collect()), &Config::new()).await.unwrap_err();
    assert!(refused.to_string().contains("acme:disk/format"), "{refused}");
}
