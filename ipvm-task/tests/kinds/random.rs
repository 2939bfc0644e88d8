//! Random arguments, made from the types of the functions.

use ipvm_task::Type;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ucan_core::Ipld;

use crate::{GUESTS, Guest, JAVASCRIPT, agreed, export};

/// The integers that a double holds without a gap: 2^53 - 1 and less.
pub(crate) const SAFE: i64 = (1 << 53) - 1;

const CASES: u32 = 64;

/// Of these, so few as a list has here add up to no more.
const SMALL: i64 = SAFE / 8;

/// Whether integers, and what comes of them, go beyond those that a double holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integers {
    All,
    Safe,
}

fn whole<T: Into<i128> + Arbitrary + 'static>() -> BoxedStrategy<Ipld> {
    any::<T>().prop_map(|it| Ipld::Integer(it.into())).boxed()
}

fn text() -> BoxedStrategy<Ipld> {
    vec(any::<char>(), 0..12).prop_map(|chars| Ipld::String(chars.into_iter().collect())).boxed()
}

/// Whether a value of the type may be null, so that an option around it is a list (the rule of `ipld-wit`, said again).
fn nullable(ty: &Type) -> bool {
    matches!(ty, Type::Option(some) if !nullable(some))
}

fn keyed(name: &str, value: Ipld) -> Ipld {
    Ipld::Map([(name.to_owned(), value)].into())
}

fn arm(name: &'static str, ty: Option<&Type>, integers: Integers) -> BoxedStrategy<Ipld> {
    let payload = ty.map_or_else(|| Just(Ipld::Null).boxed(), |ty| value(ty, integers));
    payload.prop_map(move |payload| keyed(name, payload)).boxed()
}

/// Values of a type, as they are written.
pub(crate) fn value(ty: &Type, integers: Integers) -> BoxedStrategy<Ipld> {
    use proptest::num::{f32, f64};
    match ty {
        Type::Bool => any::<bool>().prop_map(Ipld::Bool).boxed(),
        Type::S8 => whole::<i8>(),
        Type::U8 => whole::<u8>(),
        Type::S16 => whole::<i16>(),
        Type::U16 => whole::<u16>(),
        Type::S32 => whole::<i32>(),
        Type::U32 => whole::<u32>(),
        Type::S64 if integers == Integers::All => whole::<i64>(),
        Type::U64 if integers == Integers::All => whole::<u64>(),
        Type::S64 => (-SMALL..=SMALL).prop_map(|it| Ipld::Integer(it.into())).boxed(),
        Type::U64 => (0..=SMALL).prop_map(|it| Ipld::Integer(it.into())).boxed(),
        Type::F32 => (f32::NORMAL | f32::SUBNORMAL | f32::ZERO).prop_map(|it| Ipld::Float(it.into())).boxed(),
        Type::F64 => (f64::NORMAL | f64::SUBNORMAL | f64::ZERO).prop_map(Ipld::Float).boxed(),
        Type::Char => any::<char>().prop_map(|it| Ipld::String(it.into())).boxed(),
        Type::String => text(),
        Type::List(element) if **element == Type::U8 => vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes).boxed(),
        Type::List(element) => vec(value(element, integers), 0..6).prop_map(Ipld::List).boxed(),
        Type::Tuple(items) => {
            let items: Vec<_> = items.iter().map(|item| value(item, integers)).collect();
            items.prop_map(Ipld::List).boxed()
        }
        Type::Record(fields) => {
            let names: Vec<_> = fields.iter().map(|field| field.name.clone()).collect();
            let values: Vec<_> = fields.iter().map(|field| value(&field.ty, integers)).collect();
            values.prop_map(move |values| Ipld::Map(names.iter().cloned().zip(values).collect())).boxed()
        }
        Type::Variant(cases) => {
            let case = proptest::sample::select(cases.to_vec());
            case.prop_flat_map(move |case| match case.ty {
                None => Just(Ipld::String(case.name)).boxed(),
                Some(ty) => value(&ty, integers).prop_map(move |payload| keyed(&case.name, payload)).boxed(),
            })
            .boxed()
        }
        Type::Enum(names) => proptest::sample::select(names.to_vec()).prop_map(Ipld::String).boxed(),
        Type::Option(some) if nullable(some) => vec(value(some, integers), 0..=1).prop_map(Ipld::List).boxed(),
        Type::Option(some) => prop_oneof![Just(Ipld::Null), value(some, integers)].boxed(),
        Type::Result { ok, err } => {
            prop_oneof![arm("ok", ok.as_deref(), integers), arm("error", err.as_deref(), integers)].boxed()
        }
        Type::Flags(names) => {
            let mut names = names.to_vec();
            names.sort_unstable();
            let most = names.len();
            let some = proptest::sample::subsequence(names, 0..=most);
            some.prop_map(|names| Ipld::List(names.into_iter().map(Ipld::String).collect())).boxed()
        }
        #[allow(unreachable_patterns, reason = "there may be more types than the world has")]
        other => panic!("the world has no {other}"),
    }
}

