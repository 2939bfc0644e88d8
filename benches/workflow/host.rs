//! An engine over a store on disk, with handlers that do nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ipvm::SystemEntropy;
use ipvm_fjall::FjallStore;
use ipvm_workflow::{Bindings, Document, Engine, EngineOptions, Parts, RunReport, RunRequest, Trust, Workflow};
use tokio::runtime::Runtime;
use ucan_core::dagcbor::Limits;
use ucan_core::{CachedKeys, Command, Delegation, Did, DidKeys, Ipld, Issuer, SystemClock, block, dagcbor};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Durability, EffectClass, Failure, Filing, Handler, Invocation, Outcome,
    Receipt, ReceiptStore, Router, Task, TaskId, TokioTimer,
};
use varsig::ed25519::SigningKey;

/// Does nothing.
#[derive(Debug)]
struct Nothing(EffectClass);

#[async_trait]
impl Handler for Nothing {
    fn effect_class(&self) -> EffectClass {
        self.0
    }

    async fn check(&self, _: &Task, _: &Config) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(&self, _: &Call) -> Completion {
        Completion::new(Outcome::Ok(Ipld::Integer(1)))
    }
}

pub(crate) fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

pub(crate) struct Host {
    pub(crate) node: Issuer,
    user: Issuer,
    pub(crate) store: Arc<FjallStore>,
    engine: Engine,
    grants: Vec<Delegation>,
}

impl Host {
    pub(crate) fn open(folder: &Path) -> Self {
        Self::open_with(folder, |_, _, _| ())
    }

    /// The same with more handlers.
    pub(crate) fn open_with(folder: &Path, add: impl FnOnce(&mut Router, &Did, &Arc<FjallStore>)) -> Self {
        let key = |byte| Issuer::ed25519(SigningKey::from_seed(&[byte; 32]));
        let (node, user) = (key(1), key(2));
        let store = Arc::new(FjallStore::open(folder).unwrap());
        let mut router = Router::default();
        for (text, class) in [("/pure", EffectClass::Deterministic), ("/do", EffectClass::Mutable)] {
            router.insert(node.did().clone(), command(text), Arc::new(Nothing(class)));
        }
        add(&mut router, node.did(), &store);
        // A workflow of a million tasks is a block of some 90 MiB.
        let mut workflows = Limits::default();
        (workflows.bytes, workflows.items) = (256 << 20, 1 << 24);
        let parts = Parts {
            executor: node.clone(),
            blocks: store.clone(),
            receipts: store.clone(),
            revocations: store.clone(),
            journal: store.clone(),
            router,
            trust: Trust::Own,
            keys: Arc::new(CachedKeys::new(DidKeys)),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            timer: Arc::new(TokioTimer),
            parallelism: 64,
        };
        let engine = Engine::with_options(parts, EngineOptions { workflows, ..EngineOptions::default() });
        let grant = |what| {
            Delegation::builder(user.did().clone(), Some(node.did().clone()), command(what)).sign(&node).unwrap()
        };
        let grants = ["/ipvm/run", "/pure", "/do", "/wasm/run"].map(grant).into();
        Self { node, user, store, engine, grants }
    }

    pub(crate) fn bind(&self, tasks: BTreeMap<String, Ipld>) -> Workflow {
        let document = [("v".to_owned(), Ipld::String("1.0.0".to_owned())), ("tasks".to_owned(), Ipld::Map(tasks))];
        let document = Document::parse(&Ipld::Map(document.into())).unwrap();
        document.bind(&Bindings::new(self.node.did().clone(), self.user.did().clone())).unwrap()
    }

    pub(crate) async fn run(&self, workflow: &Workflow) -> RunReport {
        self.store.put(workflow.cid(), workflow.bytes().to_vec().into()).await.unwrap();
        let mut nonce = vec![0; 12];
        ipvm_workflow::Entropy::fill(&SystemEntropy, &mut nonce);
        let args = RunRequest::args(workflow, &self.grants, &[]);
        let invocation = Invocation::builder(self.node.did().clone(), command("/ipvm/run"), args)
            .proofs(vec![*self.grants[0].cid()])
            .nonce(nonce)
            .sign(&self.user)
            .unwrap();
        let request = RunRequest { invocation, delegations: self.grants.clone() };
        let report = self.engine.run(request, &|_| ()).await.unwrap();
        assert!(report.succeeded());
        report
    }
}

pub(crate) fn task(command: &str, number: usize, awaits: &[usize]) -> Ipld {
    let promise = |at: &usize| Ipld::Map([("await/ok".to_owned(), Ipld::String(format!("t{at}")))].into());
    let args = [
        ("n".to_owned(), Ipld::Integer(number as i128)),
        ("of".to_owned(), Ipld::List(awaits.iter().map(promise).collect())),
    ];
    Ipld::Map(
        [("cmd".to_owned(), Ipld::String(command.to_owned())), ("args".to_owned(), Ipld::Map(args.into()))].into(),
    )
}

pub(crate) fn tasks(command: &str, from: usize, count: usize) -> BTreeMap<String, Ipld> {
    (0..count).map(|at| (format!("t{at}"), task(command, from + at, &[]))).collect()
}

/// A signature, two hashes and a group-committed append of what a task leaves, for `count` of them at once, each by itself.
pub(crate) fn parts(
    runtime: &Runtime,
    folder: &Path,
    executor: &Issuer,
    count: usize,
    durability: Durability,
) -> Duration {
    let store = Arc::new(FjallStore::open(folder).unwrap());
    let began = Instant::now();
    runtime.block_on(async {
        let mut filed = tokio::task::JoinSet::new();
        for number in 0..count {
            let (store, executor) = (store.clone(), executor.clone());
            filed.spawn(async move {
                let bytes = dagcbor::encode(&task("/pure", number, &[])).unwrap();
                let id = TaskId::new(block::dag_cbor_cid(&bytes));
                let receipt = Receipt::builder(id, Outcome::Ok(Ipld::Integer(1))).sign(&executor, [0; 16]).unwrap();
                let filing = Filing { tasks: vec![id], memo: None, inputs: vec![], durability };
                store.file(&receipt, &filing).await.unwrap();
            });
        }
        filed.join_all().await;
    });
    began.elapsed() / u32::try_from(count).unwrap()
}
