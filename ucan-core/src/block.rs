//! Content addresses of blocks: CIDv1, SHA2-256.
//!
//! ```
//! use ucan_core::block;
//!
//! let cid = block::raw_cid(b"hello");
//! assert_eq!(cid.to_string(), "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq");
//! assert!(block::verify(&cid, b"hello").is_ok());
//! assert!(block::verify(&cid, b"hullo").is_err());
//! ```

use multihash::Multihash;
use sha2::{Digest, Sha256, Sha512};

use crate::Cid;

/// The multicodec of DAG-CBOR.
pub const DAG_CBOR: u64 = 0x71;
/// The multicodec of raw bytes.
pub const RAW: u64 = 0x55;

/// The multicodec of SHA2-256.
const SHA2_256: u64 = 0x12;
/// The multicodec of SHA2-512.
const SHA2_512: u64 = 0x13;

/// The CID of a block of DAG-CBOR.
pub fn dag_cbor_cid(bytes: &[u8]) -> Cid {
    Cid::new_v1(DAG_CBOR, sha2_256(bytes))
}

/// The CID of a block of raw bytes.
pub fn raw_cid(bytes: &[u8]) -> Cid {
    Cid::new_v1(RAW, sha2_256(bytes))
}

/// Whether bytes are what a CID names. The codec is not looked at: it says how to read them, not what they are.
///
/// # Errors
///
/// When the hash is another, or of a function that is not supported (SHA2-256 and SHA2-512 are).
pub fn verify(cid: &Cid, bytes: &[u8]) -> Result<(), BlockError> {
    let hash = cid.hash();
    // The whole digest is compared, so that a shortened one never matches.
    let matches = match hash.code() {
        SHA2_256 => Sha256::digest(bytes)[..] == *hash.digest(),
        SHA2_512 => Sha512::digest(bytes)[..] == *hash.digest(),
        code => return Err(BlockError::UnsupportedHash { cid: *cid, code }),
    };
    if matches { Ok(()) } else { Err(BlockError::Mismatch { cid: *cid }) }
}

fn sha2_256(bytes: &[u8]) -> Multihash<64> {
    #[allow(clippy::expect_used, reason = "there is room for 64 bytes, and a digest has 32")]
    Multihash::wrap(SHA2_256, &Sha256::digest(bytes)).expect("a digest of 32 bytes fits")
}

/// Reads the binary form of a CID, which must be all of `bytes`, in its shortest form.
#[must_use]
pub fn cid_from_bytes(bytes: &[u8]) -> Option<Cid> {
    let cid = Cid::read_bytes(bytes).ok()?;
    // The reader stops at the end of the CID and forgives long varints: what it reads must be what was written.
    (cid.encoded_len() == bytes.len() && cid.to_bytes() == bytes).then_some(cid)
}

/// Reads the text form of a CID: base32, base58btc and the other bases of the CID specification; no path around it.
pub(crate) fn cid_from_text(text: &str) -> Option<Cid> {
    // 128 characters hold the longest digest that a CID here can have, in base32; base 16 takes 150.
    if text.len() > 192 || text.contains('/') {
        return None;
    }
    if text.len() == 46 && text.starts_with("Qm") {
        return Cid::try_from(text).ok();
    }
    let (_, bytes) = multibase::decode(text).ok()?;
    cid_from_bytes(&bytes).filter(|cid| cid.version() == cid::Version::V1)
}

/// Why bytes were not accepted under a CID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The bytes have another hash.
    #[error("the block is not what {cid} names")]
    Mismatch {
        /// The CID that was asked for.
        cid: Cid,
    },
    /// The CID uses a hash function that is not supported.
    #[error("{cid} uses hash function {code:#x}, which is not supported")]
    UnsupportedHash {
        /// The CID that was asked for.
        cid: Cid,
        /// The multicodec of the hash function.
        code: u64,
    },
}
