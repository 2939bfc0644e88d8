//! An engine of one's own: stores in memory, and a handler for a command of the application.
//!
//!     cargo run --release -p ipvm-examples --example own_handler

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use ipvm_workflow::{Bindings, Document, Engine, Entropy, MemoryJournal, Parts, RUN_COMMAND, RunRequest, Trust};
use ucan_core::{Command, Delegation, DidKeys, Ipld, Issuer, Policy, SystemClock, dagjson};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, EffectClass, Failure, Handler, Invocation, MemoryBlocks, MemoryReceipts,
    MemoryRevocations, Outcome, Router, Task, TokioTimer,
};
use varsig::ed25519::SigningKey;

/// `/text/upper` on `{text}`: a function, so that its results are reused.
#[derive(Debug)]
struct Upper;

fn text(task: &Task) -> Result<&str, Failure> {
    match task.args().get("text") {
        Some(Ipld::String(text)) => Ok(text),
        _ => Err(Failure::new("ArgumentMismatch", "the argument \"text\" is to be a string")),
    }
}

#[async_trait]
impl Handler for Upper {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Deterministic
    }

    async fn check(&self, task: &Task, _config: &Config) -> Result<(), Failure> {
        if task.is_pending() { Ok(()) } else { text(task).map(drop) }
    }

    async fn handle(&self, call: &Call) -> Completion {
        Completion::new(match text(call.task()) {
            Ok(text) => Outcome::Ok(Ipld::String(text.to_uppercase())),
            Err(failure) => failure.into(),
        })
    }
}

#[derive(Debug)]
struct Random;

impl Entropy for Random {
    #[allow(clippy::expect_used, reason = "there is nothing to go on with")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

const WORKFLOW: &str = r#"{"v": "1.0.0", "tasks": {
    "loud": {"cmd": "/text/upper", "args": {"text": "hello"}},
    "same": {"cmd": "/text/upper", "args": {"text": {"await/ok": "loud"}}}
}}"#;

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let service = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    let user = Issuer::ed25519(SigningKey::from_seed(&[2; 32]));

    let blocks = Arc::new(MemoryBlocks::default());
    let mut router = Router::default();
    router.insert(service.did().clone(), Command::parse("/text/upper")?, Arc::new(Upper));
    let engine = Engine::new(Parts {
        executor: service.clone(),
        blocks: blocks.clone(),
        receipts: Arc::new(MemoryReceipts::default()),
        revocations: Arc::new(MemoryRevocations::default()),
        journal: Arc::new(MemoryJournal::default()),
        router,
        trust: Trust::Own,
        keys: Arc::new(DidKeys),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Random),
        timer: Arc::new(TokioTimer),
        parallelism: 2,
    });

    // The service lets the user run workflows, and have texts made loud, but for secret ones.
    let may = |command: &str, policy: &str| -> Result<Delegation, Box<dyn Error>> {
        let policy = Policy::parse(&dagjson::decode(policy.as_bytes())?)?;
        let command = Command::parse(command)?;
        Ok(Delegation::builder(user.did().clone(), Some(service.did().clone()), command)
            .policy(policy)
            .sign(&service)?)
    };
    let may_run = may(RUN_COMMAND, "[]")?;
    let may_shout = may("/text", r#"[["not", ["like", ".text", "*secret*"]]]"#)?;

    // The user signs one request: this workflow, with these grants.
    let document = Document::parse(&dagjson::decode(WORKFLOW.as_bytes())?)?;
    let workflow = document.bind(&Bindings::new(service.did().clone(), user.did().clone()))?;
    blocks.put(workflow.cid(), workflow.bytes().to_vec().into()).await?;
    let args = RunRequest::args(&workflow, std::slice::from_ref(&may_shout), &[]);
    let invocation = Invocation::builder(service.did().clone(), Command::parse(RUN_COMMAND)?, args)
        .proofs(vec![*may_run.cid()])
        .nonce(vec![1])
        .sign(&user)?;

    let request = RunRequest { invocation, delegations: vec![may_run, may_shout] };
    let report = engine.run(request, &|event| println!("{event:?}")).await?;
    assert!(report.succeeded());
    assert_eq!(report.steps[1].outcome, Outcome::Ok(Ipld::String("HELLO".to_owned())));
    Ok(())
}
