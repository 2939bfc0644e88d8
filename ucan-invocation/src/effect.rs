use std::fmt;

/// What running a task does to the world, declared by its [`Handler`](crate::Handler).
///
/// Planners order tasks by it (queries, then pure computation, then mutations), and stores memoize by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectClass {
    /// Reads something that may change: nothing is altered, and the answer is not a function of the arguments.
    Query,
    /// A function: the same instruction gives the same output bytes everywhere. The only class that is memoized.
    Deterministic,
    /// Alters the world, and doing it twice is the same as doing it once.
    IdempotentWrite,
    /// Alters the world each time it runs.
    Mutable,
}

impl EffectClass {
    /// The name of the class, as people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Deterministic => "deterministic",
            Self::IdempotentWrite => "idempotent write",
            Self::Mutable => "mutable",
        }
    }

    /// Whether running a task of this class alters the world.
    #[must_use]
    pub const fn is_mutation(self) -> bool {
        matches!(self, Self::IdempotentWrite | Self::Mutable)
    }
}

impl fmt::Display for EffectClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
