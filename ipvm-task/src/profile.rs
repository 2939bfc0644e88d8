//! What can influence the result of a deterministic task, as data with an address.

use std::collections::BTreeMap;
use std::fmt;

use ucan_core::{Cid, Ipld, block, dagcbor, dagjson};

/// A description of everything in a runtime that can influence what a guest gives, or how much fuel it uses.
///
/// Two runtimes with equal profiles give the same output bytes and the same fuel for the same task, on every machine.
/// The profile's address goes into receipts: it says which results may be compared, and which may be reused.
#[derive(Clone, Debug)]
pub struct DeterminismProfile {
    description: Ipld,
    bytes: Vec<u8>,
    cid: Cid,
}

impl DeterminismProfile {
    /// A profile with this description.
    ///
    /// # Errors
    ///
    /// When the description cannot be written as DAG-CBOR.
    pub fn new(description: BTreeMap<String, Ipld>) -> Result<Self, ProfileError> {
        let description = Ipld::Map(description);
        let bytes = dagcbor::encode(&description).map_err(|error| ProfileError { detail: error.to_string() })?;
        Ok(Self { cid: block::dag_cbor_cid(&bytes), description, bytes })
    }

    /// The address.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The block that the address names: canonical DAG-CBOR.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The description.
    pub fn to_ipld(&self) -> &Ipld {
        &self.description
    }
}

impl PartialEq for DeterminismProfile {
    fn eq(&self, other: &Self) -> bool {
        self.cid == other.cid
    }
}

impl Eq for DeterminismProfile {}

impl fmt::Display for DeterminismProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dagjson::encode_pretty(&self.description))
    }
}

/// A profile's description cannot be written as DAG-CBOR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the determinism profile cannot be encoded: {detail}")]
pub struct ProfileError {
    detail: String,
}
