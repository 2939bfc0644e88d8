//! A guest that uses the standard library as any program does: the clock, chance, files, its input and output.

wit_bindgen::generate!({ world: "survey", path: "wit" });

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

struct Survey;

export!(Survey);

impl Guest for Survey {
    fn survey(sleep: u64) -> Report {
        let steady = Instant::now();
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        std::thread::sleep(Duration::from_secs(sleep));
        let mut input = String::new();
        let _ = std::io::stdin().read_to_string(&mut input);
        let problem = |problem: std::io::Error| problem.kind().to_string();
        Report {
            began,
            arguments: std::env::args().collect(),
            variables: std::env::vars().count() as u32,
            hash: RandomState::new().hash_one("a key"),
            file: std::fs::read("/etc/passwd").map_or_else(problem, |_| "it was read".to_owned()),
            folder: std::fs::read_dir(".").map_or_else(problem, |_| "it was listed".to_owned()),
            input,
            took: steady.elapsed().as_nanos() as u64,
        }
    }

    fn say(lines: Vec<String>) {
        for (at, line) in lines.iter().enumerate() {
            match at % 2 {
                0 => println!("{line}"),
                _ => eprintln!("{line}"),
            }
        }
        print!("and no more");
        let _ = std::io::Write::flush(&mut std::io::stdout());
    }

    fn leave(panic: bool) {
        if panic {
            panic!("on purpose");
        }
        std::process::exit(3);
    }
}
