//! What guests ask of their host: blocks by CID, and what that costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{LIMITS, prepare, runtime};
use ipvm_task::{CallError, Component, Executed, Execution, Inputs, Limits, Params, PrepareError, WasmHandler};
use ucan_core::{Cid, Command, Ipld, Issuer, StoreError, block, dagcbor};
use ucan_invocation::{BlockStore, Completion, Handler, MemoryBlocks, Outcome, Task};
use varsig::ed25519::SigningKey;

/// Gives back what it reads, by the name of a block: `read(cid, offset, length)`, `size(cid)`, `again(cid, n)`, which asks for
/// the size so many times, `after(cid, cid)`, which asks for the size of one block and gives that of another, and `all([cid])`,
/// which gives the sum of all sizes.
const READER: &str = r#"(component
    (import "ipvm:ipld/blocks@1.0.0" (instance $blocks
        (export "size" (func (param "block" (list u8)) (result u64)))
        (export "read" (func (param "block" (list u8)) (param "offset" u64) (param "length" u32) (result (list u8))))))
    (core module $memory
        (memory (export "memory") 40)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $m))
    (alias core export $memory "realloc" (core func $realloc))
    (core func $size (canon lower (func $blocks "size") (memory $m)))
    (core func $read (canon lower (func $blocks "read") (memory $m) (realloc $realloc)))
    (core module $guest
        (import "host" "size" (func $size (param i32 i32) (result i64)))
        (import "host" "read" (func $read (param i32 i32 i64 i32 i32)))
        (import "memory" "memory" (memory 1))
        (func (export "size") (param i32 i32) (result i64) (call $size (local.get 0) (local.get 1)))
        (func (export "read") (param i32 i32 i64 i32) (result i32)
            (call $read (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 16))
            (i32.const 16))
        (func (export "after") (param i32 i32 i32 i32) (result i64)
            (drop (call $size (local.get 0) (local.get 1)))
            (call $size (local.get 2) (local.get 3)))
        (func (export "all") (param $at i32) (param $left i32) (result i64)
            (local $sum i64)
            (loop $more
                (local.set $sum (i64.add (local.get $sum)
                    (call $size (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $more (local.get $left)))
            (local.get $sum))
        (func (export "again") (param i32 i32 i32) (result i64)
            (local $sum i64)
            (loop $more
                (local.set $sum (i64.add (local.get $sum) (call $size (local.get 0) (local.get 1))))
                (local.set 2 (i32.sub (local.get 2) (i32.const 1)))
                (br_if $more (local.get 2)))
            (local.get $sum)))
    (core instance $guest (instantiate $guest
        (with "host" (instance (export "size" (func $size)) (export "read" (func $read))))
        (with "memory" (instance $memory))))
    (func (export "size") (param "block" LINK) (result u64)
        (canon lift (core func $guest "size") (memory $m) (realloc $realloc)))
    (func (export "read") (param "block" LINK) (param "offset" u64) (param "length" u32) (result (list u8))
        (canon lift (core func $guest "read") (memory $m) (realloc $realloc)))
    (func (export "after") (param "first" LINK) (param "second" (list u8)) (result u64)
        (canon lift (core func $guest "after") (memory $m) (realloc $realloc)))
    (func (export "all") (param "blocks" (list LINK)) (result u64)
        (canon lift (core func $guest "all") (memory $m) (realloc $realloc)))
    (func (export "again") (param "block" LINK) (param "times" u32) (result u64)
        (canon lift (core func $guest "again") (memory $m) (realloc $realloc))))"#;

#[derive(Debug, Default)]
struct Blocks {
    blocks: BTreeMap<Cid, Bytes>,
    asked: Mutex<Vec<Cid>>,
}

impl Blocks {
    fn with(blocks: impl IntoIterator<Item = (Cid, Vec<u8>)>) -> Arc<Self> {
        let blocks = blocks.into_iter().map(|(cid, bytes)| (cid, bytes.into())).collect();
        Arc::new(Self { blocks, asked: Mutex::default() })
    }
}

impl Inputs for Blocks {
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        self.asked.lock().unwrap().push(*cid);
        Ok(self.blocks.get(cid).cloned())
    }
}

/// The reader, whose functions take a block either as a link, or as bytes, which lead nowhere.
fn reader(block: &str) -> Arc<dyn Component> {
    prepare(&runtime(), &reader_text(block)).unwrap()
}

fn reader_text(block: &str) -> String {
    let ty = match block {
        "link" => "$link",
        other => other,
    };
    let types = r#"(component
    (type $link' (record (field "ipld-link" (list u8))))
    (export $link "link" (type $link'))"#;
    READER.replace("LINK", ty).replacen("(component", types, 1)
}

fn execute(component: &dyn Component, fun: &str, params: &[Ipld], inputs: &Arc<Blocks>) -> Executed {
    let params = Ipld::List(params.to_vec());
    component.execute(&Execution::new(fun, Params::Ipld(&params), &LIMITS).with_inputs(inputs.clone()))
}

fn raw(bytes: &[u8]) -> (Cid, Vec<u8>) {
    (block::raw_cid(bytes), bytes.to_vec())
}

#[test]
fn a_block_that_an_argument_links_to_is_read_piece_by_piece() {
    let (cid, bytes) = raw(b"forty-two bytes or so, in one single block");
    let inputs = Blocks::with([(cid, bytes.clone())]);
    let component = reader("link");
    assert_eq!(component.imports(), ["ipvm:ipld/blocks@1.0.0"]);
    let read = |offset: i128, length: i128| {
        let params = [Ipld::Link(cid), Ipld::Integer(offset), Ipld::Integer(length)];
        let executed = execute(&*component, "read", &params, &inputs);
        assert_eq!(executed.reads, [cid]);
        match executed.result.unwrap().output {
            Ipld::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(0, 1 << 20), bytes);
    assert_eq!(read(10, 5), &bytes[10..15]);
    // Beyond the end there is nothing, however far beyond.
    assert_eq!(read(40, 5), &bytes[40..]);
    assert_eq!(read(i128::from(u64::MAX), i128::from(u32::MAX)), b"");
    let size = execute(&*component, "size", &[Ipld::Link(cid)], &inputs);
    assert_eq!(size.result.unwrap().output, Ipld::Integer(bytes.len() as i128));
    let bytes = dagcbor::encode(&Ipld::List(vec![Ipld::Link(cid)])).unwrap();
    let straight = Execution::new("size", Params::DagCbor(&bytes), &LIMITS).with_inputs(inputs);
    assert_eq!(component.execute(&straight).result.unwrap().output, Ipld::Integer(42));
}

#[test]
fn a_block_that_is_asked_for_again_is_fetched_once() {
    let (cid, bytes) = raw(b"abc");
    let inputs = Blocks::with([(cid, bytes)]);
    let executed = execute(&*reader("link"), "again", &[Ipld::Link(cid), Ipld::Integer(100)], &inputs);
    assert_eq!(executed.result.unwrap().output, Ipld::Integer(300));
    assert_eq!((executed.reads, inputs.asked.lock().unwrap().len()), (vec![cid], 1));
}

#[test]
fn nothing_can_be_read_that_no_argument_leads_to() {
    let (cid, bytes) = raw(b"somebody else's");
    let inputs = Blocks::with([(cid, bytes)]);
    let component = reader("(list u8)");
    let executed = execute(&*component, "size", &[Ipld::Bytes(cid.to_bytes())], &inputs);
    let message = format!("ipvm:ipld/blocks@1.0.0: nothing that was given to this function links to {cid}");
    assert_eq!(executed.result.unwrap_err(), CallError::Trap { message });
    assert_eq!((executed.reads, inputs.asked.lock().unwrap().len()), (vec![], 0));

    let longer = [cid.to_bytes(), vec![0]].concat();
    for name in [b"no CID".to_vec(), vec![], longer] {
        let executed = execute(&*component, "size", &[Ipld::Bytes(name)], &inputs);
        let message = "ipvm:ipld/blocks@1.0.0: not exactly one CID".to_owned();
        assert_eq!(executed.result.unwrap_err(), CallError::Trap { message });
    }
}

/// A block of the codec dag-cbor.
fn dag_cbor(value: &Ipld) -> (Cid, Vec<u8>) {
    let bytes = dagcbor::encode(value).unwrap();
    (block::dag_cbor_cid(&bytes), bytes)
}

#[test]
fn what_a_block_links_to_can_be_read_after_it() {
    let leaf = raw(b"a leaf");
    let inner = dag_cbor(&Ipld::Map([("leaf".to_owned(), Ipld::Link(leaf.0))].into()));
    let root = dag_cbor(&Ipld::List(vec![Ipld::Null, Ipld::List(vec![Ipld::Link(inner.0)])]));
    // The same bytes under another codec, and bytes that are not canonical, lead nowhere.
    let opaque = raw(&root.1);
    let trailing = [&root.1[..], b"\0"].concat();
    let broken = (block::dag_cbor_cid(&trailing), trailing);
    let inputs = Blocks::with([leaf.clone(), inner.clone(), root.clone(), opaque.clone(), broken.clone()]);
    let component = reader("link");
    let after = |first: Cid, second: Cid| {
        execute(&*component, "after", &[Ipld::Link(first), Ipld::Bytes(second.to_bytes())], &inputs)
    };

    let executed = after(root.0, inner.0);
    assert_eq!(executed.result.unwrap().output, Ipld::Integer(inner.1.len() as i128));
    assert_eq!(executed.reads, [root.0, inner.0]);
    // A block may be read twice, and is recorded once.
    assert_eq!(after(root.0, root.0).reads, [root.0]);
    for (first, second) in [(root.0, leaf.0), (opaque.0, inner.0), (broken.0, inner.0), (inner.0, root.0)] {
        let executed = after(first, second);
        let message = format!("ipvm:ipld/blocks@1.0.0: nothing that was given to this function links to {second}");
        assert_eq!(executed.result.unwrap_err(), CallError::Trap { message });
        assert_eq!(executed.reads, [first]);
    }
}

#[test]
fn what_blocks_link_to_counts_as_memory() {
    let links = (0..1_000_u32).map(|n| Ipld::Link(block::raw_cid(&n.to_be_bytes()))).collect();
    let root = dag_cbor(&Ipld::List(links));
    let inputs = Blocks::with([root.clone()]);
    let component = reader("link");
    let params = Ipld::List(vec![Ipld::Link(root.0)]);
    let within = |memory| {
        let limits = Limits { memory, ..LIMITS };
        let call = Execution::new("size", Params::Ipld(&params), &limits).with_inputs(inputs.clone());
        component.execute(&call).result.map(|completion| completion.output)
    };
    let (pages, links) = (40 << 16, 1_000 * 256);
    assert_eq!(within(pages + links), Ok(Ipld::Integer(root.1.len() as i128)));
    let limit = pages + links - 1;
    assert_eq!(within(limit), Err(CallError::OutOfMemory { limit, wanted: limit + 1 }));
}

#[test]
fn a_run_reads_no_more_blocks_than_fit_into_its_receipt() {
    let blocks: Vec<(Cid, Vec<u8>)> = (0..=10_000_u32).map(|n| raw(&n.to_be_bytes())).collect();
    let links: Vec<Ipld> = blocks.iter().map(|(cid, _)| Ipld::Link(*cid)).collect();
    let inputs = Blocks::with(blocks);
    let component = reader("link");
    let mut most = links[..10_000].to_vec();
    // One that was read already is no other.
    most.push(links[0].clone());
    let executed = execute(&*component, "all", &[Ipld::List(most)], &inputs);
    assert_eq!(executed.result.unwrap().output, Ipld::Integer(4 * 10_001));
    assert_eq!(executed.reads.len(), 10_000);
    let executed = execute(&*component, "all", &[Ipld::List(links)], &inputs);
    let message = "ipvm:ipld/blocks@1.0.0: more than 10000 blocks".to_owned();
    assert_eq!(executed.result.unwrap_err(), CallError::Trap { message });
}

#[test]
fn an_interface_of_other_types_is_no_interface_of_the_host() {
    let other = r#"(component
        (import "ipvm:ipld/blocks@1.0.0" (instance (export "size" (func (param "block" string) (result u64))))))"#;
    let error = prepare(&runtime(), other).unwrap_err();
    assert!(matches!(&error, PrepareError::Invalid { detail } if detail.contains("size")), "{error}");
    let more = r#"(component
        (import "ipvm:ipld/blocks@1.0.0" (instance (export "write" (func (param "block" (list u8)))))))"#;
    let error = prepare(&runtime(), more).unwrap_err();
    assert!(matches!(&error, PrepareError::Invalid { detail } if detail.contains("write")), "{error}");
    let later = r#"(component (import "ipvm:ipld/blocks@2.0.0" (instance (export "size" (func)))))"#;
    assert!(matches!(prepare(&runtime(), later), Err(PrepareError::ForbiddenImport { .. })));
}

#[test]
fn a_store_that_fails_is_the_fault_of_the_host() {
    #[derive(Debug)]
    struct Broken;
    impl Inputs for Broken {
        fn block(&self, _: &Cid) -> Result<Option<Bytes>, StoreError> {
            Err(StoreError::corrupt("the block", "other bytes"))
        }
    }
    let params = Ipld::List(vec![Ipld::Link(block::raw_cid(b"a"))]);
    let call = Execution::new("size", Params::Ipld(&params), &LIMITS).with_inputs(Arc::new(Broken));
    let error = reader("link").execute(&call).result.unwrap_err();
    assert!(matches!(&error, CallError::Host { message } if message.contains("other bytes")), "{error}");
    assert!(!error.is_deterministic());
}

#[test]
fn a_block_that_is_missing_is_an_error_and_no_result() {
    let (cid, _) = raw(b"gone");
    let executed = execute(&*reader("link"), "size", &[Ipld::Link(cid)], &Blocks::with([]));
    let error = executed.result.unwrap_err();
    assert_eq!((error.clone(), error.name()), (CallError::MissingBlock { cid }, "MissingBlock"));
    assert!(!error.is_deterministic());
    // The same where nobody brought any blocks along.
    let error = reader("link").call("size", &Ipld::List(vec![Ipld::Link(cid)]), &LIMITS).unwrap_err();
    assert_eq!(error, CallError::MissingBlock { cid });
}

#[test]
fn calls_of_the_host_are_paid_for() {
    let (cid, bytes) = raw(&[7; 5_000]);
    let inputs = Blocks::with([(cid, bytes)]);
    let component = reader("link");
    let fuel = |fun: &str, more: &[i128]| {
        let params: Vec<Ipld> = [Ipld::Link(cid)].into_iter().chain(more.iter().copied().map(Ipld::Integer)).collect();
        execute(&*component, fun, &params, &inputs).result.unwrap().fuel
    };
    assert_eq!(fuel("again", &[2]), fuel("again", &[2]));
    let each = fuel("again", &[11]) - fuel("again", &[10]);
    assert!(each >= 100 + cid.to_bytes().len() as u64, "{each}");
    assert_eq!(fuel("read", &[0, 4_000]) - fuel("read", &[0, 1_000]), 3_000);

    // A block is paid for when it is fetched, which it is once more when another came between.
    let small = raw(b"0123456789");
    let both = Blocks::with([(cid, vec![7; 5_000]), small.clone()]);
    let all = |blocks: [Cid; 3]| {
        let params = Ipld::List(blocks.map(Ipld::Link).to_vec());
        execute(&*component, "all", &[params], &both).result.unwrap().fuel
    };
    assert_eq!(all([cid, small.0, cid]) - all([cid, small.0, small.0]), 100 + 5_000);
    assert_eq!(all([cid, small.0, small.0]), all([cid, cid, small.0]));

    let limits = Limits { fuel: 100_000, ..LIMITS };
    let params = Ipld::List(vec![Ipld::Link(cid), Ipld::Integer(i128::from(u32::MAX))]);
    let endless = Execution::new("again", Params::Ipld(&params), &limits).with_inputs(inputs.clone());
    assert_eq!(component.execute(&endless).result.unwrap_err(), CallError::OutOfFuel { limit: 100_000 });
}

#[tokio::test]
async fn what_was_read_is_in_the_metadata_of_the_receipt() {
    let store = Arc::new(MemoryBlocks::default());
    let wasm = wat::parse_str(reader_text("link")).unwrap();
    let (module, leaf) = (block::raw_cid(&wasm), raw(b"a leaf"));
    let list = dagcbor::encode(&Ipld::List(vec![Ipld::Link(leaf.0)])).unwrap();
    let root = (block::dag_cbor_cid(&list), list);
    for (cid, bytes) in [(module, wasm), root.clone()] {
        store.put(&cid, bytes.into()).await.unwrap();
    }
    let handler = WasmHandler::new(Arc::new(runtime()), store.clone());
    let size_of = async |cid: Cid| {
        let executor = Issuer::ed25519(SigningKey::from_seed(&[1; 32]));
        let args = [
            ("mod".to_owned(), Ipld::Link(module)),
            ("fun".to_owned(), Ipld::String("size".to_owned())),
            ("params".to_owned(), Ipld::List(vec![Ipld::Link(cid)])),
        ];
        let task = Task::new(executor.did().clone(), Command::parse("/wasm/run").unwrap(), args.into(), vec![]);
        handler.reexecutor().unwrap().reexecute(&task).await
    };
    let Completion { outcome, meta, repeatable, .. } = size_of(root.0).await;
    assert_eq!(outcome, Outcome::Ok(Ipld::Integer(root.1.len() as i128)));
    assert!(repeatable);
    assert_eq!(meta["reads"], Ipld::List(vec![Ipld::Link(root.0)]));

    let missing = size_of(leaf.0).await;
    let Outcome::Error(Ipld::Map(error)) = missing.outcome else { panic!("{:?}", missing.outcome) };
    assert_eq!(error["name"], Ipld::String("MissingBlock".to_owned()));
    assert!(!missing.repeatable);
    store.put(&leaf.0, leaf.1.into()).await.unwrap();
    assert_eq!(size_of(leaf.0).await.outcome, Outcome::Ok(Ipld::Integer(6)));
}
