//! Benchmarks of the IPVM crate family: what the layers add to the physical parts.

use std::hint::black_box;
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

/// How often a work is timed before it is the next one's turn.
const TURN: usize = 50;
/// At how many places of the stack.
const PLACES: usize = 16;

/// The shortest of `rounds` timings of each work, which take turns: a machine has slow moments, and all are to share them. Each turn
/// is at another place of the stack, because code for vectors is slower where its data crosses cache lines.
pub fn in_turn<const N: usize>(rounds: usize, mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut shortest = [Duration::MAX; N];
    for turn in 0..rounds.div_ceil(TURN) {
        for (work, shortest) in works.iter_mut().zip(&mut shortest) {
            deeper(turn % PLACES, &mut || {
                for _ in 0..TURN {
                    let began = Instant::now();
                    work();
                    *shortest = began.elapsed().min(*shortest);
                }
            });
        }
    }
    shortest
}

/// Calls `work` so many small frames further down the stack.
#[inline(never)]
fn deeper(frames: usize, work: &mut dyn FnMut()) {
    let frame = black_box([0_u8; 16]);
    if frames == 0 {
        work()
    } else {
        deeper(frames - 1, work)
    }
    black_box(&frame);
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
