//! What durable execution costs over its physical parts, how planning grows, and how near schedules come to the best there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops where something fails")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ipvm::SystemEntropy;
use ipvm_benches::{best, row};
use ipvm_fjall::FjallStore;
use ipvm_workflow::{
    Bindings, Document, Engine, How, Parts, Plan, Planner, RunReport, RunRequest, Step, Trust, Workflow,
};
use tokio::runtime::Runtime;
use ucan_core::{CachedKeys, Command, Delegation, DidKeys, Ipld, Issuer, SystemClock, block, dagcbor};
use ucan_invocation::{
    BlockStore, Call, Completion, Config, Durability, EffectClass, Failure, Filing, Handler, Invocation, Outcome,
    Receipt, ReceiptStore, Router, Task, TaskId, TokioTimer,
};
use varsig::ed25519::SigningKey;

const TASKS: usize = 10_000;

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

fn command(text: &str) -> Command {
    Command::parse(text).unwrap()
}

struct Host {
    node: Issuer,
    user: Issuer,
    store: Arc<FjallStore>,
    engine: Engine,
    grants: Vec<Delegation>,
}

impl Host {
    fn open(folder: &Path) -> Self {
        let key = |byte| Issuer::ed25519(SigningKey::from_seed(&[byte; 32]));
        let (node, user) = (key(1), key(2));
        let store = Arc::new(FjallStore::open(folder).unwrap());
        let mut router = Router::default();
        for (text, class) in [("/pure", EffectClass::Deterministic), ("/do", EffectClass::Mutable)] {
            router.insert(node.did().clone(), command(text), Arc::new(Nothing(class)));
        }
        let engine = Engine::new(Parts {
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
        });
        let grant = |what| {
            Delegation::builder(user.did().clone(), Some(node.did().clone()), command(what)).sign(&node).unwrap()
        };
        let grants = ["/ipvm/run", "/pure", "/do"].map(grant).into();
        Self { node, user, store, engine, grants }
    }

    fn bind(&self, tasks: BTreeMap<String, Ipld>) -> Workflow {
        let document = [("v".to_owned(), Ipld::String("1.0.0".to_owned())), ("tasks".to_owned(), Ipld::Map(tasks))];
        let document = Document::parse(&Ipld::Map(document.into())).unwrap();
        document.bind(&Bindings::new(self.node.did().clone(), self.user.did().clone())).unwrap()
    }

