//! Archives of blocks: [CARv1](https://ipld.io/specs/transport/car/carv1/).
//!
//! An archive is a header that names roots, and then blocks, each behind its CID. Reading checks every block against its CID, so
//! that what is found in an archive is what its name says. The blocks stay where they are; nothing is copied.
//!
//! ```
//! use ucan_core::{block, car};
//!
//! let (one, two) = (block::raw_cid(b"one"), block::raw_cid(b"two"));
//! let mut archive = car::write(&[one], [(&one, &b"one"[..]), (&two, b"two")]);
//!
//! let read = car::read(&archive, &car::CarLimits::default())?;
//! assert_eq!(read.roots(), [one]);
//! assert_eq!(read.get(&two), Some(&b"two"[..]));
//!
//! // A block that is not what its CID names spoils the archive.
//! *archive.last_mut().unwrap() ^= 1;
//! assert!(car::read(&archive, &car::CarLimits::default()).is_err());
//! # Ok::<(), car::CarError>(())
//! ```

use unsigned_varint::{decode, encode};

use crate::{
    Cid, Ipld,
    block::{self, BlockError},
    dagcbor::{self, Limits, Writer},
};

/// How much is read before an archive is refused. All are checked before memory is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CarLimits {
    /// How many bytes the whole archive may take: 64 MiB.
    pub bytes: usize,
    /// How many roots it may have: 1,024.
    pub roots: usize,
    /// How many blocks it may have, repeated ones counted: 65,536.
    pub blocks: usize,
    /// How many bytes a block may have: 16 MiB.
    pub block: usize,
}

impl Default for CarLimits {
    fn default() -> Self {
        Self { bytes: 64 << 20, roots: 1 << 10, blocks: 1 << 16, block: 16 << 20 }
    }
}

/// An archive that has been read; its blocks are where they were.
///
/// Every block has the hash that its CID says. Roots need not be among the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Car<'a> {
    roots: Vec<Cid>,
    blocks: Vec<(Cid, &'a [u8])>,
    /// Places in `blocks`, in the order of the CIDs there.
    sorted: Vec<usize>,
}

impl<'a> Car<'a> {
    /// The roots, as the header lists them.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// The blocks in the order in which they come, with those that come more than once.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = (&Cid, &'a [u8])> {
        self.blocks.iter().map(|(cid, bytes)| (cid, *bytes))
    }

    /// The block with a CID.
    pub fn get(&self, cid: &Cid) -> Option<&'a [u8]> {
        let at = |place: &usize| self.blocks.get(*place);
        let found = self.sorted.binary_search_by(|place| at(place).map(|(found, _)| found).cmp(&Some(cid))).ok()?;
        self.sorted.get(found).and_then(at).map(|(_, bytes)| *bytes)
    }
}

/// Writes an archive: the roots and the blocks in the order in which they come.
///
/// The blocks are not hashed here: one that is given under a CID that is not its own makes an archive that readers refuse.
pub fn write<'a>(roots: &[Cid], blocks: impl IntoIterator<Item = (&'a Cid, &'a [u8])>) -> Vec<u8> {
    let mut header = Writer::default();
    header.map(2);
    header.text("roots");
    header.list(roots.len());
    for root in roots {
        header.link(root);
    }
    header.text("version");
    header.unsigned(VERSION);
    let mut archive = Vec::new();
    section(&mut archive, &[&header.bytes]);
    for (cid, bytes) in blocks {
        section(&mut archive, &[&cid.to_bytes(), bytes]);
    }
    archive
}

/// The version that is read and written.
const VERSION: u64 = 1;

fn section(archive: &mut Vec<u8>, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len() as u64).sum();
    archive.extend_from_slice(encode::u64(length, &mut encode::u64_buffer()));
    for part in parts {
        archive.extend_from_slice(part);
    }
}

