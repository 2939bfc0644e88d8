//! Every edge of every numeric type.

use ipld_wit::Ipld;

use crate::{Case, error, ok, same};

const INTEGERS: [(&str, i128, i128); 8] = [
    ("s8", i8::MIN as i128, i8::MAX as i128),
    ("u8", 0, u8::MAX as i128),
    ("s16", i16::MIN as i128, i16::MAX as i128),
    ("u16", 0, u16::MAX as i128),
    ("s32", i32::MIN as i128, i32::MAX as i128),
    ("u32", 0, u32::MAX as i128),
    ("s64", i64::MIN as i128, i64::MAX as i128),
    ("u64", 0, u64::MAX as i128),
];

/// All integers that are an edge of something, within what DAG-CBOR has.
fn edges() -> Vec<i128> {
    let mut edges = vec![0];
    let powers = [7, 8, 15, 16, 24, 31, 32, 53, 63, 64].map(|bits| 1_i128 << bits);
    for power in powers {
        for near in [power - 1, power, power + 1] {
            edges.extend([near, -near]);
        }
    }
    edges.extend([1, -1, 2, -2]);
    edges.retain(|it| (-(1 << 64)..1 << 64).contains(it));
    edges.sort_unstable();
    edges.dedup();
    edges
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (ty, min, max) in INTEGERS {
        for it in edges() {
            let ipld = Ipld::Integer(it);
            cases.push(match (min..=max).contains(&it) {
                true => same(ty, ipld),
                false => error(ty, ipld, "OutOfRange", "value"),
            });
        }
        // Integral floats, of which those beyond 2^53 are exact all the same.
        for it in [
            0.0,
            -0.0,
            1.0,
            -1.0,
            127.0,
            128.0,
            -128.0,
            255.0,
            256.0,
            65_536.0,
            4_294_967_296.0,
            -4_294_967_296.0,
            9_007_199_254_740_992.0,
            9_223_372_036_854_775_808.0,
            -9_223_372_036_854_775_808.0,
            18_446_744_073_709_551_616.0,
            1e300,
            -1e300,
        ] {
            // The cast saturates beyond any of the ranges.
            let integer = it as i128;
            cases.push(match (min..=max).contains(&integer) {
                true => ok(ty, Ipld::Float(it), Ipld::Integer(integer)),
                false => error(ty, Ipld::Float(it), "OutOfRange", "value"),
            });
        }
        for it in [0.5, 1.5, -1.5, f64::MIN_POSITIVE, f64::from_bits(1), 4_503_599_627_370_495.5] {
            cases.push(error(ty, Ipld::Float(it), "Inexact", "value"));
        }
        for other in [Ipld::Null, Ipld::Bool(true), Ipld::String("1".into()), Ipld::Bytes(vec![1]), Ipld::List(vec![])]
        {
            cases.push(error(ty, other, "Kind", "value"));
        }
    }
    for it in edges() {
        let wide = it as f64;
        let exact = wide as i128 == it;
        let double = if exact { ok("f64", Ipld::Integer(it), Ipld::Float(wide)) } else { inexact("f64", it) };
        let narrow = f64::from(it as f32) as i128 == it && exact;
        let single = if narrow { ok("f32", Ipld::Integer(it), Ipld::Float(wide)) } else { inexact("f32", it) };
        cases.extend([double, single]);
    }
    let singles = [
        0.0,
        -0.0,
        1.0,
        1.5,
        -1.5,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::EPSILON,
        f32::from_bits(1),
        f32::from_bits(0x007f_ffff),
        0.1,
    ];
    for it in singles {
        cases.extend([same("f32", Ipld::Float(it.into())), same("f64", Ipld::Float(it.into()))]);
    }
    let doubles = [
        0.1,
        1.0 / 3.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::from(f32::MAX) * 2.0,
        f64::from(f32::MAX) * (1.0 + f64::EPSILON),
        16_777_217.0,
        1e-46,
        1.000_000_059_604_644_8,
    ];
    for it in doubles {
        cases.extend([same("f64", Ipld::Float(it)), error("f32", Ipld::Float(it), "Inexact", "value")]);
    }
    for ty in ["f32", "f64"] {
        for other in [Ipld::Null, Ipld::Bool(false), Ipld::String("1.5".into()), Ipld::String("NaN".into())] {
            cases.push(error(ty, other, "Kind", "value"));
        }
    }
    cases
}

fn inexact(ty: &str, it: i128) -> Case {
    error(ty, Ipld::Integer(it), "Inexact", "value")
}
