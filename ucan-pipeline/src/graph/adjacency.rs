/// Rows of positions, one row a node, all in one allocation.
#[derive(Clone, Debug)]
pub(super) struct Adjacency {
    /// Where each row starts in `targets`, and at the end where the last one ends.
    starts: Vec<usize>,
    targets: Vec<usize>,
}

impl Adjacency {
    /// No rows yet, and room for as many.
    pub(super) fn with_rows(rows: usize) -> Self {
        let mut starts = Vec::with_capacity(rows.saturating_add(1));
        starts.push(0);
        Self { starts, targets: Vec::with_capacity(rows) }
    }

    /// Adds a position to the row that is being written.
    pub(super) fn push(&mut self, target: usize) {
        self.targets.push(target);
    }

    /// Ends the row that is being written.
    pub(super) fn end_row(&mut self) {
        self.starts.push(self.targets.len());
    }

    pub(super) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn row(&self, at: usize) -> &[usize] {
        &self.targets[self.starts[at]..self.starts[at + 1]]
    }

    /// The same edges the other way round, in `rows` rows. Each row is in ascending order: this is a counting sort.
    pub(super) fn transposed(&self, rows: usize) -> Self {
        let mut starts = vec![0; rows + 1];
        for target in &self.targets {
            starts[target + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut targets = vec![0; self.targets.len()];
        for from in 0..self.rows() {
            for target in self.row(from) {
                targets[next[*target]] = from;
                next[*target] += 1;
            }
        }
        Self { starts, targets }
    }
}
