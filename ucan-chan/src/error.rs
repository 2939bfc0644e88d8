use ucan_core::{SignError, TokenError};

/// Why a token is not the command of a channel that was expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The token itself cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is longer than commands of channels may be.
    #[error("the token has {length} bytes; those of channels have at most 4096")]
    TooLong {
        /// How many bytes it has.
        length: usize,
    },
    /// It is an invocation of something else.
    #[error("expected an invocation of {expected}, found one of {found}")]
    OtherCommand {
        /// The command that was expected.
        expected: &'static str,
        /// The command that it invokes.
        found: String,
    },
    /// An argument is missing or malformed.
    #[error("the argument {0:?} is missing or malformed")]
    Argument(&'static str),
    /// An argument that the command does not have.
    #[error("there is an argument {0:?}, which the command does not have")]
    UnknownArgument(String),
    /// It has a nonce, so that it could be stated twice.
    #[error("a command of channels has an empty nonce, and this one has not")]
    Nonce,
    /// Its proofs are not the chain of its channel.
    #[error("the last of the proofs is not the channel: they have to be its chain, root first")]
    Proofs,
    /// What is stated contradicts itself.
    #[error("the command contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// Why a command was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The signer failed, or the token cannot be made.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What was to be signed is not a command that others would read.
    #[error("nobody would read what was to be signed: {0}")]
    Command(#[from] CommandError),
}