    async fn run(&self, workflow: &Workflow) -> RunReport {
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

fn task(command: &str, number: usize, awaits: &[usize]) -> Ipld {
    let promise = |at: &usize| Ipld::Map([("await/ok".to_owned(), Ipld::String(format!("t{at}")))].into());
    let args = [
        ("n".to_owned(), Ipld::Integer(number as i128)),
        ("of".to_owned(), Ipld::List(awaits.iter().map(promise).collect())),
    ];
    Ipld::Map(
        [("cmd".to_owned(), Ipld::String(command.to_owned())), ("args".to_owned(), Ipld::Map(args.into()))].into(),
    )
}

fn tasks(command: &str, from: usize, count: usize) -> BTreeMap<String, Ipld> {
    (0..count).map(|at| (format!("t{at}"), task(command, from + at, &[]))).collect()
}

/// A signature, two hashes and a group-committed append of what a task leaves, for `count` of them at once, each by itself.
fn parts(runtime: &Runtime, folder: &Path, executor: &Issuer, count: usize, durability: Durability) -> Duration {
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

/// xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

fn plan_of(host: &Host, tasks: BTreeMap<String, Ipld>) -> Plan {
    let workflow = host.bind(tasks);
    Plan::new(&workflow, &|_, _| Some(EffectClass::Deterministic), &|_| vec![]).unwrap()
}

/// How long a schedule of `plan` takes on so many workers, against the longest path and the work of each.
fn makespan(plan: &Plan, workers: usize, cost: &dyn Fn(&Step) -> u64, dependencies: &[Vec<usize>]) -> f64 {
    let mut planner = Planner::with_costs(plan, cost);
    let (mut busy, mut now): (BinaryHeap<Reverse<(u64, usize)>>, u64) = (BinaryHeap::new(), 0);
    let place: BTreeMap<&str, usize> =
        plan.steps().iter().enumerate().map(|(at, step)| (step.label.as_str(), at)).collect();
    loop {
        while busy.len() < workers {
            let Some(position) = planner.poll() else { break };
            busy.push(Reverse((now + cost(&plan.steps()[position]), position)));
        }
        let Some(Reverse((ends, position))) = busy.pop() else { break };
        now = ends;
        planner.handle_finished(position, true);
    }
    let work: u64 = plan.steps().iter().map(cost).sum();
    let mut longest: BTreeMap<usize, u64> = BTreeMap::new();
    for (number, awaits) in dependencies.iter().enumerate() {
        let before = awaits.iter().map(|at| longest[at]).max().unwrap_or(0);
        let step = &plan.steps()[place[format!("t{number}").as_str()]];
        longest.insert(number, before + cost(step));
    }
    let bound = (work as f64 / workers as f64).max(*longest.values().max().unwrap() as f64);
    now as f64 / bound
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:<66} {:>13} {:>10}", "work", "best time", "ratio");

    let host = Host::open(&folder.path().join("store"));
    let physical = (0..3).map(|round| {
        parts(&runtime, &folder.path().join(format!("parts {round}")), &host.node, TASKS, Durability::Buffered)
    });
    let physical = physical.min().unwrap();
    row("sign a receipt and file it, one of 10,000 at once", physical, None);
    let fresh: Vec<Workflow> = (0..3).map(|round| host.bind(tasks("/pure", round * TASKS, TASKS))).collect();
    let took = best(3, |round| assert_eq!(runtime.block_on(host.run(&fresh[round])).steps.len(), TASKS));
    let each = took / TASKS as u32;
    row("a no-op native task of 10,000, durable", each, Some(physical));
    println!("{:<66} {:>11} /s", "    that is", (1.0 / each.as_secs_f64()) as u64);
    let again = best(3, |round| {
        assert!(runtime.block_on(host.run(&fresh[round])).steps.iter().all(|step| step.how == How::Reused));
    });
    row("the same workflow of 10,000 again, all of it known (at most 0.5 s)", again, None);

    let mut file = std::fs::File::create(folder.path().join("log")).unwrap();
    let sync = best(100, |_| {
        file.write_all(&[7; 600]).unwrap();
        file.sync_data().unwrap();
    });
    let sign = best(200, |_| {
        let id = TaskId::new(block::dag_cbor_cid(b"some task"));
        black_box(Receipt::builder(id, Outcome::Ok(Ipld::Integer(1))).sign(&host.node, [0; 16]).unwrap());
    });
    row("append 600 bytes and sync", sync, None);
    let mut number = 1_000_000;
    for (kind, syncs) in [("/do", 2), ("/pure", 1)] {
        let singles: Vec<Workflow> = (0..50)
            .map(|_| {
                number += 1;
                host.bind(tasks(kind, number, 1))
            })
            .collect();
        let single = best(50, |round| drop(runtime.block_on(host.run(&singles[round]))));
        row(
            &format!("a run of one {kind} step, idle engine, with the run's own 3 syncs"),
            single,
            Some((sync + sign) * syncs),
        );
    }

    for count in [10_000, 100_000, 1_000_000] {
        let chain: BTreeMap<String, Ipld> =
            (0..count).map(|at| (format!("t{at:07}"), task("/pure", at, &[]))).collect();
        let workflow = host.bind(chain);
        let mut planned = None;
        let took = best(1, |_| {
            planned = Some(Plan::new(&workflow, &|_, _| Some(EffectClass::Deterministic), &|_| vec![]).unwrap());
        });
        row(&format!("plan {count} tasks, each"), took / u32::try_from(count).unwrap(), None);
        let plan = planned.unwrap();
        let took = best(1, |_| {
            let mut planner = Planner::new(&plan);
            while let Some(position) = planner.poll() {
                planner.handle_finished(position, true);
            }
        });
        row("    and what the planner says of each", took / u32::try_from(count).unwrap(), None);
    }

    let mut random = Random(7);
    for workers in [2, 8, 64] {
        let mut worst: f64 = 0.0;
        for _ in 0..20 {
            let count = 400_usize;
            let dependencies: Vec<Vec<usize>> =
                (0..count).map(|at| (at.saturating_sub(40)..at).filter(|_| random.below(20) == 0).collect()).collect();
            let costs: Vec<u64> = (0..count).map(|_| 1 + random.below(100)).collect();
            let tasks = dependencies.iter().enumerate();
            let tasks = tasks.map(|(at, awaits)| (format!("t{at}"), task("/pure", at, awaits))).collect();
            let plan = plan_of(&host, tasks);
            let cost = |step: &Step| costs[step.label[1..].parse::<usize>().unwrap()];
            worst = worst.max(makespan(&plan, workers, &cost, &dependencies));
        }
        let what = format!("20 random graphs of 400 on {workers} workers, the worst over the bound");
        println!("{what:<66} {:>13} {worst:>8.3} x", "");
    }

    // What is there is opened again.
    drop(host);
    let receipts = std::env::var("IPVM_RECEIPTS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let big = folder.path().join("big");
    let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    parts(&runtime, &big, &executor, receipts, Durability::Buffered);
    let mut first = None;
    let opened = best(1, |_| first = Some(Host::open(&big)));
    row(&format!("open a store of {receipts} receipts (at most 3 s for 1,000,000)"), opened, None);
    let host = first.unwrap();
    let took = best(1, |_| drop(runtime.block_on(host.run(&host.bind(tasks("/pure", 5_000_000, 1))))));
    row("    and run the first new task", took, None);
}
