//! Why a component was not prepared, or a call not completed.

use std::time::Duration;

use ipld_wit::text::shorten;
use ipld_wit::{ArgumentBytesError, ArgumentError, ConvertError, DecodeError, Exhausted, Unsupported};
use ucan_core::Cid;
use ucan_core::block::BlockError;

use crate::config::suggestion;

/// A component was not prepared. All of these but [`Host`](Self::Host) are the component's fault: the same bytes fail
/// again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The bytes are not what the CID names.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The bytes are something else altogether.
    #[error("expected a WebAssembly component, found {found}")]
    NotAComponent {
        /// What they look like.
        found: String,
    },
    /// The bytes are a core module that does not say by which types it is called.
    #[error("expected a WebAssembly component, found a core module without component types")]
    CoreModule,
    /// The bytes are a core module with component types, of which no component can be made.
    #[error("no component can be made of the core module: {detail}")]
    NotEncoded {
        /// What does not go together.
        detail: String,
    },
    /// The component is malformed, or uses a feature that the determinism profile leaves out.
    #[error("the component is invalid: {detail}")]
    Invalid {
        /// What the compiler says.
        detail: String,
    },
    /// The component asks the host for something that it does not offer.
    #[error("the import `{name}` is forbidden{}", and_more(*more))]
    ForbiddenImport {
        /// The first such import.
        name: String,
        /// How many others there are.
        more: usize,
    },
    /// The component is small as it stands, but would take too much of the host once it is compiled and instantiated.
    #[error("the component is too complex: it has more than {limit} {what}")]
    TooComplex {
        /// What it has too many of.
        what: &'static str,
        /// The most that is taken.
        limit: u64,
    },
    /// The host could not do its part.
    #[error("the host failed: {message}")]
    Host {
        /// What happened.
        message: String,
    },
    /// The component is larger than the runtime takes.
    #[error("the component has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The most that is taken.
        limit: usize,
    },
}

impl From<Exhausted> for PrepareError {
    fn from(Exhausted { limit }: Exhausted) -> Self {
        Self::TooComplex { what: "names and types in its functions", limit: limit as u64 }
    }
}

impl PrepareError {
    pub(crate) fn invalid(detail: &str) -> Self {
        Self::Invalid { detail: shorten(detail, 1_000) }
    }

    pub(crate) fn not_encoded(detail: &str) -> Self {
        Self::NotEncoded { detail: shorten(detail, 1_000) }
    }

    pub(crate) fn forbidden_import(name: &str, more: usize) -> Self {
        Self::ForbiddenImport { name: shorten(name, 200), more }
    }

    /// The name of the error in receipts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Block(_) => "InvalidBlock",
            Self::NotAComponent { .. } | Self::CoreModule | Self::NotEncoded { .. } | Self::Invalid { .. } => {
                "NotAComponent"
            }
            Self::ForbiddenImport { .. } => "ForbiddenImport",
            Self::TooLarge { .. } | Self::TooComplex { .. } => "LimitExceeded",
            Self::Host { .. } => "HostFailure",
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::CoreModule => Some(
                "make a component of it: `wasm-tools component embed` its WIT world, then `wasm-tools component new`",
            ),
            Self::NotAComponent { .. } => Some("pass the binary that `wasm-tools component new` writes"),
            Self::ForbiddenImport { name, .. } if name.starts_with("homestar:") || name == "wasi:logging/logging" => {
                Some("it was made for homestar, whose guests run in a compatibility mode (`--compat homestar`)")
            }
            Self::ForbiddenImport { .. } => Some(
                "a guest may import ipvm:ipld/blocks and WASI 0.2 without HTTP, all of which is the same everywhere: there are \
                 no files and no network; effects are tasks of their own",
            ),
            Self::NotEncoded { .. } => Some(
                "its exports have to be those of the world in its `component-type` section, and its imports those or \
                 functions of WASI preview 1",
            ),
            Self::Block(_)
            | Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::TooComplex { .. }
            | Self::Host { .. } => None,
        }
    }

    /// Whether every executor with this profile would refuse the component: true, except for its size and
    /// complexity, on which executors may differ, for bytes that merely arrived wrong, and for failures of the host.
    pub fn is_deterministic(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::TooComplex { .. } | Self::Block(_) | Self::Host { .. })
    }
}

/// A function that cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The component exports no such function.
    #[error("there is no export `{name}`{}", suggestion(nearest.as_deref()))]
    NoSuchExport {
        /// The name that was asked for.
        name: String,
        /// The export that is spelled most alike, if one is.
        nearest: Option<String>,
    },
    /// The function uses types that IPLD cannot carry.
    #[error("the export `{name}` cannot be called: {reason}")]
    Unsupported {
        /// The function.
        name: String,
        /// What it uses.
        reason: Unsupported,
    },
}

