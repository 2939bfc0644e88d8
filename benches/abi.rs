//! What the ABI costs over wasmtime's own calls, and over decoding to a tree first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark stops where something fails")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ipld_wit::{Budget, Limits, Signature};
use ipvm_benches::{in_turn, row};
use ucan_core::{Ipld, dagcbor};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Func, Linker, Val};
use wasmtime::{Config, Engine, Store};

/// Gives back what it is given: a pointer and a length, or the numbers of a record.
const GUEST: &str = r#"
(component
  (core module $m
    (memory (export "memory") 64)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32) (local $pages i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.set $pages (i32.sub (i32.shr_u (i32.add (global.get $next) (i32.const 65535)) (i32.const 16)) (memory.size)))
      (if (i32.gt_s (local.get $pages) (i32.const 0)) (then (drop (memory.grow (local.get $pages)))))
      (local.get $at))
    (func (export "list") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
      ;; Nothing is kept for the next call.
      (global.set $next (i32.const 1024))
      (i32.const 0))
    (func (export "record") (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i32)
      (i64.store (i32.const 0) (local.get 0)) (i64.store (i32.const 8) (local.get 1))
      (i64.store (i32.const 16) (local.get 2)) (i64.store (i32.const 24) (local.get 3))
      (i64.store (i32.const 32) (local.get 4)) (i64.store (i32.const 40) (local.get 5))
      (i64.store (i32.const 48) (local.get 6)) (i64.store (i32.const 56) (local.get 7))
      (i64.store (i32.const 64) (local.get 8)) (i64.store (i32.const 72) (local.get 9))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (type $r (record (field "identity" s64) (field "width" s64) (field "height" s64) (field "depth" s64)
    (field "weight" s64) (field "created" s64) (field "modified" s64) (field "owner" s64) (field "parent" s64)
    (field "count" s64)))
  (export $record "ten" (type $r))
  (func (export "bytes") (param "data" (list u8)) (result (list u8))
    (canon lift (core func $i "list") (memory $memory) (realloc $realloc)))
  (func (export "numbers") (param "data" (list s64)) (result (list s64))
    (canon lift (core func $i "list") (memory $memory) (realloc $realloc)))
  (func (export "names") (param "data" (list string)) (result (list string))
    (canon lift (core func $i "list") (memory $memory) (realloc $realloc)))
  (func (export "records") (param "data" (list $record)) (result (list $record))
    (canon lift (core func $i "list") (memory $memory) (realloc $realloc)))
  (func (export "record") (param "data" $record) (result $record)
    (canon lift (core func $i "record") (memory $memory) (realloc $realloc))))
"#;

const FIELDS: [&str; 10] =
    ["identity", "width", "height", "depth", "weight", "created", "modified", "owner", "parent", "count"];

struct Guest {
    store: Store<()>,
    instance: wasmtime::component::Instance,
    component: Component,
}

