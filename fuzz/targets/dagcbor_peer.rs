//! What the crates here read as DAG-CBOR, the reader of the field reads as well, as the same value.
#![no_main]

use ucan_core::{Ipld, dagcbor};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(value) = dagcbor::decode(data) {
        let peer: Ipld = serde_ipld_dagcbor::from_slice(data).expect("canonical bytes are read by everybody");
        assert_eq!(peer, value);
        assert_eq!(serde_ipld_dagcbor::to_vec(&value).expect("a value has bytes"), data);
    }
});