/// Reads an archive.
///
/// # Errors
///
/// When it is not exactly a CARv1, a block is not what its CID names or is named by a hash that is not supported, or a limit
/// is exceeded. An archive of version 2 is refused by that name.
pub fn read<'a>(bytes: &'a [u8], limits: &CarLimits) -> Result<Car<'a>, CarError> {
    if bytes.len() > limits.bytes {
        return Err(CarError::TooManyBytes(limits.bytes));
    }
    let mut sections = Sections { bytes, at: 0 };
    let (_, header) = sections.next()?.ok_or(CarError::Empty)?;
    let roots = roots(header, limits.roots)?;
    let mut blocks = Vec::new();
    while let Some((offset, section)) = sections.next()? {
        if blocks.len() >= limits.blocks {
            return Err(CarError::TooManyBlocks(limits.blocks));
        }
        let (cid, block) = split_cid(section).ok_or(CarError::Cid { offset })?;
        if block.len() > limits.block {
            return Err(CarError::BlockTooLong { offset, limit: limits.block });
        }
        block::verify(&cid, block)?;
        blocks.push((cid, block));
    }
    let mut sorted: Vec<_> = (0..blocks.len()).collect();
    sorted.sort_by_key(|place| blocks.get(*place).map(|(cid, _)| *cid));
    Ok(Car { roots, blocks, sorted })
}

fn roots(header: &[u8], most: usize) -> Result<Vec<Cid>, CarError> {
    // The map, the list and the version are values too.
    let items = most.saturating_add(3);
    let limits = Limits { items, bytes: items.saturating_mul(ROOT), ..Limits::default() };
    let header = dagcbor::decode_with(header, &limits).map_err(CarError::Header)?;
    let Ipld::Map(mut header) = header else {
        return Err(CarError::NotAHeader("a map"));
    };
    match header.get("version") {
        Some(Ipld::Integer(version)) if *version == i128::from(VERSION) => {}
        Some(Ipld::Integer(version)) => return Err(CarError::Version(*version)),
        _ => return Err(CarError::NotAHeader("a version")),
    }
    let Some(Ipld::List(roots)) = header.remove("roots") else {
        return Err(CarError::NotAHeader("a list of roots"));
    };
    if header.len() > 1 {
        return Err(CarError::NotAHeader("nothing but roots and a version"));
    }
    let links = roots.into_iter().map(|root| match root {
        Ipld::Link(cid) => Ok(cid),
        _ => Err(CarError::NotAHeader("links as roots")),
    });
    links.collect()
}

/// How many bytes are enough for a root: a link with a digest of 64 bytes.
const ROOT: usize = 128;

/// The pieces of an archive, each behind its length.
struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Sections<'a> {
    /// The next piece, and where it starts; none at the end.
    fn next(&mut self) -> Result<Option<(usize, &'a [u8])>, CarError> {
        let offset = self.at;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let (length, rest) = decode::u64(rest).map_err(|error| match error {
            decode::Error::Insufficient => CarError::Truncated { offset },
            _ => CarError::Varint { offset },
        })?;
        let section = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let section = section.ok_or(CarError::Truncated { offset })?;
        self.at = self.bytes.len() - rest.len() + section.len();
        Ok(Some((offset, section)))
    }
}

/// The CID at the start of a section, and the block behind it.
fn split_cid(section: &[u8]) -> Option<(Cid, &[u8])> {
    let mut block = section;
    let cid = Cid::read_bytes(&mut block).ok()?;
    let (written, _) = section.split_at(section.len() - block.len());
    block::cid_from_bytes(written).map(|_| (cid, block))
}

/// Why an archive was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// There is not even a header.
    #[error("an archive has at least a header")]
    Empty,
    /// A length is not a varint, or not a minimal one.
    #[error("the length at byte {offset} is not a minimal varint")]
    Varint {
        /// Where the length starts.
        offset: usize,
    },
    /// The archive ends inside the header or a block.
    #[error("the archive ends inside the section at byte {offset}")]
    Truncated {
        /// Where the section starts, its length included.
        offset: usize,
    },
    /// The header is not canonical DAG-CBOR, or has too many roots.
    #[error("the header of the archive: {0}")]
    Header(dagcbor::DecodeError),
    /// The header is not of the right shape.
    #[error("the header of the archive should have {0}")]
    NotAHeader(&'static str),
    /// The archive is of another version.
    #[error("archives of version {0} are not read, only of version 1")]
    Version(i128),
    /// A section does not start with a CID that is written as it should be.
    #[error("the section at byte {offset} does not start with a CID")]
    Cid {
        /// Where the section starts, its length included.
        offset: usize,
    },
    /// A block is not what its CID names, or that cannot be told.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The archive is too long.
    #[error("more than {0} bytes")]
    TooManyBytes(usize),
    /// The archive has too many blocks.
    #[error("more than {0} blocks")]
    TooManyBlocks(usize),
    /// A block is too long.
    #[error("the block at byte {offset} has more than {limit} bytes")]
    BlockTooLong {
        /// Where its section starts.
        offset: usize,
        /// How many bytes it may have.
        limit: usize,
    },
}
