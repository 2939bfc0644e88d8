//! Types and functions described for others: as JSON Schema, and as IPLD Schema.

mod ipld;
mod json;
