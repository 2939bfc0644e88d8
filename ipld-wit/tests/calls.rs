//! Calls of real components: every shape of typed calls, and the types of `ipvm:ipld`.

#![cfg(feature = "wasmtime")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use ipld_wit::{Budget, Ipld, Limits, Mismatch, Signature, Unsupported};
use ucan_core::{block, dagcbor};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Func, Linker, Val};
use wasmtime::{Config, Engine, Store};

/// A component of some types and one function `f`, whose core function has this body.
fn component(types: &str, params: &[(&str, &str)], result: &str, core: &str) -> String {
    let params: Vec<String> = params.iter().map(|(name, ty)| format!("(param \"{name}\" {ty})")).collect();
    format!(
        r#"(component
          (core module $m
            (memory (export "memory") 4)
            (data (i32.const 512) "text")
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
              (local $at i32)
              (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
              (global.set $next (i32.add (local.get $at) (local.get 3)))
              (local.get $at))
            (func (export "f") {core}))
          (core instance $i (instantiate $m))
          (alias core export $i "memory" (core memory $memory))
          (alias core export $i "realloc" (core func $realloc))
          {types}
          (func (export "f") {} (result {result})
            (canon lift (core func $i "f") (memory $memory) (realloc $realloc))))"#,
        params.join(" ")
    )
}

struct Guest {
    store: Store<()>,
    func: Func,
    signature: Signature,
}

fn signature(component: &Component) -> Result<Signature, Unsupported> {
    let ty = component.component_type().exports(component.engine()).find(|(name, _)| *name == "f").unwrap().1.ty;
    let ComponentItem::ComponentFunc(ty) = ty else { panic!("a function") };
    Signature::of(&ty, &mut Budget::new(10_000)).unwrap()
}

const FUEL: u64 = 1_000_000;

impl Guest {
    fn new(wat: &str) -> Self {
        let mut config = Config::new();
        config.consume_fuel(true).concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_binary(&engine, &wat::parse_str(wat).unwrap()).unwrap();
        let signature = signature(&component).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(FUEL).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let func = instance.get_func(&mut store, "f").unwrap();
        store.set_fuel(FUEL).unwrap();
        Self { store, func, signature }
    }

    fn used(&self) -> u64 {
        FUEL - self.store.get_fuel().unwrap()
    }
}

/// What comes of a call as the ABI makes it, from a tree and from bytes, and as it is with dynamic values; and the fuel.
fn call(wat: &str, params: &Ipld) -> Ipld {
    let bytes = dagcbor::encode(params).unwrap();
    let mut tree = Guest::new(wat);
    let arguments = tree.signature.arguments(params).unwrap();
    let output = arguments.call(&mut tree.store, &tree.func, &tree.signature).unwrap();
    let len = output.encoded_len(&tree.signature).unwrap();
    let output = output.into_ipld(&tree.signature).unwrap();

    let mut straight = Guest::new(wat);
    let arguments = straight.signature.arguments_from_dag_cbor(&bytes, &Limits::default()).unwrap();
    let given = arguments.call(&mut straight.store, &straight.func, &straight.signature).unwrap();
    let encoded = given.into_dag_cbor(&straight.signature).unwrap();
    assert_eq!(encoded, dagcbor::encode(&output).unwrap());
    assert_eq!(encoded.len() as u64, len);

    let mut dynamic = Guest::new(wat);
    let mut results = [Val::Bool(false)];
    let vals = dynamic.signature.vals(params).unwrap();
    dynamic.func.call(&mut dynamic.store, &vals, &mut results).unwrap();
    assert_eq!(ipld_wit::result_to_ipld(Some(&results[0]), &dynamic.signature).unwrap(), output);
    assert!(dynamic.used() > 0);
    assert_eq!((tree.used(), straight.used()), (dynamic.used(), dynamic.used()), "fuel");
    output
}

fn text(it: &str) -> Ipld {
    Ipld::String(it.to_owned())
}