impl Guest {
    fn new() -> Self {
        // As in `ipvm-task`.
        let mut config = Config::new();
        config.concurrency_support(false).consume_fuel(true).epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_binary(&engine, &wat::parse_str(GUEST).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_hostcall_fuel(usize::MAX);
        store.set_epoch_deadline(1 << 40);
        store.set_fuel(u64::MAX).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        Self { store, instance, component }
    }

    fn function(&mut self, name: &str) -> (Func, Signature) {
        let engine = self.component.engine();
        let ty = self.component.component_type().exports(engine).find(|(found, _)| *found == name).unwrap().1.ty;
        let ComponentItem::ComponentFunc(ty) = ty else { panic!("a function") };
        let signature = Signature::of(&ty, &mut Budget::new(1_000)).unwrap().unwrap();
        (self.instance.get_func(&mut self.store, name).unwrap(), signature)
    }
}

/// The shortest of some timings of works that take turns: a machine has slow moments, and all are to share them.
fn turns<const N: usize>(rounds: usize, mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut shortest = [Duration::MAX; N];
    for _ in 0..rounds {
        for (work, shortest) in works.iter_mut().zip(&mut shortest) {
            let began = Instant::now();
            work();
            *shortest = began.elapsed().min(*shortest);
        }
    }
    shortest
}

/// One call from bytes to bytes.
fn call(store: &mut Store<()>, func: &Func, signature: &Signature, bytes: &[u8]) -> Vec<u8> {
    let args = signature.arguments_from_dag_cbor(bytes, &limits()).unwrap();
    args.call(store, func, signature).unwrap().into_dag_cbor(signature).unwrap()
}

/// One call from a tree to a tree.
fn call_tree(store: &mut Store<()>, func: &Func, signature: &Signature, params: &Ipld) -> Ipld {
    signature.arguments(params).unwrap().call(store, func, signature).unwrap().into_ipld(signature).unwrap()
}

fn limits() -> Limits {
    Limits::default()
}

fn main() {
    println!("{:<66} {:>13} {:>10}", "work", "best time", "ratio");
    let guest = &mut Guest::new();
    bytes(guest);
    numbers(guest);
    record(guest);
    decoding(guest);
}

fn bytes(guest: &mut Guest) {
    let (func, signature) = guest.function("bytes");
    assert!(signature.is_typed());
    let store = std::cell::RefCell::new(&mut guest.store);
    let data: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
    let params = Ipld::List(vec![Ipld::Bytes(data.clone())]);
    let encoded = dagcbor::encode(&params).unwrap();
    let typed = func.typed::<(&[u8],), (Vec<u8>,)>(&**store.borrow()).unwrap();
    let expected = dagcbor::encode(&Ipld::Bytes(data.clone())).unwrap();
    assert_eq!(call(*store.borrow_mut(), &func, &signature, &encoded), expected);
    let [api, straight, tree] = in_turn(
        600,
        [
            &mut || drop(black_box(typed.call(&mut **store.borrow_mut(), (black_box(&data),)).unwrap())),
            &mut || drop(black_box(call(*store.borrow_mut(), &func, &signature, black_box(&encoded)))),
            &mut || drop(black_box(call_tree(*store.borrow_mut(), &func, &signature, black_box(&params)))),
        ],
    );
    row("1 MiB in and out: wasmtime's typed function", api, None);
    row("  as DAG-CBOR (at most 1.3 x)", straight, Some(api));
    row("  as a tree (at most 1.3 x)", tree, Some(api));
    let [dynamic] = turns(
        5,
        [&mut || {
            let list = [Val::List(data.iter().map(|byte| Val::U8(*byte)).collect())];
            let mut results = [Val::Bool(false)];
            func.call(&mut **store.borrow_mut(), &list, &mut results).unwrap();
            black_box(results);
        }],
    );
    row("  as wasmtime's dynamic values: shapes that are not typed", dynamic, Some(api));
}

fn numbers(guest: &mut Guest) {
    let (func, signature) = guest.function("numbers");
    let store = std::cell::RefCell::new(&mut guest.store);
    let data: Vec<i64> = (0..1_000_000_i64).map(|at| at.wrapping_mul(0x1234_5678_9abc) >> (at % 60)).collect();
    let params = Ipld::List(vec![Ipld::List(data.iter().map(|it| Ipld::Integer((*it).into())).collect())]);
    let encoded = dagcbor::encode(&params).unwrap();
    let [by_hand, straight, tree] = turns(
        10,
        [
            &mut || {
                let list = [Val::List(black_box(&data).iter().map(|it| Val::S64(*it)).collect())];
                let mut results = [Val::Bool(false)];
                func.call(&mut **store.borrow_mut(), &list, &mut results).unwrap();
                let [Val::List(list)] = &results else { panic!("a list") };
                let back: Vec<i64> = list.iter().map(|it| if let Val::S64(it) = it { *it } else { 0 }).collect();
                assert_eq!(black_box(back).len(), data.len());
            },
            &mut || {
                assert_eq!(call(*store.borrow_mut(), &func, &signature, black_box(&encoded)).len(), encoded.len() - 1)
            },
            &mut || drop(black_box(call_tree(*store.borrow_mut(), &func, &signature, black_box(&params)))),
        ],
    );
    row("1,000,000 s64 in and out: dynamic values made by hand", by_hand, None);
    row("  as DAG-CBOR (at most 1.5 x)", straight, Some(by_hand));
    row("  as a tree (at most 1.5 x)", tree, Some(by_hand));
}

fn ten(seed: i64) -> Ipld {
    let field = |(at, name): (usize, &&str)| ((*name).to_owned(), Ipld::Integer(i128::from(seed) * 1000 + at as i128));
    Ipld::Map(FIELDS.iter().enumerate().map(field).collect())
}

fn record(guest: &mut Guest) {
    let (func, signature) = guest.function("record");
    let store = std::cell::RefCell::new(&mut guest.store);
    let params = Ipld::List(vec![ten(7)]);
    let encoded = dagcbor::encode(&params).unwrap();
    assert_eq!(call(*store.borrow_mut(), &func, &signature, &encoded), dagcbor::encode(&ten(7)).unwrap());
    let [by_hand, straight, tree] = in_turn(
        20_000,
        [
            &mut || {
                let fields = FIELDS.iter().enumerate();
                let fields =
                    fields.map(|(at, name)| ((*name).to_owned(), Val::S64(black_box(7000 + at as i64)))).collect();
                let mut results = [Val::Bool(false)];
                func.call(&mut **store.borrow_mut(), &[Val::Record(fields)], &mut results).unwrap();
                black_box(results);
            },
            &mut || drop(black_box(call(*store.borrow_mut(), &func, &signature, black_box(&encoded)))),
            &mut || drop(black_box(call_tree(*store.borrow_mut(), &func, &signature, black_box(&params)))),
        ],
    );
    row("a record of 10 fields in and out: wasmtime's dynamic call", by_hand, None);
    row("  as DAG-CBOR (at most 1.3 x)", straight, Some(by_hand));
    row("  as a tree", tree, Some(by_hand));
}

fn decoding(guest: &mut Guest) {
    let names = (0..100_000).map(|at| Ipld::String(format!("name-{at}"))).collect();
    let numbers = (0..1_000_000_i64).map(|at| Ipld::Integer((at * at).into())).collect();
    let records = (0..20_000).map(ten).collect();
    println!();
    for (name, data) in [("records", records), ("names", names), ("numbers", numbers)] {
        let (_, signature) = guest.function(name);
        let encoded = dagcbor::encode(&Ipld::List(vec![Ipld::List(data)])).unwrap();
        let [tree, straight, tree_check, check] = turns(
            10,
            [
                &mut || drop(black_box(signature.vals(&dagcbor::decode(black_box(&encoded)).unwrap()).unwrap())),
                &mut || drop(black_box(signature.arguments_from_dag_cbor(black_box(&encoded), &limits()).unwrap())),
                &mut || signature.check(&dagcbor::decode(black_box(&encoded)).unwrap()).unwrap(),
                &mut || signature.check_dag_cbor(black_box(&encoded), &limits()).unwrap(),
            ],
        );
        row(&format!("a list of {name}: DAG-CBOR straight to wasmtime's values"), straight, None);
        row("  decoded to a tree and converted (at least 2 x)", tree, Some(straight));
        row(&format!("a list of {name}: checked straight from DAG-CBOR"), check, None);
        row("  decoded to a tree and checked", tree_check, Some(check));
    }
}
