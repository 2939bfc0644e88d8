//! Benchmarks of the IPVM crate family: what the layers add to the physical parts.

use std::time::{Duration, Instant};

/// The shortest of `rounds` timings of `work`, which is told the round: what it takes where nothing else interferes.
pub fn best(rounds: usize, mut work: impl FnMut(usize)) -> Duration {
    let timed = (0..rounds).map(|round| {
        let began = Instant::now();
        work(round);
        began.elapsed()
    });
    timed.min().unwrap_or_default()
}

/// One row of a table: what was measured, its time, and its ratio to `physical`, where there is one.
pub fn row(what: &str, time: Duration, physical: Option<Duration>) {
    let micros = time.as_secs_f64() * 1e6;
    match physical {
        Some(physical) => {
            println!("{what:<66} {micros:>10.2} us {:>8.2} x", time.as_secs_f64() / physical.as_secs_f64());
        }
        None => println!("{what:<66} {micros:>10.2} us"),
    }
}
