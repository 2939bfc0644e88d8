#![no_main]

#[path = "../laws/abi.rs"]
mod abi;

libfuzzer_sys::fuzz_target!(|data: &[u8]| abi::abi(data));
