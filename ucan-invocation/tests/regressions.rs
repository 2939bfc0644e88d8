//! The laws that are fuzzed, over the seeds and over every input that once broke one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path};

#[allow(unreachable_pub, reason = "it is a crate of its own where it is fuzzed")]
#[path = "../../fuzz/laws/lib.rs"]
mod laws;

#[test]
fn laws_hold_for_known_inputs() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut replayed = 0;
    for (name, law) in laws::LAWS {
        law(&[]);
        for folder in ["seeds", "regressions"] {
            // A target that was never broken has no regressions, and one that has nothing to start from has no seeds.
            let Ok(inputs) = fs::read_dir(fuzz.join(folder).join(name)) else { continue };
            for input in inputs {
                let path = input.unwrap().path();
                // Shown when the test fails.
                println!("{}", path.display());
                law(&fs::read(&path).unwrap());
                replayed += 1;
            }
        }
    }
    assert!(replayed > 100, "only {replayed} inputs are there");
}
