//! From bytes to choices: the bytes decide, and where they end, the first choice is taken.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use ucan_core::{Ipld, Issuer, block};
use varsig::ed25519::SigningKey;

/// Strings that mean something somewhere: keys, operators of patterns, what DAG-JSON reserves.
const TEXTS: [&str; 20] = [
    "a",
    "b",
    "",
    "aa",
    "ab",
    "abc",
    "é",
    "*",
    "a*",
    "*a*",
    "\\*",
    "\\",
    "/",
    "bytes",
    "\"",
    "ok",
    "error",
    "\u{0}",
    "\u{1f600}",
    "a*b*c",
];

/// Integers at the ends of ranges, all of which DAG-CBOR has.
const INTEGERS: [i128; 14] = [
    0,
    1,
    -1,
    2,
    23,
    24,
    255,
    256,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX as i128,
    i64::MIN as i128,
    u64::MAX as i128,
    -(1 << 64),
];

/// Floats where rounding and signs matter.
const FLOATS: [f64; 12] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.0,
    2.0,
    9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    18_446_744_073_709_551_616.0,
    -18_446_744_073_709_551_616.0,
    f64::MAX,
    f64::MIN_POSITIVE,
];

pub(crate) struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub(crate) fn number<T: arbitrary::Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One chance in so many.
    pub(crate) fn rarely(&mut self, chances: usize) -> bool {
        self.below(chances) == chances - 1
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or_default()
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn pick_ref<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1).min(self.0.len());
        self.0.bytes(length).map(<[u8]>::to_vec).unwrap_or_default()
    }

    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let length = self.0.len();
        self.bytes(length)
    }

    pub(crate) fn text(&mut self) -> String {
        match self.below(24) {
            known @ 0..20 => TEXTS[known].to_owned(),
            _ => String::from_utf8_lossy(&self.bytes(12)).into_owned(),
        }
    }

    pub(crate) fn integer(&mut self) -> i128 {
        match self.below(4) {
            0 => self.number::<i8>().into(),
            1 => self.number::<i64>().into(),
            _ => self.pick(&INTEGERS),
        }
    }

    /// A float that is finite.
    pub(crate) fn float(&mut self) -> f64 {
        let float = if self.flag() { f64::from_bits(self.number()) } else { self.pick(&FLOATS) };
        if float.is_finite() { float } else { 0.25 }
    }

    /// A value that DAG-CBOR has a form for, nested at most so deep.
    pub(crate) fn value(&mut self, depth: usize) -> Ipld {
        let kinds = if depth == 0 { 8 } else { 12 };
        match self.below(kinds) {
            0 => Ipld::Null,
            1 => Ipld::Bool(self.flag()),
            2 | 3 => Ipld::Integer(self.integer()),
            4 => Ipld::Float(self.float()),
            5 => Ipld::String(self.text()),
            6 => Ipld::Bytes(self.bytes(8)),
            7 if self.flag() => Ipld::Link(block::raw_cid(&[self.byte() % 4])),
            7 => Ipld::Link(block::dag_cbor_cid(&[self.byte() % 4])),
            8 | 9 => Ipld::List((0..self.below(5)).map(|_| self.value(depth - 1)).collect()),
            _ => Ipld::Map(self.map(depth - 1)),
        }
    }

    pub(crate) fn map(&mut self, depth: usize) -> BTreeMap<String, Ipld> {
        (0..self.below(5)).map(|_| (self.text(), self.value(depth))).collect()
    }
}

/// The principal number so much; its key is always the same.
pub(crate) fn issuer(number: u8) -> Issuer {
    Issuer::ed25519(SigningKey::from_seed(&[number + 1; 32]))
}

/// Whether two values are the same to the bit: negative zero is not zero.
pub(crate) fn same(a: &Ipld, b: &Ipld) -> bool {
    match (a, b) {
        (Ipld::Float(a), Ipld::Float(b)) => a.to_bits() == b.to_bits(),
        (Ipld::List(a), Ipld::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Ipld::Map(a), Ipld::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        _ => a == b,
    }
}
