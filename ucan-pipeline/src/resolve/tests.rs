use ucan_core::{Cid, Command, Did, block};

use super::*;

fn task(name: &str) -> TaskId {
    TaskId::new(block::dag_cbor_cid(name.as_bytes()))
}

fn promise(branch: Branch, target: TaskId) -> Ipld {
    Await { branch, target }.to_ipld()
}

fn map(entries: &[(&str, Ipld)]) -> Ipld {
    Ipld::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn nested(depth: usize) -> Ipld {
    (0..depth).fold(Ipld::Null, |inner, _| Ipld::List(vec![inner]))
}

#[test]
fn results_take_the_place_of_promises() {
    let args = Ipld::List(vec![
        promise(Branch::Ok, task("good")),
        map(&[("deep", promise(Branch::Error, task("bad")))]),
        promise(Branch::Any, task("bad")),
        Ipld::String("await/ok".into()),
    ]);
    let (good, bad) = (Outcome::Ok(Ipld::Integer(1)), Outcome::Error(Ipld::String("no".into())));
    let outcome_of = |id: &TaskId| Some(if *id == task("good") { &good } else { &bad });
    assert_eq!(
        resolve(&args, &outcome_of).unwrap(),
        Ipld::List(vec![
            Ipld::Integer(1),
            map(&[("deep", Ipld::String("no".into()))]),
            map(&[("error", Ipld::String("no".into()))]),
            Ipld::String("await/ok".into()),
        ])
    );
}

#[test]
fn what_does_not_fit_is_an_error() {
    let from = task("first");
    let waiting = promise(Branch::Ok, from);
    let failed = Outcome::Error(Ipld::Null);
    assert_eq!(resolve(&waiting, &|_| None), Err(ResolveError::Unresolved { from }));
    let mismatch = ResolveError::BranchMismatch { expected: Branch::Ok, got: Branch::Error, from };
    assert_eq!(resolve(&waiting, &|_| Some(&failed)), Err(mismatch.clone()));
    let sly = Outcome::Ok(Ipld::List(vec![promise(Branch::Ok, task("second"))]));
    assert_eq!(resolve(&waiting, &|_| Some(&sly)), Err(ResolveError::PromiseInResult { from }));

    let Outcome::Error(Ipld::Map(receipt)) = ucan_invocation::Failure::from(&mismatch).into() else { panic!() };
    assert_eq!(receipt["name"], Ipld::String("BranchMismatch".into()));
    assert_eq!(receipt["expected"], Ipld::String("ok".into()));
    assert_eq!(receipt["got"], Ipld::String("error".into()));
    assert_eq!(receipt["from"], Ipld::Link(from.into()));
}

#[test]
fn which_error_it_is_does_not_depend_on_who_finished_first() {
    let (a, b, open) = (task("a"), task("b"), task("open"));
    let args = Ipld::List(vec![promise(Branch::Ok, a), promise(Branch::Ok, b), promise(Branch::Any, open)]);
    let failed = Outcome::Error(Ipld::Null);
    let unless = |missing: TaskId| resolve(&args, &|id| (*id != missing).then_some(&failed)).unwrap_err();
    assert_eq!(unless(open), ResolveError::Unresolved { from: open });
    assert_eq!(unless(a), ResolveError::Unresolved { from: a });
    let mismatch = ResolveError::BranchMismatch { expected: Branch::Ok, got: Branch::Error, from: a };
    assert_eq!(unless(task("none")), mismatch);
}

#[test]
fn a_link_does_not_make_a_promise_of_what_is_around_it() {
    let (from, aimed) = (task("sly"), task("aimed"));
    let link = Outcome::Ok(Ipld::Link(aimed.into()));
    let resolve = |value: &Ipld| resolve(value, &|_| Some(&link));
    for outer in ["await/ok", "await/error", "await/*"] {
        let trap = map(&[(outer, promise(Branch::Ok, from))]);
        let refused = Err(ResolveError::PromiseInResult { from });
        assert_eq!(resolve(&trap), refused);
        assert_eq!(resolve(&Ipld::List(vec![trap.clone()])), refused);
        let Ipld::Map(args) = &trap else { panic!() };
        let error = resolve_args(args, &Bounds::default(), &|_| Some(&link)).unwrap_err();
        assert_eq!(error, ResolveError::PromiseInResult { from });
    }
    // None of these becomes a promise.
    for (outer, inner) in [("await/maybe", Branch::Ok), ("await/ok", Branch::Any)] {
        let resolved = resolve(&map(&[(outer, promise(inner, from))])).unwrap();
        assert!(!ucan_invocation::is_pending(&resolved));
    }
    let two = map(&[("await/ok", promise(Branch::Ok, from)), ("more", Ipld::Null)]);
    assert_eq!(resolve(&two).unwrap(), map(&[("await/ok", Ipld::Link(aimed.into())), ("more", Ipld::Null)]));
    // A list between the key and the link.
    let list = map(&[("await/ok", Ipld::List(vec![promise(Branch::Ok, from)]))]);
    assert_eq!(resolve(&list).unwrap(), map(&[("await/ok", Ipld::List(vec![Ipld::Link(aimed.into())]))]));
}

#[test]
fn arguments_themselves_are_no_promise() {
    let cid: Cid = task("first").into();
    let args: BTreeMap<String, Ipld> = [("await/ok".to_owned(), Ipld::Link(cid))].into();
    assert_eq!(crate::awaits(&args).count(), 0);
    assert_eq!(resolve_args(&args, &Bounds::default(), &|_| None), Ok(args));
}

#[test]
fn a_result_that_is_asked_for_often_is_not_copied_without_end() {
    let from = task("large");
    let large = Outcome::Ok(Ipld::Bytes(vec![0; 1 << 20]));
    let asks = |times: usize| Ipld::List(vec![promise(Branch::Ok, from); times]);
    assert!(resolve(&asks(15), &|_| Some(&large)).is_ok());
    let Bounds { bytes, items, depth } = Bounds::default();
    let too_large = |quantity, limit| Err(ResolveError::TooLarge { quantity, limit, from: Some(from) });
    assert_eq!(resolve(&asks(100_000), &|_| Some(&large)), too_large(Quantity::Bytes, bytes));
    let many = Outcome::Ok(Ipld::List(vec![Ipld::Null; 1 << 19]));
    assert_eq!(resolve(&asks(3), &|_| Some(&many)), too_large(Quantity::Values, items));
    let deep = Outcome::Ok(nested(126));
    assert!(resolve(&asks(1), &|_| Some(&deep)).is_ok());
    let deeper = Outcome::Ok(nested(127));
    assert_eq!(resolve(&asks(1), &|_| Some(&deeper)), Err(ResolveError::TooDeep { limit: depth }));
    let whole = Ipld::List(vec![promise(Branch::Any, from)]);
    let fits = Outcome::Ok(nested(125));
    assert!(resolve(&whole, &|_| Some(&fits)).is_ok());
    assert_eq!(resolve(&whole, &|_| Some(&deep)), Err(ResolveError::TooDeep { limit: depth }));
}

#[test]
fn results_that_double_come_to_an_end() {
    // Each task answers with its arguments, which hold the result of the one before twice.
    let mut outcome = Outcome::Ok(Ipld::Bytes(vec![0; 1024]));
    for doubled in 0.. {
        let from = task(&doubled.to_string());
        let twice = promise(Branch::Ok, from);
        match resolve(&Ipld::List(vec![twice.clone(), twice]), &|_| Some(&outcome)) {
            Ok(larger) => outcome = Outcome::Ok(larger),
            Err(error) => {
                assert_eq!(doubled, 13);
                assert!(matches!(error, ResolveError::TooLarge { quantity: Quantity::Bytes, .. }));
                break;
            }
        }
    }
}

#[test]
fn the_smallest_bounds_that_suffice() {
    let from = task("result");
    let args: BTreeMap<String, Ipld> =
        [("a".to_owned(), Ipld::List(vec![promise(Branch::Any, from), Ipld::Null]))].into();
    let outcome = Outcome::Error(Ipld::String("no".into()));
    let within = |bounds: Bounds| resolve_args(&args, &bounds, &|_| Some(&outcome));
    // {"a": [{"error": "no"}, null]}
    let exact = Bounds { bytes: 1 + 2 + 1 + 1 + 6 + 3 + 1, items: 5, depth: 3 };
    let resolved = within(exact).unwrap();
    assert_eq!(ucan_core::dagcbor::encode(&Ipld::Map(resolved)).unwrap().len(), exact.bytes);
    let less = [
        Bounds { bytes: exact.bytes - 1, ..exact },
        Bounds { items: exact.items - 1, ..exact },
        Bounds { depth: exact.depth - 1, ..exact },
    ];
    assert!(less.into_iter().all(|bounds| within(bounds).is_err_and(|error| error.name() == "ArgumentsTooLarge")));
}

#[test]
fn a_hundred_thousand_promises_in_one_argument() {
    let promises = (0..100_000).map(|at: u32| promise(Branch::Ok, task(&(at % 1000).to_string()))).collect();
    let args: BTreeMap<String, Ipld> = [("all".to_owned(), Ipld::List(promises))].into();
    assert_eq!(crate::awaits(&args).count(), 100_000);
    let one = Outcome::Ok(Ipld::Integer(1));
    let resolved = resolve_args(&args, &Bounds::default(), &|_| Some(&one)).unwrap();
    assert_eq!(resolved["all"], Ipld::List(vec![Ipld::Integer(1); 100_000]));
    assert_eq!(
        resolve_args(&args, &Bounds::default(), &|id| (*id != task("999")).then_some(&one)),
        Err(ResolveError::Unresolved { from: task("999") })
    );
}

#[test]
fn deep_arguments_are_refused_and_deep_results_too() {
    // Deeper than any decoder lets through; not so deep that dropping it were a problem.
    let deep = nested(1_000);
    let args: BTreeMap<String, Ipld> = [("a".to_owned(), deep.clone())].into();
    let limit = Bounds::default().depth;
    assert_eq!(resolve_args(&args, &Bounds::default(), &|_| None), Err(ResolveError::TooDeep { limit }));
    let lavish = Bounds { depth: usize::MAX, ..Bounds::default() };
    assert_eq!(resolve_args(&args, &lavish, &|_| None), Err(ResolveError::TooDeep { limit }));
    let result = Outcome::Ok(deep);
    let asking = promise(Branch::Ok, task("deep"));
    assert_eq!(resolve(&asking, &|_| Some(&result)), Err(ResolveError::TooDeep { limit }));
}

#[test]
fn both_ids_of_a_task_are_known() {
    let subject: Did = "did:key:z6MkmJceVoQSHs45cReEXoLtWm1wosCG8RLxfKwhxoqzoTkC".parse().unwrap();
    let asked = |value: Ipld| {
        Task::new(subject.clone(), Command::parse("/msg/send").unwrap(), [("to".to_owned(), value)].into(), vec![7])
    };
    let outcome = Outcome::Ok(Ipld::String("bob".into()));
    let waiting = asked(promise(Branch::Ok, task("first")));
    let resolved = resolve_task(&waiting, &|_| Some(&outcome)).unwrap();
    assert_eq!(resolved.task, asked(Ipld::String("bob".into())));
    assert_eq!(resolved.ids(), [waiting.id().unwrap(), resolved.task.id().unwrap()]);
    let again = resolve_task(&resolved.task, &|_| None).unwrap();
    assert_eq!(again.ids(), [resolved.id]);
    let cannot_be_carried = asked(Ipld::Float(f64::NAN));
    assert_eq!(resolve_task(&cannot_be_carried, &|_| None).unwrap_err().name(), "MalformedArguments");
}
