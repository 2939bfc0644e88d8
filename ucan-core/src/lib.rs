//! UCAN 1.0 delegation: tokens, policies, proof chains, canonical DAG-CBOR.
