#![no_main]

#[path = "../laws/channels.rs"]
mod channels;

libfuzzer_sys::fuzz_target!(|data: &[u8]| channels::channel(data));