/// Arguments of a function: of its types, and such that something comes of them.
fn arguments(fun: &str, guest: &Guest, integers: Integers) -> BoxedStrategy<Ipld> {
    let signature = guest.component.signature(&export(fun)).unwrap();
    let whatever: Vec<_> = signature.params.iter().map(|(_, ty)| value(ty, integers)).collect();
    let whatever = whatever.prop_map(Ipld::List).boxed();
    let list = |items: BoxedStrategy<Vec<Ipld>>| items.prop_map(|items| Ipld::List(vec![Ipld::List(items)])).boxed();
    let apt = match fun {
        "sum-decimal" => list(vec(any::<i64>().prop_map(|it| Ipld::String(it.to_string())), 0..6).boxed()),
        "sort" => list(vec("[a\u{e9}\u{fffd}\u{1f980}]{0,3}".prop_map(Ipld::String), 0..8).boxed()),
        "count-words" => {
            "[ab\u{fffd}\u{1f980}\u{a0}\u{1c}\t\n ]{0,30}".prop_map(|text| Ipld::List(vec![Ipld::String(text)])).boxed()
        }
        "divide" => (any::<i32>(), -3_i32..=3)
            .prop_map(|(dividend, divisor)| {
                Ipld::List(vec![Ipld::Integer(dividend.into()), Ipld::Integer(divisor.into())])
            })
            .boxed(),
        "find" => {
            // The name of one of them, where there is one.
            let named = |params: Ipld| match params {
                Ipld::List(params) => match &params[..] {
                    [Ipld::List(people), name] => {
                        let last = people.last().and_then(|person| match person {
                            Ipld::Map(person) => person.get("name").cloned(),
                            _ => None,
                        });
                        Ipld::List(vec![Ipld::List(people.clone()), last.unwrap_or_else(|| name.clone())])
                    }
                    _ => Ipld::List(params),
                },
                other => other,
            };
            whatever.clone().prop_map(named).boxed()
        }
        _ => return whatever,
    };
    prop_oneof![1 => whatever, 3 => apt].boxed()
}

pub(crate) fn check(guests: &[&Guest], integers: Integers) {
    for (name, _) in GUESTS[0].component.exports() {
        let fun = name.rsplit('#').next().unwrap_or(name);
        let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let checked = runner.run(&arguments(fun, &GUESTS[0], integers), |params| {
            let outcome = agreed(guests.iter().copied(), fun, &params);
            if fun.starts_with("echo-") {
                let Ipld::List(params) = params else { panic!("{params:?}") };
                prop_assert_eq!(outcome.map(|output| vec![output]), Ok(params));
            }
            Ok(())
        });
        checked.unwrap_or_else(|failure| panic!("{fun}: {failure}"));
    }
}

#[test]
fn guests_agree_on_random_values() {
    let guests: Vec<&Guest> = GUESTS.iter().filter(|guest| !guest.language.starts_with(JAVASCRIPT)).collect();
    check(&guests, Integers::All);
}
