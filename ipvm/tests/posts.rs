//! A process that makes requests of a real server, killed with SIGKILL at random moments and at the worst ones, again and again, until
//! its run is over: the server has counted each `POST` once, or the run was reported as uncertain and a person looked.
//!
//! `IPVM_KILLS` is how often it is killed at least, 40 unless it is set; `IPVM_SEED` makes the moments others.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipvm::SystemEntropy;
use ipvm_fjall::FjallStore;
use ipvm_http::{Origin, TransportOptions};
use ipvm_workflow::{
    Bindings, Document, Engine, Journal, Parts, Paused, RUN_COMMAND, Resolution, RunError, RunOptions, RunRequest,
    Trust,
};
use shell::{Random, number};
use tempfile::TempDir;
use ucan_core::{CachedKeys, Cid, Delegation, DidKeys, Ipld, Issuer, SystemClock, dagjson};
use ucan_invocation::{BlockStore, Invocation, Outcome, Router, TaskId, TokioTimer};
use varsig::ed25519::SigningKey;

const STORE: &str = "IPVM_POSTS_STORE";
const URL: &str = "IPVM_POSTS_URL";
const KEYS: &str = "IPVM_POSTS_KEYS";
/// What a person found out: labels of tasks with `+` where they took effect, and `-` where they did not.
const FOUND: &str = "IPVM_POSTS_FOUND";
const POSTS: usize = 6;

fn person(byte: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[byte; 32]))
}

/// Not a test of its own: what the killed process runs. Without its store it does nothing.
#[tokio::test]
async fn the_process_that_posts() {
    let (Ok(store), Ok(url)) = (env::var(STORE), env::var(URL)) else { return };
    let store = Arc::new(FjallStore::open(Path::new(&store)).unwrap());
    let (node, user) = (person(1), person(2));
    let options = TransportOptions::default().with_timeout(Duration::from_secs(60));
    let mut origin = Origin::new(node.did().clone(), &url, Arc::new(SystemClock), options).unwrap();
    if env::var(KEYS).is_ok() {
        origin = origin.with_idempotency_keys();
    }
    let mut router = Router::default();
    for (command, handler) in origin.handlers() {
        router.insert(node.did().clone(), command.parse().unwrap(), handler);
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
        parallelism: 3,
    });
    let found = env::var(FOUND).unwrap_or_default();
    let mut resolutions = BTreeMap::new();
    for word in found.split_whitespace() {
        let (task, did) = word.split_at(word.len() - 1);
        let answer = Ipld::Map([("status".to_owned(), Ipld::Integer(200))].into());
        let resolution = if did == "+" { Resolution::Done(Outcome::Ok(answer)) } else { Resolution::NotDone };
        resolutions.insert(TaskId::new(task.parse::<Cid>().unwrap()), resolution);
    }
    let options = RunOptions { resolutions, ..RunOptions::default() };
    let open = store.unfinished().await.unwrap();
    let ended = match open.first() {
        Some(run) => engine.resume(run, &options, &|_| {}).await,
        None => engine.run_with(request(&node, &user, &url, &store).await, &options, &|_| {}).await,
    };
    let said = match ended {
        Ok(report) => format!("done {}", report.succeeded()),
        // It was killed when all was done.
        Err(RunError::AlreadyRun { .. }) => "done true".to_owned(),
        Err(RunError::Paused(Paused::Uncertain { label, task })) => format!("uncertain {label} {}", Cid::from(task)),
        Err(error) => panic!("{error:?}"),
    };
    println!("\nsaid {said}");
}

/// The same request in each life.
async fn request(node: &Issuer, user: &Issuer, url: &str, store: &FjallStore) -> RunRequest {
    let grant = |command: &str| {
        let (to, about) = (user.did().clone(), Some(node.did().clone()));
        Delegation::builder(to, about, command.parse().unwrap()).sign(node).unwrap()
    };
    let grants = vec![grant(RUN_COMMAND), grant("/http")];
    let mut tasks: Vec<String> = (0..POSTS)
        .map(|at| format!(r#""post{at}": {{"cmd": "/http/post", "args": {{"url": "{url}/post{at}", "body": "one"}}}}"#))
        .collect();
    tasks.push(format!(r#""page": {{"cmd": "/http/put", "args": {{"url": "{url}/page", "body": "page"}}}}"#));
    let json = format!(r#"{{"v": "1.0.0", "tasks": {{{}}}}}"#, tasks.join(", "));
    let document = Document::parse(&dagjson::decode(json.as_bytes()).unwrap()).unwrap();
    let workflow = document.bind(&Bindings::new(node.did().clone(), user.did().clone())).unwrap();
    store.put(workflow.cid(), workflow.bytes().to_vec().into()).await.unwrap();
    let args = RunRequest::args(&workflow, &grants, &[]);
    let invocation = Invocation::builder(node.did().clone(), RUN_COMMAND.parse().unwrap(), args)
        .proofs(vec![*grants[0].cid()])
        .nonce(b"the same".to_vec())
        .sign(user)
        .unwrap();
    RunRequest { invocation, delegations: grants }
}

/// When whoever asks is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// After so many microseconds.
    Time(u64),
    /// When it has asked so often: before it is counted, before it is answered, or after it is answered.
    Asked(u64, When),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Counting,
    Answering,
    Answered,
}

/// A server that counts.
#[derive(Debug, Default)]
struct Server {
    counted: BTreeMap<String, u32>,
    /// Keys that were seen, by what they were seen with.
    keys: BTreeMap<String, BTreeSet<String>>,
    /// Whether what has a known key is not counted again.
    honours: bool,
    asked: u64,
    kill: Option<(u64, When)>,
    process: Option<Child>,
}

impl Server {
    fn kill_at(&mut self, when: When) {
        if self.kill == Some((self.asked, when)) {
            self.kill = None;
            if let Some(process) = &mut self.process {
                process.kill().unwrap();
            }
        }
    }

    fn count(&mut self, path: &str, key: &str) {
        let new = self.keys.entry(path.to_owned()).or_default().insert(key.to_owned());
        if new || !self.honours {
            *self.counted.entry(path.to_owned()).or_default() += 1;
        }
    }
}

type Shared = Arc<Mutex<Server>>;

fn lock(server: &Shared) -> std::sync::MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve() -> (Shared, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Shared::default();
    let shared = server.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, server) = (stream.unwrap(), shared.clone());
            // What is killed hangs up in the middle.
            std::thread::spawn(move || drop(answer(stream, &server)));
        }
    });
    (server, url)
}

