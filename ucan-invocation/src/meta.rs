//! The fields of a receipt's metadata (`meta`) that this family writes and reads.

/// Links the determinism profile under which a result was computed. Results of one instruction are comparable only
/// under one profile.
pub const PROFILE: &str = "profile";
/// Links the task as it was resolved, where that differs from the task as it was invoked.
pub const RESOLVED: &str = "resolved";
/// The fuel that a computation used, an integer.
pub const FUEL: &str = "fuel";
/// The fuel that it took to get ready to run, an integer. It can differ between machines.
pub const INSTANTIATION: &str = "instantiation";
/// The most fuel that a computation which came to nothing may have used, what it took to get ready included: an integer. Machines do not
/// count to the unit where a guest is cut off in the middle.
pub const FUEL_BOUND: &str = "fuelBound";
/// What a guest said on the side: a list of lines.
pub const TRACE: &str = "trace";
/// The blocks that a guest read beside its arguments: a list of links, each once, in the order in which they were read first.
pub const READS: &str = "reads";
/// `true` in a receipt that states what came of an attempt and is not the final outcome of its task: the same task can
/// be asked for again and come to another.
pub const ATTEMPT: &str = "attempt";
/// The receipts on which a result rests whose task awaited others: a list of links, in the order of the promises, each once.
pub const AWAITED: &str = "awaited";
/// How a result was verified before it was accepted: a map of `by`, the strategy as a configuration has it, `supporters`, links to
/// the receipts of those who state the same, and `until`, the time in seconds since 1970 until which it can be challenged, where it
/// can.
pub const CHECK: &str = "check";