#[test]
fn every_typed_shape_gives_what_dynamic_values_give_with_the_same_fuel() {
    let (bytes, string) = ("(list u8)", "string");
    // The core parameters of each type, and an argument.
    let of = |ty: &str| match ty {
        "(list u8)" => ("i32 i32", Ipld::Bytes(b"some bytes".to_vec())),
        "(list s64)" => {
            ("i32 i32", Ipld::List([1, -1, i64::MIN, i64::MAX].map(|it| Ipld::Integer(it.into())).to_vec()))
        }
        "(list f64)" => ("i32 i32", Ipld::List([0.1, -0.0, f64::MAX].map(Ipld::Float).to_vec())),
        "string" => ("i32 i32", text("some text")),
        "u64" => ("i64", Ipld::Integer(1 << 60)),
        "f32" => ("f32", Ipld::Float(1.5)),
        "bool" => ("i32", Ipld::Bool(true)),
        _ => ("i32", Ipld::Integer(7)),
    };
    let many: &[&[&str]] = &[
        &[bytes],
        &[bytes, bytes],
        &[bytes, string],
        &[string, bytes],
        &[bytes, "u32"],
        &[bytes, "u64"],
        &[bytes, "f32"],
        &[bytes, "bool"],
        &[bytes, "u32", "u32"],
        &[bytes, bytes, bytes],
        &[bytes, "u32", "u32", "u32", "u32"],
    ];
    let few: &[&[&str]] = &[&[], &[string], &["u32"], &["u64"]];
    let rows: [(&[&str], &[&str]); 2] =
        [(&["(list s64)"], &["(list s64)", "s64"]), (&["(list f64)"], &["(list f64)", "f64"])];
    let (all, some) = ([bytes, "(result (list u8) (error string))", string, "u32", "u64", "bool"], 2);
    let shapes = many.iter().map(|it| (*it, &all[..])).chain(few.iter().map(|it| (*it, &all[..some]))).chain(rows);
    for (params, results) in shapes {
        let core: Vec<&str> = params.iter().map(|ty| of(ty).0).collect();
        let (pointer, len) = match core.first() {
            Some(&"i32 i32") => ("local.get 0", "local.get 1"),
            _ => ("i32.const 512", "i32.const 4"),
        };
        for result in results {
            let store =
                |at: u8| format!("(i32.store (i32.const {at}) ({pointer})) (i32.store (i32.const {}) ({len}))", at + 4);
            let (core_result, body) = match *result {
                "u32" => ("i32", len.to_owned()),
                "bool" => ("i32", format!("({len}) (i32.const 0) i32.gt_u")),
                "u64" | "s64" => ("i64", format!("({len}) i64.extend_i32_u")),
                "f64" => ("f64", format!("({len}) f64.convert_i32_u")),
                "(result (list u8) (error string))" => ("i32", format!("{} i32.const 0", store(4))),
                _ => ("i32", format!("{} i32.const 0", store(0))),
            };
            let core = format!("(param {}) (result {core_result}) {body}", core.join(" "));
            let named: Vec<(String, &str)> =
                params.iter().enumerate().map(|(at, ty)| (format!("p{at}"), *ty)).collect();
            let named: Vec<(&str, &str)> = named.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
            let wat = component("", &named, result, &core);
            let guest = Guest::new(&wat);
            assert!(guest.signature.is_typed(), "{}", guest.signature);
            let args: Vec<Ipld> = params.iter().map(|ty| of(ty).1).collect();
            let output = call(&wat, &Ipld::List(args.clone()));
            let by_name = named.iter().zip(args).map(|((name, _), arg)| ((*name).to_owned(), arg)).collect();
            assert_eq!(call(&wat, &Ipld::Map(by_name)), output);
            let content = match params.first() {
                Some(&"(list u8)") => "some bytes",
                Some(&"string") => "some text",
                _ => "text",
            };
            let expected = match *result {
                "(list u8)" => Ipld::Bytes(content.into()),
                "(list s64)" | "(list f64)" => of(params[0]).1,
                "s64" => Ipld::Integer(4),
                "f64" => Ipld::Float(3.0),
                "string" => text(content),
                "bool" => Ipld::Bool(true),
                "u32" | "u64" => Ipld::Integer(content.len() as i128),
                _ => Ipld::Map([("ok".to_owned(), Ipld::Bytes(content.into()))].into()),
            };
            assert_eq!(output, expected, "{}", guest.signature);
        }
    }
    let other = Guest::new(&component("", &[("a", "s8")], "string", "(param i32) (result i32) i32.const 0"));
    assert!(!other.signature.is_typed());
}

