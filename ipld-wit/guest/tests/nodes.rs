//! What guests make of nodes and links, against the host's side of the same conversion.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use ipld_wit::{Type, Value, to_ipld, to_value};
use ipvm_guest::{BlockReader, Blocks, Cid, Ipld, Item, Link, Node, NodeError};
use proptest::prelude::*;

const CID: &str = "bafkreie7q3iidccmpvszul7kudcvvuavuo7u6gzlbobczuk5nqk3b4akba";

fn cid() -> Cid {
    Cid::try_from(CID).unwrap()
}

fn trees() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        (-(1_i128 << 64)..1_i128 << 64).prop_map(Ipld::Integer),
        prop::num::f64::NORMAL.prop_map(Ipld::Float),
        ".{0,6}".prop_map(Ipld::String),
        any::<Vec<u8>>().prop_map(Ipld::Bytes),
        Just(Ipld::Link(cid())),
    ];
    leaf.prop_recursive(6, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Ipld::List),
            prop::collection::btree_map(".{0,3}", inner, 0..5).prop_map(Ipld::Map),
        ]
    })
}

/// Items as the host has them, which knows them by the type alone.
fn of_host(node: &Node) -> Value {
    let variant = |name: &str, payload: Value| Value::Variant(name.to_owned(), Some(Box::new(payload)));
    let link = |link: &Link| Value::Record(vec![("ipld-link".to_owned(), Value::Bytes(link.ipld_link.clone()))]);
    let item = |item: &Item| match item {
        Item::Null => Value::Variant("null".to_owned(), None),
        Item::Boolean(it) => variant("boolean", Value::Bool(*it)),
        Item::Unsigned(it) => variant("unsigned", Value::U64(*it)),
        Item::Negative(it) => variant("negative", Value::U64(*it)),
        Item::Float(it) => variant("float", Value::F64(*it)),
        Item::Text(it) => variant("text", Value::String(it.clone())),
        Item::Bytes(it) => variant("bytes", Value::Bytes(it.clone())),
        Item::Items(it) => variant("items", Value::List(it.iter().copied().map(Value::U32).collect())),
        Item::Entries(it) => {
            let entry =
                |(key, index): &(String, u32)| Value::Tuple(vec![Value::String(key.clone()), Value::U32(*index)]);
            variant("entries", Value::List(it.iter().map(entry).collect()))
        }
        Item::Link(it) => variant("link", link(it)),
    };
    let items = node.ipld_node.iter().map(item).collect();
    Value::Record(vec![("ipld-node".to_owned(), Value::List(items))])
}

proptest! {
    #[test]
    fn a_tree_comes_back_and_the_host_sees_the_same(tree in trees()) {
        let node = Node::from_ipld(&tree).unwrap();
        prop_assert_eq!(&node.to_ipld().unwrap(), &tree);
        prop_assert_eq!(&to_ipld(&of_host(&node), &Type::Node).unwrap(), &tree);
        prop_assert!(to_value(&tree, &Type::Node).is_ok());
    }

    #[test]
    fn whatever_the_items_are_both_sides_say_the_same(indices in prop::collection::vec(prop::collection::vec(0_u32..6, 0..3), 1..6)) {
        let node = Node { ipld_node: indices.into_iter().map(Item::Items).collect() };
        match (node.to_ipld(), to_ipld(&of_host(&node), &Type::Node)) {
            (Ok(tree), Ok(of_host)) => prop_assert_eq!(tree, of_host),
            (Err(_), Err(_)) => {}
            (guest, host) => prop_assert!(false, "{guest:?} and {host:?}"),
        }
    }
}

#[test]
fn what_is_no_tree_is_refused_with_a_reason() {
    let node = |items: &[Item]| Node { ipld_node: items.to_vec() }.to_ipld().unwrap_err();
    assert_eq!(node(&[]), NodeError::Empty);
    assert_eq!(node(&[Item::Items(vec![0])]), NodeError::Part { item: 0, part: 0 });
    assert_eq!(node(&[Item::Null, Item::Items(vec![0, 0])]), NodeError::Part { item: 1, part: 0 });
    assert_eq!(node(&[Item::Null, Item::Null]), NodeError::Left { item: 0 });
    assert_eq!(node(&[Item::Float(f64::NAN)]), NodeError::NotFinite);
    assert!(matches!(node(&[Item::Link(Link { ipld_link: vec![1] })]), NodeError::Link(_)));
    let twice = Item::Entries(vec![("a".to_owned(), 0), ("a".to_owned(), 1)]);
    assert_eq!(node(&[Item::Null, Item::Null, twice]), NodeError::Key { item: 2, key: "a".to_owned() });
    assert_eq!(Node::from_ipld(&Ipld::Integer(1 << 64)).unwrap_err(), NodeError::OutOfRange);
}

#[test]
fn trees_are_as_deep_as_the_host_has_them() {
    let nested = |depth: usize| (0..depth).fold(Ipld::List(vec![]), |inner, _| Ipld::List(vec![inner]));
    for (depth, fits) in [(63, true), (64, false)] {
        let tree = nested(depth);
        assert_eq!(Node::from_ipld(&tree).is_ok(), fits);
        assert_eq!(to_value(&tree, &Type::Node).is_ok(), fits);
        // Items that go deeper than they can be made.
        let items = (0..=depth as u32).map(|at| Item::Items(at.checked_sub(1).into_iter().collect()));
        let node = Node { ipld_node: items.collect() };
        assert_eq!(node.to_ipld().is_ok(), fits);
        assert_eq!(to_ipld(&of_host(&node), &Type::Node).is_ok(), fits);
    }
}

#[test]
fn a_link_is_exactly_one_cid() {
    let link = Link::from(cid());
    assert_eq!(Cid::try_from(&link).unwrap(), cid());
    for bytes in [vec![], link.ipld_link[1..].to_vec(), [&*link.ipld_link, &[0]].concat()] {
        let found = bytes.len();
        assert_eq!(Cid::try_from(Link { ipld_link: bytes }).unwrap_err().found, found);
    }
}

#[test]
fn a_block_is_read_to_its_end() {
    const SIZE: u64 = 150_000;
    let blocks = Blocks {
        size: |_| SIZE,
        read: |_, offset, length| {
            (offset.min(SIZE)..(offset.saturating_add(length.into())).min(SIZE)).map(|at| at as u8).collect()
        },
    };
    let link = Link::from(cid());
    let mut reader = BlockReader::new(&link, blocks);
    assert_eq!(reader.size(), SIZE);
    assert_eq!(reader.read_at(255, 3), [255, 0, 1]);
    assert_eq!(reader.next_piece().len(), 64 << 10);
    let rest = reader.rest();
    assert_eq!(rest.len() as u64, SIZE - (64 << 10));
    assert_eq!(rest[0], 0);
    assert!(reader.next_piece().is_empty());
}
