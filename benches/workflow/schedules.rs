//! How near schedules come to the best there is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use ipvm_workflow::{Plan, Planner, Step};
use ucan_core::Ipld;
use ucan_invocation::EffectClass;

use crate::host::{Host, task};

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

/// Random graphs with random costs on a few workers.
pub(crate) fn schedules(host: &Host) {
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
            let plan = plan_of(host, tasks);
            let cost = |step: &Step| costs[step.label[1..].parse::<usize>().unwrap()];
            worst = worst.max(makespan(&plan, workers, &cost, &dependencies));
        }
        let what = format!("20 random graphs of 400 on {workers} workers, the worst over the bound");
        println!("{what:<66} {:>13} {worst:>8.3} x", "");
    }
}
