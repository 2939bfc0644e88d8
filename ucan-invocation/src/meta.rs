//! The fields of a receipt's metadata (`meta`) that this family writes and reads.

/// Links the determinism profile under which a result was computed. Results of one instruction are comparable only
/// under one profile.
pub const PROFILE: &str = "profile";
/// Links the task as it was resolved, where that differs from the task as it was invoked.
pub const RESOLVED: &str = "resolved";
/// The fuel that a computation used, an integer.
pub const FUEL: &str = "fuel";
/// `true` in a receipt that states what came of an attempt and is not the final outcome of its task: the same task can
/// be asked for again and come to another.
pub const ATTEMPT: &str = "attempt";
/// The receipts on which a result rests whose task awaited others: a list of links, in the order of the promises, each once.
pub const AWAITED: &str = "awaited";