/// A call that did not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The function does not exist or cannot be called.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The arguments do not fit the function.
    #[error(transparent)]
    ArgumentMismatch(#[from] ArgumentError),
    /// The arguments cannot be read.
    #[error("the arguments are not canonical DAG-CBOR: {0}")]
    ArgumentBytes(DecodeError),
    /// The fuel ran out.
    #[error("out of fuel: the limit is {limit}")]
    OutOfFuel {
        /// The limit.
        limit: u64,
    },
    /// The guest wanted more memory than it may have.
    #[error("out of memory: {wanted} bytes wanted, the limit is {limit}")]
    OutOfMemory {
        /// The limit in bytes.
        limit: u64,
        /// What the guest would then have had, in bytes.
        wanted: u64,
    },
    /// The run took too long.
    #[error("out of time: the limit is {limit:?}")]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// The output is too large, or what was handed to the host in one call on the way.
    #[error("the output is too large: {}the limit is {limit} bytes", amount.map_or_else(String::new, |it| format!("{it} bytes, ")))]
    OutputLimit {
        /// The limit, in bytes of canonical DAG-CBOR.
        limit: u64,
        /// The size of the output, unless it was stopped before that was known.
        amount: Option<u64>,
    },
    /// The guest's call stack overflowed. How deep it can be depends on the compiler, so this is a limit.
    #[error("the call stack overflowed")]
    StackOverflow,
    /// The guest trapped, or handed over something that breaks its own types.
    #[error("{message}")]
    Trap {
        /// What happened. The same on every machine with the same profile.
        message: String,
    },
    /// The function gave a value that IPLD cannot carry: NaN or an infinity.
    #[error(transparent)]
    ResultMismatch(Box<ConvertError>),
    /// A block that the guest may read is not to be had.
    #[error("the block {cid} is missing, which the arguments lead to")]
    MissingBlock {
        /// The block.
        cid: Cid,
    },
    /// The host could not do its part.
    #[error("the host failed: {message}")]
    Host {
        /// What happened.
        message: String,
    },
}

impl From<ArgumentBytesError> for CallError {
    fn from(error: ArgumentBytesError) -> Self {
        match error {
            ArgumentBytesError::Decode(error) => Self::ArgumentBytes(error),
            ArgumentBytesError::Arguments(error) => Self::ArgumentMismatch(error),
            other => Self::Host { message: other.to_string() },
        }
    }
}

impl CallError {
    /// The name of the error in receipts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Export(_) => "NoSuchExport",
            Self::ArgumentMismatch(_) | Self::ArgumentBytes(_) => "ArgumentMismatch",
            Self::OutOfFuel { .. } => "OutOfFuel",
            Self::OutOfMemory { .. } => "OutOfMemory",
            Self::TimeLimit { .. } => "TimeLimit",
            Self::OutputLimit { .. } => "OutputLimit",
            Self::StackOverflow | Self::Trap { .. } | Self::ResultMismatch(_) => "Trap",
            Self::MissingBlock { .. } => "MissingBlock",
            Self::Host { .. } => "HostFailure",
        }
    }

    /// Whether the same call fails in the same way on every machine, so that the failure is a result and may be
    /// remembered. Limits are not part of a task's identity, so exceeding one is never such a failure.
    pub fn is_deterministic(&self) -> bool {
        match self {
            Self::Export(_) | Self::ArgumentMismatch(_) | Self::Trap { .. } | Self::ResultMismatch(_) => true,
            Self::ArgumentBytes(_)
            | Self::OutOfFuel { .. }
            | Self::OutOfMemory { .. }
            | Self::TimeLimit { .. }
            | Self::OutputLimit { .. }
            | Self::StackOverflow
            | Self::MissingBlock { .. }
            | Self::Host { .. } => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OutOfFuel { .. } => Some("raise `gas`, or look for an endless loop"),
            Self::OutOfMemory { .. } => Some("raise `memory`"),
            Self::TimeLimit { .. } => Some("raise `time`, or divide the work into more tasks"),
            Self::OutputLimit { .. } => Some("give less back, or divide the work into more tasks"),
            Self::StackOverflow => Some("look for endless recursion"),
            Self::MissingBlock { .. } => Some("add it to the block store, and run again"),
            Self::ResultMismatch(_) => Some("IPLD has no NaN and no infinities: give an option or a result instead"),
            Self::Export(_)
            | Self::ArgumentMismatch(_)
            | Self::ArgumentBytes(_)
            | Self::Trap { .. }
            | Self::Host { .. } => None,
        }
    }
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(", and {more} more") }
}
