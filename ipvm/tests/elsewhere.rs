//! Two nodes, each on its own disk, and a socket between them: what one is asked for by a workflow of the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ipvm::{Node, NodeError, NodeOptions, State, SystemEntropy};
use ipvm_http::{Endpoint, HttpTransport, ServerOptions, TransportOptions, serve};
use ipvm_workflow::{Document, Elsewhere, Missing, Paused, RunError, RunOptions, RunReport, Trust, Verification};
use tempfile::TempDir;
use tokio::net::TcpListener;
use ucan_core::{CachedKeys, Command, Container, Delegation, Did, DidKeys, Issuer, SystemClock, Token, dagjson};
use ucan_invocation::{EffectClass, Executor, ExecutorParts, NoPromises, ReceiptStore, Transport, TransportError};

/// Loses the answers to the first requests that it is told to.
#[derive(Debug)]
struct Lossy {
    http: HttpTransport,
    loses: AtomicUsize,
    sent: AtomicUsize,
}

#[async_trait]
impl Transport for Lossy {
    async fn send(&self, to: &Did, container: &Container) -> Result<Container, TransportError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let answer = self.http.send(to, container).await;
        let less = |loses: usize| loses.checked_sub(1);
        match self.loses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Err(TransportError::Failed { to: to.clone(), detail: "the cable is cut".to_owned() }),
            Err(_) => answer,
        }
    }
}

/// A node that others reach at a socket.
async fn serving(folder: &Path) -> (Arc<Node>, SocketAddr) {
    let node = Arc::new(Node::open(&NodeOptions::new(folder)).unwrap());
    let parts = node.engine().parts().clone();
    let executor = Executor::new(ExecutorParts {
        executor: parts.executor,
        router: parts.router,
        blocks: parts.blocks,
        receipts: parts.receipts,
        trust: Trust::Own,
        revocations: parts.revocations,
        replays: node.store().clone(),
        promises: Arc::new(NoPromises),
        elsewhere: None,
        keys: Arc::new(CachedKeys::new(DidKeys)),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint::new(executor, ServerOptions::default());
    tokio::spawn(async move { serve(listener, "/ucan", endpoint, std::future::pending()).await });
    (node, address)
}

fn grant(from: &Issuer, about: &Did, to: &Did) -> Delegation {
    let command = Command::parse("/file/append").unwrap();
    Delegation::builder(to.clone(), Some(about.clone()), command).sign(from).unwrap()
}

/// The folder of a node, and how others are reached from there.
struct Here {
    folder: TempDir,
    line: Arc<Lossy>,
}

impl Here {
    fn new(there: &Node, address: SocketAddr, loses: usize) -> Self {
        let http = HttpTransport::new(Arc::new(SystemClock), TransportOptions::default()).unwrap();
        http.insert(there.state().node.did(), &format!("http://{address}/ucan")).unwrap();
        let line = Arc::new(Lossy { http, loses: AtomicUsize::new(loses), sent: AtomicUsize::new(0) });
        Self { folder: tempfile::tempdir().unwrap(), line }
    }

    fn open(&self) -> Node {
        let elsewhere = Some(Elsewhere::new(self.line.clone()));
        Node::open(&NodeOptions { elsewhere, ..NodeOptions::new(self.folder.path()) }).unwrap()
    }
}

async fn run(node: &Node, there: &Node) -> Result<RunReport, NodeError> {
    let (aud, sub) = (there.state().node.did(), there.state().owner.did());
    let json = format!(
        r#"{{"v": "1.0.0", "tasks": {{
            "there": {{"cmd": "/file/append", "sub": "{sub}", "aud": "{aud}", "args": {{"path": "notes", "content": "from afar\n"}}}},
            "here": {{"cmd": "/file/append", "sub": "output",
                     "args": {{"path": "notes", "content": "done\n"}}, "allow": ["there"]}}
        }}}}"#
    );
    let document = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap();
    node.run(&document, BTreeMap::new(), BTreeMap::new(), &|_| ()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_has_a_task_done_at_another_once_whatever_is_lost() {
    let disk = tempfile::tempdir().unwrap();
    let (there, address) = serving(disk.path()).await;
    let here = Here::new(&there, address, 1);
    let node = here.open();

    // The delegations are files, as any others: that the user may, and that the node may ask.
    let (aud, sub) = (node.state().node.did().clone(), there.state().owner.did().clone());
    let user = &node.state().user;
    State::keep(here.folder.path(), &grant(&there.state().owner, &sub, user.did())).unwrap();
    let refused = run(&node, &there).await.unwrap_err();
    let NodeError::NoAuthority { error: RunError::NoAuthority(missing), .. } = &refused else { panic!("{refused:?}") };
    assert!(matches!(&missing[0].reason, Missing::Onward { executor, .. } if *executor == aud), "{refused}");
    State::keep(here.folder.path(), &grant(user, &sub, &aud)).unwrap();

    // The line is written, and nobody hears of it.
    let paused = run(&node, &there).await.unwrap_err();
    let NodeError::Run(RunError::Paused(Paused::Unanswered { label, why, .. })) = &paused else { panic!("{paused:?}") };
    assert_eq!(label, "there");
    assert!(why.contains("the cable is cut"), "{why}");
    let notes = || fs::read_to_string(there.output().join("notes")).unwrap();
    assert_eq!(notes(), "from afar\n");
    let run = ipvm_workflow::Journal::unfinished(&**node.store()).await.unwrap();
    let [run] = run.as_slice() else { panic!("{run:?}") };
    drop(node);

    // Another process, on the same disk, asks by the same invocation.
    let node = here.open();
    let report = node.engine().resume(run, &RunOptions::default(), &|_| {}).await.unwrap();
    assert!(report.succeeded());
    assert_eq!(here.line.sent.load(Ordering::Relaxed), 2);
    assert_eq!(notes(), "from afar\n", "it was done once");
    assert_eq!(fs::read_to_string(node.output().join("notes")).unwrap(), "done\n");

    let step = report.steps.iter().find(|step| step.label == "there").unwrap();
    let own = ReceiptStore::get(&**node.store(), &step.receipt).await.unwrap().unwrap();
    let theirs = ReceiptStore::get(&**there.store(), &own.cause().unwrap()).await.unwrap().unwrap();
    assert!(theirs.issuer().same_principal(there.state().node.did()));
    let verified = node.engine().verify(own).await.unwrap();
    assert_eq!(verified, Verification::Attested { class: EffectClass::Mutable });
    for store in [node.store(), there.store()] {
        assert!(store.check().await.unwrap().is_sound());
    }
}

/// The command has no network, and says so.
#[tokio::test]
async fn a_node_that_was_given_no_way_refuses_what_is_for_others() {
    let disks = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [node, there] = disks.each_ref().map(|disk| Node::open(&NodeOptions::new(disk.path())).unwrap());
    let refused = run(&node, &there).await.unwrap_err();
    assert!(matches!(&refused, NodeError::Run(RunError::NoWay { label, .. }) if label == "there"), "{refused:?}");
    assert!(refused.to_string().contains("was given no way to others"), "{refused}");
}
