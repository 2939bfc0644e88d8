#![no_main]

#[path = "../laws/yaml.rs"]
mod yaml;

libfuzzer_sys::fuzz_target!(|data: &[u8]| yaml::yaml(data));
