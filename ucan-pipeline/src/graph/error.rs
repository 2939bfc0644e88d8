use std::fmt;

/// How many tasks of a cycle are spelled out: one of a million would be a message of 60 MB.
const SHOWN: usize = 16;

/// Why tasks do not form a graph that can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError<K: fmt::Debug + fmt::Display> {
    /// Two tasks have the same name.
    #[error("there are two tasks named {0}")]
    Duplicate(K),
    /// A task awaits one that does not exist.
    #[error("task {from} awaits {to}, which is not there")]
    Unknown {
        /// The task that waits.
        from: K,
        /// What it waits for.
        to: K,
    },
    /// Tasks wait for each other, each for the next; the first one stands again at the end.
    #[error("tasks wait for each other: {}", path(.0))]
    Cycle(Vec<K>),
}

fn path<K: fmt::Display>(keys: &[K]) -> String {
    let mut shown = keys.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>();
    if let (Some(last), Some(more @ 1..)) = (keys.last(), keys.len().checked_sub(SHOWN + 1)) {
        shown.push(format!("({more} more)"));
        shown.push(last.to_string());
    } else if keys.len() > SHOWN {
        shown.extend(keys.last().map(ToString::to_string));
    }
    shown.join(" -> ")
}
