//! What the crates here read as DAG-CBOR, the reader of the field reads as well, as the same value.
#![no_main]

use ucan_core::{Ipld, dagcbor};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The other one does not go quite as deep.
    let mut limits = dagcbor::Limits::default();
    limits.depth = 120;
    if let Ok(value) = dagcbor::decode_with(data, &limits) {
        let peer: Ipld = serde_ipld_dagcbor::from_slice(data).expect("canonical bytes are read by everybody");
        assert_eq!(peer, value);
        assert_eq!(serde_ipld_dagcbor::to_vec(&value).expect("a value has bytes"), data);
    }
});
