use std::collections::BinaryHeap;

use crate::{Plan, Step};

/// Decides what runs next. It waits for nothing, reads no clock and does nothing itself: results go in by
/// [`handle_finished`](Planner::handle_finished), steps to start come out by [`poll`](Planner::poll).
///
/// A step may start when all that it awaits is finished, the one with the costliest way still behind it first. Mutations
/// start only when all pure work that does not itself wait for a mutation has succeeded.
#[derive(Clone, Debug)]
pub struct Planner {
    steps: Vec<Tracked>,
    ready: BinaryHeap<(u64, std::cmp::Reverse<usize>)>,
    held: Vec<usize>,
    pure_left: usize,
    pure_failed: bool,
}

#[derive(Clone, Debug)]
struct Tracked {
    mutation: bool,
    /// Whether mutations wait for this step.
    gates: bool,
    /// What the steps on the costliest path from here to an end cost together.
    height: u64,
    waiting_for: usize,
    dependents: Vec<usize>,
    started: bool,
    finished: bool,
    /// Whether it is none of the planner's business: what undoes others is done when these are to be undone.
    apart: bool,
}

impl Tracked {
    fn apart() -> Self {
        Self {
            mutation: true,
            gates: false,
            height: 0,
            waiting_for: 0,
            dependents: Vec::new(),
            started: false,
            finished: false,
            apart: true,
        }
    }
}

impl Planner {
    /// A planner for `plan`, of which nothing has started yet.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::with_costs(plan, &|_| 1)
    }

    /// The same where steps are known to cost more or less than others, in any unit: the costliest way is gone first.
    #[must_use]
    pub fn with_costs(plan: &Plan, cost: &dyn Fn(&Step) -> u64) -> Self {
        let mut steps: Vec<Tracked> = Vec::with_capacity(plan.steps().len());
        for (position, step) in plan.steps().iter().enumerate() {
            let dependencies: Vec<usize> = plan.dependencies(position).collect();
            let mutation = step.class.is_mutation();
            if step.undoes {
                steps.push(Tracked::apart());
                continue;
            }
            // Steps come after what they await, so that what they depend on has been looked at already.
            let behind_mutation = dependencies.iter().any(|at| !steps[*at].gates);
            steps.push(Tracked {
                mutation,
                gates: !mutation && !behind_mutation,
                height: 0,
                waiting_for: dependencies.len(),
                dependents: plan.dependents(position).filter(|at| !plan.steps()[*at].undoes).collect(),
                started: false,
                finished: false,
                apart: false,
            });
        }
        for position in (0..steps.len()).rev() {
            let above = steps[position].dependents.iter().map(|at| steps[*at].height).max();
            steps[position].height = above.unwrap_or(0).saturating_add(cost(&plan.steps()[position]).max(1));
        }
        let pure_left = steps.iter().filter(|step| step.gates).count();
        let mut planner = Self { steps, ready: BinaryHeap::new(), held: Vec::new(), pure_left, pure_failed: false };
        for position in 0..planner.steps.len() {
            if planner.steps[position].waiting_for == 0 && !planner.steps[position].apart {
                planner.make_ready(position);
            }
        }
        planner
    }

    /// The position of a step to start now, if there is one. Call until there is none, then wait for a step to finish.
    pub fn poll(&mut self) -> Option<usize> {
        if self.is_pure_part_done() {
            for position in std::mem::take(&mut self.held) {
                self.queue(position);
            }
        }
        let (_, std::cmp::Reverse(position)) = self.ready.pop()?;
        self.steps[position].started = true;
        Some(position)
    }

    /// Whether all has succeeded that mutations wait for.
    pub(crate) fn is_pure_part_done(&self) -> bool {
        self.pure_left == 0 && !self.pure_failed
    }

    /// Takes note that the step at `position` has a receipt.
    pub fn handle_finished(&mut self, position: usize, succeeded: bool) {
        self.steps[position].finished = true;
        if self.steps[position].gates {
            self.pure_left -= 1;
            self.pure_failed |= !succeeded;
        }
        for dependent in self.steps[position].dependents.clone() {
            self.steps[dependent].waiting_for -= 1;
            if self.steps[dependent].waiting_for == 0 {
                self.make_ready(dependent);
            }
        }
    }

    /// Whether the step at `position` has come to something.
    #[must_use]
    pub fn is_finished(&self, position: usize) -> bool {
        self.steps[position].finished
    }

    /// The steps that have not been started. Once nothing is running and [`poll`](Planner::poll) gives nothing, they
    /// never will be.
    pub fn not_started(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().enumerate().filter(|(_, step)| !step.started && !step.apart).map(|(position, _)| position)
    }

    fn make_ready(&mut self, position: usize) {
        if self.steps[position].mutation {
            self.held.push(position);
        } else {
            self.queue(position);
        }
    }

    fn queue(&mut self, position: usize) {
        self.ready.push((self.steps[position].height, std::cmp::Reverse(position)));
    }
}
