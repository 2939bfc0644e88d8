//! The planner over random workflows, completion orders and failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use ipvm_workflow::{Bindings, Document, Plan, Planner};
use proptest::prelude::*;
use ucan_core::{Command, Did, Ipld};
use ucan_invocation::EffectClass;

const CLASSES: [EffectClass; 4] =
    [EffectClass::Query, EffectClass::Deterministic, EffectClass::IdempotentWrite, EffectClass::Mutable];

fn did() -> Did {
    Did::parse("did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC").unwrap()
}

/// A plan of tasks that each await some of those before them; every edge to a mutation is allowed.
fn plan(classes: &[usize], edges: &[(usize, usize)]) -> Plan {
    let string = |text: &str| Ipld::String(text.to_owned());
    let tasks = classes.iter().enumerate().map(|(position, class)| {
        let awaited: BTreeSet<String> = edges
            .iter()
            .filter(|(from, to)| *from % classes.len() == position && *to < position)
            .map(|(_, to)| format!("t{to}"))
            .collect();
        let promises = awaited.iter().map(|label| Ipld::Map([("await/ok".to_owned(), string(label))].into())).collect();
        let task = BTreeMap::from([
            ("cmd".to_owned(), string(&format!("/c{class}"))),
            ("args".to_owned(), Ipld::Map([("of".to_owned(), Ipld::List(promises))].into())),
            ("allow".to_owned(), Ipld::List(awaited.iter().map(|label| string(label)).collect())),
        ]);
        (format!("t{position}"), Ipld::Map(task))
    });
    let document =
        BTreeMap::from([("v".to_owned(), string("1.0.0")), ("tasks".to_owned(), Ipld::Map(tasks.collect()))]);
    let workflow = Document::parse(&Ipld::Map(document)).unwrap().bind(&Bindings::new(did(), did())).unwrap();
    let class_of = |_: &Did, command: &Command| command.as_str()[2..].parse::<usize>().ok().map(|class| CLASSES[class]);
    Plan::new(&workflow, &class_of, &|label| label.as_bytes().to_vec()).unwrap()
}

proptest! {
    #[test]
    fn every_step_starts_once_after_what_it_awaits_and_mutations_come_last(
        classes in prop::collection::vec(0_usize..4, 1..24),
        edges in prop::collection::vec((0_usize..24, 0_usize..24), 0..60),
        choices in prop::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.95)), 24),
    ) {
        let plan = plan(&classes, &edges);
        let steps = plan.steps();
        let place: BTreeMap<&str, usize> =
            steps.iter().enumerate().map(|(position, step)| (step.label.as_str(), position)).collect();
        let awaited = |position: usize| -> Vec<usize> {
            let own: usize = steps[position].label[1..].parse().unwrap();
            edges
                .iter()
                .filter(|(from, to)| from % classes.len() == own && *to < own)
                .map(|(_, to)| place[format!("t{to}").as_str()])
                .collect()
        };
        // Pure steps that no mutation stands before, however far.
        let mut free = vec![false; steps.len()];
        for position in 0..steps.len() {
            free[position] = !steps[position].class.is_mutation() && awaited(position).iter().all(|at| free[*at]);
        }

        let mut planner = Planner::new(&plan);
        let (mut running, mut started, mut finished) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        let mut choices = choices.into_iter();
        loop {
            while let Some(position) = planner.poll() {
                prop_assert!(started.insert(position), "started twice");
                prop_assert!(awaited(position).iter().all(|at| finished.contains_key(at)));
                if steps[position].class.is_mutation() {
                    for pure in (0..steps.len()).filter(|at| free[*at]) {
                        prop_assert_eq!(finished.get(&pure), Some(&true), "a mutation before pure work");
                    }
                }
                running.push(position);
            }
            if running.is_empty() {
                break;
            }
            let (choice, succeeded) = choices.next().unwrap();
            let position = running.swap_remove(choice.index(running.len()));
            finished.insert(position, succeeded);
            planner.handle_finished(position, succeeded);
        }
        let pure_succeeded = (0..steps.len()).filter(|at| free[*at]).all(|at| finished.get(&at) == Some(&true));
        if pure_succeeded {
            prop_assert_eq!(finished.len(), steps.len());
        }
        prop_assert!((0..steps.len()).filter(|at| free[*at]).all(|at| finished.contains_key(&at)));
        prop_assert_eq!(planner.not_started().count(), steps.len() - started.len());
    }
}
