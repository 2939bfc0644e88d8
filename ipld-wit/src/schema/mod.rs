//! Types and functions described for others: as JSON Schema, as IPLD Schema, and as WIT.

mod ipld;
mod json;
mod wit;

pub use wit::wit_text;
