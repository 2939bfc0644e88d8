//! YAML as a way of writing what DAG-JSON says: a strict, bounded reader and a writer.
//!
//! It is YAML 1.2 under the core schema, and the same data model: links are `{"/": "<cid>"}`, and bytes
//! `{"/": {"bytes": "<base64, not padded>"}}`. Refused is what has no form in it, or makes a text mean more than it shows: keys that are
//! no strings or occur twice, anchors and aliases, tags other than those of the core schema, floats that are not finite, and more
//! than one document.
//!
//! ```
//! use ipvm_workflow::yaml;
//! use ucan_core::{Place, dagjson};
//!
//! let text = "tasks:\n  hello: {cmd: /file/write, args: {content: 'yes', path: \"a.txt\"}}\n";
//! let value = yaml::decode(text.as_bytes())?;
//! assert_eq!(dagjson::encode(&value), r#"{"tasks":{"hello":{"args":{"content":"yes","path":"a.txt"},"cmd":"/file/write"}}}"#);
//! assert_eq!(yaml::decode(yaml::encode(&value).as_bytes())?, value);
//!
//! let command = Place::root().key("tasks").key("hello").key("cmd");
//! assert_eq!(yaml::locate(text.as_bytes(), &command).unwrap().to_string(), "line 2, column 16");
//! let error = yaml::decode(b"a: 1\na: 2\n").unwrap_err();
//! assert_eq!(error.to_string(), "the key \"a\" occurs twice at line 2, column 1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod reader;
mod scalar;
mod writer;

pub use error::{YamlError, YamlErrorKind};
pub use reader::{decode, locate};
pub use writer::encode;
