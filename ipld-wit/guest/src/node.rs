//! Trees, and the lists of items that stand for them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use ipld_core::cid::Cid;
use ipld_core::ipld::Ipld;

use crate::{Item, Link, LinkError, Node};

/// How deep a whole value may be nested.
const MAX_DEPTH: usize = 64;

/// A tree that cannot be a [`Node`], or items that are no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A list or map lies too deep.
    #[error("lists and maps are nested deeper than {limit}")]
    TooDeep {
        /// The most that there can be.
        limit: usize,
    },
    /// A float is NaN or an infinity.
    #[error("a float is NaN or an infinity, which IPLD cannot carry")]
    NotFinite,
    /// An integer lies outside of -2^64 to 2^64 - 1.
    #[error("an integer is out of range")]
    OutOfRange,
    /// There are more than 2^32 items.
    #[error("there are too many items")]
    TooMany,
    /// A link is none.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is no item at all.
    #[error("there are no items; the whole stands last")]
    Empty,
    /// An item names a part that does not stand before it, or that another holds already.
    #[error("item {item} names the part {part}, which does not stand before it or is held already")]
    Part {
        /// The index of the item.
        item: usize,
        /// The index that it names.
        part: u32,
    },
    /// An item is no part of any other, and not the last.
    #[error("item {item} is no part of any other")]
    Left {
        /// The index of the item.
        item: usize,
    },
    /// A key occurs twice in one map.
    #[error("item {item} has the key {key:?} twice")]
    Key {
        /// The index of the item.
        item: usize,
        /// The key.
        key: String,
    },
}

/// A value until another holds it, and how many lists and maps are nested in it.
struct Part {
    ipld: Ipld,
    depth: usize,
}

impl Node {
    /// The items that stand for a tree, in the order in which a host writes them.
    ///
    /// # Errors
    ///
    /// [`NodeError`] where DAG-CBOR cannot have such a value, or it is nested deeper than 64.
    pub fn from_ipld(ipld: &Ipld) -> Result<Self, NodeError> {
        let mut items = Vec::new();
        push(ipld, MAX_DEPTH, &mut items)?;
        Ok(Self { ipld_node: items })
    }

    /// The tree that the items stand for.
    ///
    /// # Errors
    ///
    /// [`NodeError`] where they stand for none. A host gives no such items.
    pub fn to_ipld(&self) -> Result<Ipld, NodeError> {
        let mut parts: Vec<Option<Part>> = Vec::with_capacity(self.ipld_node.len());
        for (at, item) in self.ipld_node.iter().enumerate() {
            let part = part(item, at, &mut parts)?;
            parts.push(Some(part));
        }
        let whole = parts.pop().flatten().ok_or(NodeError::Empty)?;
        match parts.iter().position(Option::is_some) {
            None => Ok(whole.ipld),
            Some(item) => Err(NodeError::Left { item }),
        }
    }
}

/// Adds a value after its parts, and gives its index.
fn push(ipld: &Ipld, left: usize, items: &mut Vec<Item>) -> Result<u32, NodeError> {
    let deeper = || left.checked_sub(1).ok_or(NodeError::TooDeep { limit: MAX_DEPTH });
    let item = match ipld {
        Ipld::Null => Item::Null,
        Ipld::Bool(it) => Item::Boolean(*it),
        Ipld::Integer(it) => match u64::try_from(*it) {
            Ok(it) => Item::Unsigned(it),
            Err(_) => {
                let it = (-1_i128).checked_sub(*it).and_then(|it| u64::try_from(it).ok());
                Item::Negative(it.ok_or(NodeError::OutOfRange)?)
            }
        },
        Ipld::Float(it) if it.is_finite() => Item::Float(*it),
        Ipld::Float(_) => return Err(NodeError::NotFinite),
        Ipld::String(it) => Item::Text(it.clone()),
        Ipld::Bytes(it) => Item::Bytes(it.clone()),
        Ipld::List(list) => {
            let left = deeper()?;
            Item::Items(list.iter().map(|item| push(item, left, items)).collect::<Result<_, _>>()?)
        }
        Ipld::Map(map) => {
            let left = deeper()?;
            let mut entries: Vec<(&String, &Ipld)> = map.iter().collect();
            // The order of DAG-CBOR.
            entries.sort_by_key(|(key, _)| (key.len(), *key));
            let entry = |(key, value): (&String, &Ipld)| Ok((key.clone(), push(value, left, items)?));
            Item::Entries(entries.into_iter().map(entry).collect::<Result<_, NodeError>>()?)
        }
        Ipld::Link(cid) => Item::Link(Link::from(cid)),
    };
    let index = u32::try_from(items.len()).map_err(|_| NodeError::TooMany)?;
    items.push(item);
    Ok(index)
}

fn part(item: &Item, at: usize, parts: &mut [Option<Part>]) -> Result<Part, NodeError> {
    let mut depth = usize::from(matches!(item, Item::Items(_) | Item::Entries(_)));
    let mut take = |index: u32| {
        let part = usize::try_from(index).ok().and_then(|index| parts.get_mut(index)).and_then(Option::take);
        let part = part.ok_or(NodeError::Part { item: at, part: index })?;
        depth = depth.max(part.depth + 1);
        if depth > MAX_DEPTH { Err(NodeError::TooDeep { limit: MAX_DEPTH }) } else { Ok(part.ipld) }
    };
    let ipld = match item {
        Item::Null => Ipld::Null,
        Item::Boolean(it) => Ipld::Bool(*it),
        Item::Unsigned(it) => Ipld::Integer((*it).into()),
        Item::Negative(it) => Ipld::Integer(-1 - i128::from(*it)),
        Item::Float(it) if it.is_finite() => Ipld::Float(*it),
        Item::Float(_) => return Err(NodeError::NotFinite),
        Item::Text(it) => Ipld::String(it.clone()),
        Item::Bytes(it) => Ipld::Bytes(it.clone()),
        Item::Items(indices) => Ipld::List(indices.iter().map(|index| take(*index)).collect::<Result<_, _>>()?),
        Item::Entries(entries) => {
            let mut map = BTreeMap::new();
            for (key, index) in entries {
                if map.insert(key.clone(), take(*index)?).is_some() {
                    return Err(NodeError::Key { item: at, key: key.clone() });
                }
            }
            Ipld::Map(map)
        }
        Item::Link(link) => Ipld::Link(Cid::try_from(link)?),
    };
    Ok(Part { ipld, depth })
}
