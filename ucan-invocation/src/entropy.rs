use std::fmt;

/// A source of random bytes. Libraries take it from their host, so that tests can hand in one that repeats itself.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}
