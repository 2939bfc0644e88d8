//! The types of `ipvm:ipld/types@1.0.0`, with the names that `wit-bindgen` would give them.

use alloc::string::String;
use alloc::vec::Vec;

use ipld_core::cid::Cid;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Exactly one CID, in its binary form.
    pub ipld_link: Vec<u8>,
}

/// A whole value of the data model: a list of items that name each other by their index.
///
/// [`Node::from_ipld`] and [`Node::to_ipld`] are there so that nobody has to look at the items.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Each item after its parts, each but the last a part of exactly one other; the last is the whole.
    pub ipld_node: Vec<Item>,
}

/// One item of a [`Node`].
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Null.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer from 0 on.
    Unsigned(u64),
    /// The integer -1 - n.
    Negative(u64),
    /// A float, neither NaN nor an infinity.
    Float(f64),
    /// A string.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list: the indices of its items.
    Items(Vec<u32>),
    /// A map: its keys, with the indices of their values.
    Entries(Vec<(String, u32)>),
    /// A link.
    Link(Link),
}

/// The bytes of a link are not exactly one CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {found} bytes of a link are not exactly one CID")]
pub struct LinkError {
    /// How many bytes there are.
    pub found: usize,
}

impl From<&Cid> for Link {
    fn from(cid: &Cid) -> Self {
        Self { ipld_link: cid.to_bytes() }
    }
}

impl From<Cid> for Link {
    fn from(cid: Cid) -> Self {
        Self::from(&cid)
    }
}

impl TryFrom<&Link> for Cid {
    type Error = LinkError;

    fn try_from(Link { ipld_link: bytes }: &Link) -> Result<Self, LinkError> {
        let cid = Self::read_bytes(&**bytes).ok();
        // The reader stops at the end of the CID and forgives long varints.
        cid.filter(|cid| cid.to_bytes() == *bytes).ok_or(LinkError { found: bytes.len() })
    }
}

impl TryFrom<Link> for Cid {
    type Error = LinkError;

    fn try_from(link: Link) -> Result<Self, LinkError> {
        Self::try_from(&link)
    }
}
