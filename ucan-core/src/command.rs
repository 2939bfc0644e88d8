//! Commands: what is to be done, as a path whose prefixes are wider powers.

use std::{fmt, str::FromStr, sync::Arc};

use crate::text::excerpt;

/// A command such as `/msg/send`. `/` alone is every command.
///
/// ```
/// use ucan_core::Command;
///
/// let crypto: Command = "/crypto".parse()?;
/// assert!(crypto.covers(&"/crypto/sign".parse()?));
/// assert!(!crypto.covers(&"/cryptocurrency".parse()?));
/// assert!(Command::top().covers(&crypto));
/// assert!("/Crypto".parse::<Command>().is_err());
/// # Ok::<(), ucan_core::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command(Arc<str>);

impl Command {
    /// The longest command that is read, in bytes.
    pub const MAX_LENGTH: usize = 4096;

    /// Reads a command (UCAN 1.0, "Command").
    ///
    /// # Errors
    ///
    /// When it does not start with `/`, is not lowercase, ends with `/`, or has an empty segment.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let error = |reason| Err(CommandError { text: excerpt(text), reason });
        if text.len() > Self::MAX_LENGTH {
            return error("it is longer than 4096 bytes");
        }
        let Some(path) = text.strip_prefix('/') else {
            return error("it does not start with `/`");
        };
        if path.ends_with('/') {
            return error("it ends with `/`");
        }
        if path.contains("//") || path.starts_with('/') {
            return error("it has an empty segment");
        }
        let lowercase = if path.is_ascii() {
            !path.bytes().any(|byte| byte.is_ascii_uppercase())
        } else {
            path.to_lowercase() == path
        };
        if !lowercase {
            return error("it is not lowercase");
        }
        Ok(Self(text.into()))
    }

    /// Every command: `/`.
    pub fn top() -> Self {
        Self("/".into())
    }

    /// The command as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, none of which is empty; `/` has none.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// Whether whoever may do this may also do `other`: the same command or one below it.
    pub fn covers(&self, other: &Self) -> bool {
        let mut theirs = other.segments();
        self.segments().all(|segment| theirs.next() == Some(segment))
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        Self::parse(text)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.0)
    }
}

/// A text that is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a command: {text:?} ({reason})")]
pub struct CommandError {
    text: String,
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Command {
        Command::parse(text).unwrap()
    }

    #[test]
    fn syntax() {
        for good in ["/", "/a", "/crypto/sign", "/a b", "/été", "/日本", "/foo_bar-1.2"] {
            assert_eq!(parse(good).as_str(), good);
        }
        for bad in ["", "a", "a/b", "//", "/a/", "/a//b", "//a", "/A", "/É", "/a/B"] {
            assert!(Command::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn covering_compares_segments() {
        assert!(parse("/crypto").covers(&parse("/crypto")));
        assert!(parse("/crypto").covers(&parse("/crypto/sign/ed25519")));
        assert!(!parse("/crypto/sign").covers(&parse("/crypto")));
        assert!(!parse("/crypto").covers(&Command::top()));
        assert!(Command::top().covers(&Command::top()));
        assert_eq!(parse("/a/b").segments().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Command::top().segments().count(), 0);
    }
}
