//! The embedded store of IPVM nodes, on fjall: blocks, delegations, receipts, journal.
