//! What durable execution costs over its physical parts, how planning grows, and how near schedules come to the best there is.
//!
//! Words on the command line choose among the parts: `cargo bench -p ipvm-benches --bench workflow -- native known`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops where something fails")]

mod component;
mod host;
mod schedules;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use ipvm_benches::{best, row};
use ipvm_workflow::{How, Plan, Planner, Workflow};
use tokio::runtime::Runtime;
use ucan_core::{Ipld, Issuer, block};
use ucan_invocation::{Durability, EffectClass, Outcome, Receipt, TaskId};
use varsig::ed25519::SigningKey;

use host::{Host, parts, task, tasks};

const TASKS: usize = 10_000;

/// A part of the benchmark, with a folder of its own.
type Section = fn(&Runtime, &Path);

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    println!("{:<66} {:>13} {:>10}", "work", "best time", "ratio");
    let sections: [(&str, Section); 8] = [
        ("native", native),
        ("known", known),
        ("wasm", component::wasm),
        ("lone", lone),
        ("plans", |_, folder| plans(folder)),
        ("schedules", |_, folder| schedules::schedules(&Host::open(folder))),
        ("opening", opening),
        ("million", million),
    ];
    for (name, section) in sections {
        // One is too long for every day.
        let wanted = if asked.is_empty() { name != "million" } else { asked.iter().any(|word| word == name) };
        if wanted {
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            section(&runtime, &folder);
        }
    }
}

fn native(runtime: &Runtime, folder: &Path) {
    let host = Host::open(&folder.join("store"));
    let physical = (0..3)
        .map(|round| parts(runtime, &folder.join(format!("parts {round}")), &host.node, TASKS, Durability::Buffered));
    let physical = physical.min().unwrap();
    row("sign a receipt and file it, one of 10,000 at once", physical, None);
    let fresh: Vec<Workflow> = (0..5).map(|round| host.bind(tasks("/pure", round * TASKS, TASKS))).collect();
    let took = best(5, |round| assert_eq!(runtime.block_on(host.run(&fresh[round])).steps.len(), TASKS));
    let each = took / TASKS as u32;
    row("a no-op native task of 10,000, durable", each, Some(physical));
    println!("{:<66} {:>11} /s", "    that is", (1.0 / each.as_secs_f64()) as u64);
}

fn known(runtime: &Runtime, folder: &Path) {
    let host = Host::open(folder);
    let workflow = host.bind(tasks("/pure", 0, TASKS));
    runtime.block_on(host.run(&workflow));
    let again = best(5, |_| {
        assert!(runtime.block_on(host.run(&workflow)).steps.iter().all(|step| step.how == How::Reused));
    });
    row("a workflow of 10,000 that is known (at most 0.5 s)", again, None);
}

fn lone(runtime: &Runtime, folder: &Path) {
    let host = Host::open(&folder.join("store"));
    let mut file = std::fs::File::create(folder.join("log")).unwrap();
    let sync = best(100, |_| {
        file.write_all(&[7; 600]).unwrap();
        file.sync_data().unwrap();
    });
    let sign = best(200, |_| {
        let id = TaskId::new(block::dag_cbor_cid(b"some task"));
        black_box(Receipt::builder(id, Outcome::Ok(Ipld::Integer(1))).sign(&host.node, [0; 16]).unwrap());
    });
    row("append 600 bytes and sync", sync, None);
    let mut number = 0;
    for (kind, syncs) in [("/pure", 1), ("/do", 2)] {
        let singles: Vec<Workflow> = (0..50)
            .map(|_| {
                number += 1;
                host.bind(tasks(kind, number, 1))
            })
            .collect();
        let mut step = Duration::MAX;
        let single = best(50, |round| {
            let report = runtime.block_on(host.run(&singles[round]));
            step = step.min(report.steps[0].elapsed);
        });
        row(&format!("one durable {kind} step, idle engine"), step, Some((sync + sign) * syncs));
        row("    and its run, which has two syncs and a receipt of its own", single, Some((sync + sign) * (syncs + 2)));
    }
}

fn plans(folder: &Path) {
    let host = Host::open(folder);
    for count in [10_000, 100_000, 1_000_000] {
        let many: BTreeMap<String, Ipld> = (0..count).map(|at| (format!("t{at:07}"), task("/pure", at, &[]))).collect();
        let workflow = host.bind(many);
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
}

/// What is there is opened again.
fn opening(runtime: &Runtime, folder: &Path) {
    let receipts = std::env::var("IPVM_RECEIPTS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
    parts(runtime, folder, &executor, receipts, Durability::Buffered);
    let mut first = None;
    let opened = best(1, |_| first = Some(Host::open(folder)));
    row(&format!("open a store of {receipts} receipts (at most 3 s for 1,000,000)"), opened, None);
    let host = first.unwrap();
    let took = best(1, |_| drop(runtime.block_on(host.run(&host.bind(tasks("/pure", 5_000_000, 1))))));
    row("    and run the first new task", took, None);
}

/// One workflow of a million tasks, or of `IPVM_TASKS`.
fn million(runtime: &Runtime, folder: &Path) {
    let count = std::env::var("IPVM_TASKS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000_usize);
    let host = Host::open(folder);
    let workflow = host.bind(tasks("/pure", 0, count));
    println!("{:<66} {:>10} KiB", format!("a workflow of {count} tasks as a block"), workflow.bytes().len() >> 10);
    let before = resident("VmRSS");
    let began = Instant::now();
    let report = runtime.block_on(host.run(&workflow));
    let took = began.elapsed();
    assert_eq!(report.steps.len(), count);
    row(&format!("a task of a run of {count}"), took / u32::try_from(count).unwrap(), None);
    let most = resident("VmHWM").saturating_sub(before);
    println!("{:<66} {:>10} B", "    memory for each, at most", (most << 10) / count);
    drop(report);
    let again: Duration = best(1, |_| drop(runtime.block_on(host.run(&workflow))));
    row("    and again, all of it known, each", again / u32::try_from(count).unwrap(), None);
}

/// A size of this process that the system states, in KiB.
fn resident(which: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    line.and_then(|size| size.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