const IPLD: &str = r#"
    (type $link' (record (field "ipld-link" (list u8))))
    (export $link "link" (type $link'))
    (type $item' (variant (case "null") (case "boolean" bool) (case "unsigned" u64) (case "negative" u64)
      (case "float" f64) (case "text" string) (case "bytes" (list u8)) (case "items" (list u32))
      (case "entries" (list (tuple string u32))) (case "link" $link)))
    (export $item "item" (type $item'))
    (type $node' (record (field "ipld-node" (list $item))))
    (export $node "node" (type $node'))"#;

const ECHO: &str = "(param i32 i32) (result i32)
    (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)";

#[test]
fn links_and_nodes_go_through_a_guest() {
    let cid = block::raw_cid(b"x");
    let link = component(IPLD, &[("a", "$link")], "$link", ECHO);
    assert_eq!(Guest::new(&link).signature.to_string(), "func(a: link) -> link");
    assert_eq!(call(&link, &Ipld::List(vec![Ipld::Link(cid)])), Ipld::Link(cid));

    let node = component(IPLD, &[("a", "$node")], "$node", ECHO);
    assert_eq!(Guest::new(&node).signature.to_string(), "func(a: node) -> node");
    let whole = Ipld::Map(
        [
            ("null", Ipld::Null),
            ("numbers", Ipld::List(vec![Ipld::Integer(-(1 << 64)), Ipld::Integer((1 << 64) - 1), Ipld::Float(-0.0)])),
            ("more", Ipld::Map([("b".to_owned(), Ipld::Bytes(vec![1])), ("aa".to_owned(), Ipld::Link(cid))].into())),
            ("", Ipld::List(vec![Ipld::Bool(true), text("é")])),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
    );
    assert_eq!(call(&node, &Ipld::List(vec![whole.clone()])), whole);
    assert_eq!(call(&node, &Ipld::List(vec![Ipld::Null])), Ipld::Null);
}

/// What a guest gives is as little to be trusted as what strangers send.
#[test]
fn a_guest_that_gives_no_link_or_node_is_found_out() {
    // Items of 16 bytes: a tag, and from byte 8 on what it carries.
    let give = |items: &[(u8, u64)]| {
        let bytes: String = items
            .iter()
            .flat_map(|(tag, payload)| [u64::from(*tag), *payload])
            .flat_map(u64::to_le_bytes)
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let wat = component(
            IPLD,
            &[],
            "$node",
            &format!(
                "(result i32) (i32.store (i32.const 0) (i32.const 2048)) (i32.store (i32.const 4) (i32.const {})) (i32.const 0)",
                items.len()
            ),
        );
        let wat = wat.replace("(data (i32.const 512) \"text\")", &format!(
            "(data (i32.const 2048) \"{bytes}\") (data (i32.const 512) \"\\00\\00\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00\")"
        ));
        let mut guest = Guest::new(&wat);
        let params = Ipld::List(vec![]);
        let given = guest.signature.arguments(&params).unwrap().call(&mut guest.store, &guest.func, &guest.signature);
        given.unwrap().into_ipld(&guest.signature).map_err(|error| (error.path.to_string(), error.mismatch))
    };
    // A list at 512 of so many indices: 0, 1, 0.
    let list = |len: u64, at: u64| (7, (512 + 4 * at) | len << 32);
    assert_eq!(give(&[(2, 5)]), Ok(Ipld::Integer(5)));
    assert_eq!(give(&[(2, 5), list(1, 0)]), Ok(Ipld::List(vec![Ipld::Integer(5)])));
    assert_eq!(give(&[(2, 5), (0, 0), list(2, 0)]), Ok(Ipld::List(vec![Ipld::Integer(5), Ipld::Null])));
    for (items, item) in [
        (&[][..], 0),
        // An item that names itself, one that names a later one, and one that names another twice.
        (&[list(1, 0)], 0),
        (&[(2, 5), (2, 5), list(3, 0)], 2),
        (&[list(1, 1), (2, 5)], 0),
        // Left over.
        (&[(2, 5), (2, 6)], 0),
        (&[(4, f64::NAN.to_bits())], 0),
        // No bytes are no CID.
        (&[(9, 512)], 0),
    ] {
        let error = give(items).unwrap_err();
        assert!(
            matches!(&error, (path, Mismatch::Arena { item: at, .. }) if path == "result" && *at == item),
            "{error:?}"
        );
    }
    let link = component(IPLD, &[], "$link", "(result i32) i32.const 0");
    let mut guest = Guest::new(&link);
    let params = Ipld::List(vec![]);
    let given = guest.signature.arguments(&params).unwrap().call(&mut guest.store, &guest.func, &guest.signature);
    let error = given.unwrap().into_ipld(&guest.signature).unwrap_err();
    assert_eq!((error.expected.as_str(), error.mismatch), ("link", Mismatch::NotACid { found: 0 }));
}

#[test]
fn resources_are_refused_at_inspection() {
    let resource = r#"(component
        (type $r' (resource (rep i32)))
        (export $r "r" (type $r'))
        (core module $m (func (export "f") (param i32)))
        (core instance $i (instantiate $m))
        (func (export "f") (param "a" (own $r)) (canon lift (core func $i "f"))))"#;
    let component = Component::from_binary(&Engine::default(), &wat::parse_str(resource).unwrap()).unwrap();
    let refused = signature(&component).unwrap_err();
    assert_eq!(refused.to_string(), "parameter `a`: `own` cannot be carried as IPLD");
}
