//! WAVE, the text form of WebAssembly values: what people write for arguments, and read of results.
//!
//! The type says how a text is read, as it says for IPLD. Beyond what WAVE has, a `link` is its CID as a string, and a `node` is
//! written without a type: `none`, `true`, `3`, `3.0`, `"text"`, `[1, "a"]`, `{key: 1, "another key": 2}` (`{:}` if it is empty),
//! `bytes("base64")` and `link("CID")`.
//!
//! ```
//! use ipld_wit::{Ipld, Type, from_wave, to_wave};
//!
//! let person = Type::record([("name", Type::String), ("age", Type::U8), ("home", Type::option(Type::String))]);
//! let ipld = from_wave(r#"{name: "Ada", age: 36}"#, &person)?;
//! assert_eq!(to_wave(&ipld, &person)?, r#"{name: "Ada", age: 36, home: none}"#);
//!
//! let error = from_wave(r#"{name: "Ada", age: "36"}"#, &person).unwrap_err();
//! assert_eq!(error.to_string(), "at byte 19: expected u8, found a string");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod parse;
mod print;

pub use parse::from_wave;
pub use print::to_wave;

/// A text is no value of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaveError {
    /// It is not WAVE.
    #[error("at byte {at}: {detail}")]
    Syntax {
        /// Where, in bytes from the beginning of the text.
        at: usize,
        /// What is wrong there.
        detail: String,
    },
    /// It is, but of something else.
    #[error("at byte {at}: expected {expected}, found {found}")]
    Mismatch {
        /// Where, in bytes from the beginning of the text.
        at: usize,
        /// The type that was expected there, as WIT or in words.
        expected: String,
        /// What stands there, in a few words.
        found: String,
    },
}
