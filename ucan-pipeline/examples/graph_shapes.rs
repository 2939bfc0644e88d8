//! How long the graph of many tasks takes to build and to walk through, per task, and how long promises take to resolve:
//! `cargo run --release -p ucan-pipeline --example graph_shapes`.
//!
//! With `-- 1000000`, promises are looked for in a million tasks as well, whose arguments take 3 GB.

use std::time::{Duration, Instant};

use ucan_core::{Cid, Command, Did, Ipld, block};
use ucan_invocation::{Await, Branch, Outcome, Task, TaskId};
use ucan_pipeline::{Graph, dataflow, resolve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{:>9} {:>10} {:>8} {:>8} {:>8} {:>8}", "tasks", "shape", "build", "order", "critical", "closure");
    println!("{:>9} {:>10} {:>35}", "", "", "nanoseconds a task");
    for size in [10_000, 100_000, 1_000_000] {
        let ids: Vec<TaskId> = (0..size).map(|at: usize| TaskId::new(cid(at))).collect();
        for (shape, awaited) in [("chain", chain as Awaited), ("star", star), ("random", random)] {
            let (graph, built) = best(|| Graph::new((0..size).map(|at| (ids[at], awaited(at).map(|to| ids[to])))))?;
            report(size, shape, built, &graph, &ids[0]);
        }
    }
    // The promises are found in arguments here. Only their shape counts, so that ids need not be hashes of the tasks.
    let more = std::env::args().nth(1).map(|size| size.parse()).transpose()?;
    let promise = |to| Await { branch: Branch::Ok, target: TaskId::new(cid(to)) }.to_ipld();
    let subject: Did = "did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC".parse()?;
    let command = Command::parse("/test/echo")?;
    for size in [10_000, 100_000].into_iter().chain(more) {
        let tasks: Vec<(TaskId, Task)> = (0..size)
            .map(|at| {
                let args = chain(at).map(|to| ("on".to_owned(), promise(to))).collect();
                (TaskId::new(cid(at)), Task::new(subject.clone(), command.clone(), args, vec![]))
            })
            .collect();
        let (graph, built) = best(|| dataflow(tasks.iter().map(|(id, task)| (*id, task))))?;
        report(size, "dataflow", built, &graph, &tasks[0].0);
    }
    let outcome = Outcome::Ok(Ipld::Integer(1));
    for (kind, different) in [("of one task", 1), ("of as many", 100_000)] {
        let many = Ipld::List((0..100_000).map(|at| promise(at % different)).collect());
        let (_, took) = best(|| resolve(&many, &|_| Some(&outcome)))?;
        println!("resolving 100000 promises {kind}: {} ns each", took.as_nanos() / 100_000);
    }
    Ok(())
}

type Awaited = fn(usize) -> Box<dyn Iterator<Item = usize>>;

/// Each waits for the one before.
fn chain(at: usize) -> Box<dyn Iterator<Item = usize>> {
    Box::new(at.checked_sub(1).into_iter())
}

/// All wait for the first.
fn star(at: usize) -> Box<dyn Iterator<Item = usize>> {
    Box::new((at > 0).then_some(0).into_iter())
}

/// Each waits for three of those before, anywhere.
fn random(at: usize) -> Box<dyn Iterator<Item = usize>> {
    let pick = move |salt: usize| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(salt as u32 * 21) % at;
    Box::new((0..if at > 0 { 3 } else { 0 }).map(pick))
}

fn cid(number: usize) -> Cid {
    block::dag_cbor_cid(&number.to_be_bytes())
}

/// The best of three.
fn best<T, E>(mut work: impl FnMut() -> Result<T, E>) -> Result<(T, Duration), E> {
    let mut fastest = Duration::MAX;
    for _ in 0..2 {
        let start = Instant::now();
        drop(work()?);
        fastest = fastest.min(start.elapsed());
    }
    let start = Instant::now();
    let value = work()?;
    Ok((value, fastest.min(start.elapsed())))
}

fn report(size: usize, shape: &str, built: Duration, graph: &Graph<TaskId>, first: &TaskId) {
    let per_task = |took: Duration| took.as_nanos() / size as u128;
    let mut times = [built; 4].map(per_task);
    for (walk, time) in times.iter_mut().skip(1).enumerate() {
        let start = Instant::now();
        let found = match walk {
            0 => graph.order().map(std::hint::black_box).count(),
            1 => graph.critical_path().tasks.len(),
            _ => graph.all_dependents([first]).len(),
        };
        *time = per_task(start.elapsed());
        std::hint::black_box(found);
    }
    let [build, order, critical, closure] = times;
    println!("{size:>9} {shape:>10} {build:>8} {order:>8} {critical:>8} {closure:>8}");
}
