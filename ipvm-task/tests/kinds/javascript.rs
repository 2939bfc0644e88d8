//! What JavaScript makes of 64-bit integers: QuickJS turns each into a double on its way in and out.

use ucan_core::Ipld;

use crate::random::{Integers, SAFE, check};
use crate::{GUESTS, Guest, JAVASCRIPT, agreed, json};

/// The guest in JavaScript, where it has been built; that it has not is said already.
fn guest() -> Option<&'static Guest> {
    GUESTS.iter().find(|guest| guest.language == JAVASCRIPT)
}

#[test]
fn it_agrees_on_integers_that_a_double_holds() {
    let Some(guest) = guest() else { return };
    check(&[&GUESTS[0], guest], Integers::Safe);
}

#[test]
fn it_rounds_what_a_double_does_not_hold() {
    let Some(guest) = guest() else { return };
    for fun in ["echo-s64", "echo-u64"] {
        let call = |number: i64| guest.call(fun, &Ipld::List(vec![Ipld::Integer(number.into())]));
        assert_eq!(call(SAFE), Ok(Ipld::Integer(SAFE.into())));
        // Silently: it is no trap, which would be found at once.
        assert_eq!(call(SAFE + 2), Ok(Ipld::Integer((SAFE + 1).into())), "{fun}");
    }
    // The sum itself is exact in the guest: it is its way out that rounds it.
    let sum = guest.call("sum", &json("[[9007199254740991, 2]]"));
    assert_eq!(sum, Ok(json("9007199254740992")));
}

#[test]
fn what_is_passed_in_halves_or_as_text_is_right() {
    let Some(guest) = guest() else { return };
    let both = [&GUESTS[0], guest];
    let sum = agreed(both, "sum-decimal", &json(r#"[["9007199254740992", "1"]]"#));
    assert_eq!(sum, Ok(json(r#"{"ok": "9007199254740993"}"#)));
    let sum = agreed(both, "sum-halves", &json(r#"[[{"high": 2097152, "low": 0}, {"high": 0, "low": 1}]]"#));
    assert_eq!(sum, Ok(json(r#"{"high": 2097152, "low": 1}"#)));
}