/// Answers one request after the other.
fn answer(stream: TcpStream, server: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let (mut path, mut key, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => value.clone_into(&mut key),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                Some(_) => {}
                None => line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path),
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        {
            let mut server = lock(server);
            server.asked += 1;
            server.kill_at(When::Counting);
            server.count(&path, &key);
            server.kill_at(When::Answering);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        lock(server).kill_at(When::Answered);
    }
}

/// One life of the process: what it said, if it was not killed before.
fn life(server: &Shared, url: &str, store: &Path, found: &str, kill: Option<Kill>) -> Option<String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "the_process_that_posts", "--nocapture"]);
    command.env(STORE, store).env(URL, url).env(FOUND, found).stdout(Stdio::piped()).stderr(Stdio::piped());
    let stdout;
    {
        let mut server = lock(server);
        if server.honours {
            command.env(KEYS, "1");
        }
        server.asked = 0;
        server.kill = match kill {
            Some(Kill::Asked(count, when)) => Some((count, when)),
            _ => None,
        };
        let mut process = command.spawn().unwrap();
        stdout = process.stdout.take().unwrap();
        server.process = Some(process);
    }
    if let Some(Kill::Time(micros)) = kill {
        std::thread::sleep(Duration::from_micros(micros));
        let _already_over = lock(server).process.as_mut().unwrap().kill();
    }
    let lines: Vec<String> = BufReader::new(stdout).lines().map_while(Result::ok).collect();
    let process = lock(server).process.take().unwrap();
    let output = process.wait_with_output().unwrap();
    let said = lines.iter().find_map(|line| line.strip_prefix("said ").map(str::to_owned));
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status).is_some();
    assert!(killed || said.is_some(), "{}", String::from_utf8_lossy(&output.stderr));
    if killed { None } else { said }
}

/// How often it was killed, and how many tasks were uncertain.
fn run(random: &mut Random, honours: bool) -> (u64, u64) {
    let (server, url) = serve();
    lock(&server).honours = honours;
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    let (mut kills, mut uncertain, mut found) = (0, 0, String::new());
    loop {
        let kill = match random.below(4) {
            0 => Some(Kill::Time(random.below(60_000))),
            // In the end it lives.
            1 if kills > 3 => None,
            _ => {
                let when = [When::Counting, When::Answering, When::Answered][random.below(3) as usize];
                Some(Kill::Asked(1 + random.below(3), when))
            }
        };
        let said = life(&server, &url, &store, &found, kill);
        found.clear();
        let Some(said) = said else {
            kills += 1;
            continue;
        };
        let words: Vec<&str> = said.split(' ').collect();
        match words.as_slice() {
            ["done", succeeded] => {
                assert_eq!(*succeeded, "true");
                break;
            }
            ["uncertain", label, task] => {
                assert!(!honours, "a key tells of {label}");
                uncertain += 1;
                // A person asks the server.
                let counted = lock(&server).counted.contains_key(&format!("/{label}"));
                found = format!("{task}{}", if counted { '+' } else { '-' });
            }
            _ => panic!("{said}"),
        }
    }
    let server = lock(&server);
    for at in 0..POSTS {
        let path = format!("/post{at}");
        assert_eq!(server.counted.get(&path), Some(&1), "{path} after {kills} kills: {:?}", server.counted);
        assert_eq!(server.keys[&path].len(), 1, "a task has one key, whatever happens: {:?}", server.keys);
    }
    assert!(server.counted.contains_key("/page"));
    (kills, uncertain)
}

#[test]
fn however_often_it_is_killed_each_post_counts_once() {
    let mut random = Random(number("IPVM_SEED").unwrap_or(11).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let wanted = number("IPVM_KILLS").unwrap_or(40);
    let (mut kills, mut uncertain, mut runs) = (0, 0, 0);
    while kills < wanted || runs < 2 {
        let (killed, unknown) = run(&mut random, runs % 2 == 0);
        (kills, uncertain, runs) = (kills + killed, uncertain + unknown, runs + 1);
    }
    println!("{runs} runs, killed {kills} times; {uncertain} tasks were uncertain");
    assert!(uncertain > 0, "without keys, something is uncertain");
}
