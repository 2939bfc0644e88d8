//! Equality and order of values, exact across integers and floats.

use std::cmp::Ordering;

use super::{
    Verdict,
    evaluate::{Pending, Work},
    found::Found,
};
use crate::Ipld;

/// The order of two numbers by exact value; nothing, when one of them is not a number.
pub(super) fn order(a: &Ipld, b: &Ipld) -> Option<Ordering> {
    match (a, b) {
        (Ipld::Integer(a), Ipld::Integer(b)) => Some(a.cmp(b)),
        (Ipld::Float(a), Ipld::Float(b)) => a.partial_cmp(b),
        (Ipld::Integer(a), Ipld::Float(b)) => integer_with_float(*a, *b),
        (Ipld::Float(a), Ipld::Integer(b)) => integer_with_float(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

/// Rounding the integer to a float would make 2^53 + 1 equal to 2^53, so that the float is taken apart instead.
fn integer_with_float(integer: i128, float: f64) -> Option<Ordering> {
    const LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2^127
    if float.is_nan() {
        return None;
    }
    if float >= LIMIT {
        return Some(Ordering::Less);
    }
    if float < -LIMIT {
        return Some(Ordering::Greater);
    }
    // Within these bounds the whole part converts without loss.
    #[allow(clippy::cast_possible_truncation, reason = "the float is whole and in range")]
    let whole = float.floor() as i128;
    Some(integer.cmp(&whole).then(if float > float.floor() { Ordering::Less } else { Ordering::Equal }))
}

/// Whether what was found equals a value, members included.
pub(super) fn equal<P: Pending + ?Sized>(found: Found<'_>, value: &Ipld, work: &Work<'_, P>) -> Verdict {
    match (found, value) {
        (Found::Node(node), _) => deep_equal(node, value, work),
        (Found::Null, Ipld::Null) => Verdict::Satisfied,
        (Found::Byte(byte), _) => (order(&Ipld::Integer(byte.into()), value) == Some(Ordering::Equal)).into(),
        (Found::Bytes(bytes), Ipld::Bytes(other)) => same(bytes, other, work).into(),
        (Found::Slice(items), Ipld::List(list)) if items.len() == list.len() => {
            all(items.iter().zip(list).map(|(a, b)| deep_equal(a, b, work)))
        }
        (Found::Values(values), Ipld::List(list)) if values.len() == list.len() => {
            all(list.iter().zip(values.in_order(work)).map(|(b, a)| deep_equal(a, b, work)))
        }
        _ => Verdict::Violated,
    }
}

fn deep_equal<P: Pending + ?Sized>(a: &Ipld, b: &Ipld, work: &Work<'_, P>) -> Verdict {
    if !work.spend(1) {
        return Verdict::Violated;
    }
    if work.is_pending(a) {
        return Verdict::Undecided;
    }
    match (a, b) {
        (Ipld::List(a), Ipld::List(b)) if a.len() == b.len() => {
            all(a.iter().zip(b).map(|(a, b)| deep_equal(a, b, work)))
        }
        (Ipld::Map(a), Ipld::Map(b)) if a.len() == b.len() => all(a.iter().zip(b).map(|((key, a), (other, b))| {
            if same(key.as_bytes(), other.as_bytes(), work) { deep_equal(a, b, work) } else { Verdict::Violated }
        })),
        (Ipld::String(a), Ipld::String(b)) => same(a.as_bytes(), b.as_bytes(), work).into(),
        (Ipld::Bytes(a), Ipld::Bytes(b)) => same(a, b, work).into(),
        (Ipld::List(_) | Ipld::Map(_), _) => Verdict::Violated,
        (Ipld::Integer(_) | Ipld::Float(_), _) => (order(a, b) == Some(Ordering::Equal)).into(),
        _ => (a == b).into(),
    }
}

/// Whether bytes are the same, as long as there is work left to look at them.
fn same<P: Pending + ?Sized>(a: &[u8], b: &[u8], work: &Work<'_, P>) -> bool {
    a.len() == b.len() && work.spend(a.len() / 16) && a == b
}

/// Kleene's conjunction: the least of the verdicts, where false is less than unknown and unknown less than true.
pub(super) fn all(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut all = Verdict::Satisfied;
    for verdict in verdicts {
        match verdict {
            Verdict::Violated => return Verdict::Violated,
            Verdict::Undecided => all = Verdict::Undecided,
            Verdict::Satisfied => {}
        }
    }
    all
}

impl From<bool> for Verdict {
    /// A decided verdict.
    fn from(holds: bool) -> Self {
        if holds { Self::Satisfied } else { Self::Violated }
    }
}

impl std::ops::Not for Verdict {
    type Output = Self;

    /// Kleene's negation: what is undecided stays so.
    fn not(self) -> Self {
        match self {
            Self::Satisfied => Self::Violated,
            Self::Violated => Self::Satisfied,
            Self::Undecided => Self::Undecided,
        }
    }
}
