//! The canonical writer.

use std::cmp::Ordering;

use crate::{Cid, Ipld};

/// The order of map keys: shorter ones first, bytewise among equally long ones.
pub(crate) fn canonical_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// The canonical bytes of a value.
///
/// # Errors
///
/// When it holds what DAG-CBOR has no form for: NaN, an infinity, or an integer outside -2^64 ..= 2^64 - 1.
pub fn encode(value: &Ipld) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::default();
    writer.value(value)?;
    Ok(writer.bytes)
}

/// The canonical bytes of a map of these fields, no two of which have the same key: those of a map that nobody had to build.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_fields<const N: usize>(mut fields: [(&str, &Ipld); N]) -> Result<Vec<u8>, EncodeError> {
    fields.sort_unstable_by(|(a, _), (b, _)| canonical_order(a, b));
    let mut writer = Writer::default();
    writer.map(N);
    for (key, value) in fields {
        writer.text(key);
        writer.value(value)?;
    }
    Ok(writer.bytes)
}

/// How many bytes are made room for at first: those of a small task or token.
const ROOM: usize = 512;

/// Bytes that are being written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: Vec::with_capacity(ROOM) }
    }
}

impl Writer {
    pub(crate) fn list(&mut self, length: usize) {
        self.head(4, length as u64);
    }

    pub(crate) fn map(&mut self, length: usize) {
        self.head(5, length as u64);
    }

    pub(crate) fn byte_string(&mut self, bytes: &[u8]) {
        self.head(2, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.head(3, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn link(&mut self, cid: &Cid) {
        self.head(6, 42);
        self.head(2, cid.encoded_len() as u64 + 1);
        self.bytes.push(0);
        // Into memory, which takes all bytes.
        let _written = cid.write_bytes(&mut self.bytes);
    }

    pub(crate) fn unsigned(&mut self, integer: u64) {
        self.head(0, integer);
    }

    pub(crate) fn value(&mut self, value: &Ipld) -> Result<(), EncodeError> {
        match value {
            Ipld::Null => self.bytes.push(0xf6),
            Ipld::Bool(false) => self.bytes.push(0xf4),
            Ipld::Bool(true) => self.bytes.push(0xf5),
            Ipld::Integer(integer) => {
                let (major, magnitude) = if *integer < 0 { (1, -1 - *integer) } else { (0, *integer) };
                let argument = u64::try_from(magnitude).map_err(|_| EncodeError::Integer(*integer))?;
                self.head(major, argument);
            }
            Ipld::Float(float) if float.is_finite() => {
                self.bytes.push(0xfb);
                self.bytes.extend_from_slice(&float.to_be_bytes());
            }
            Ipld::Float(_) => return Err(EncodeError::NotFinite),
            Ipld::String(text) => self.text(text),
            Ipld::Bytes(bytes) => self.byte_string(bytes),
            Ipld::List(list) => {
                self.list(list.len());
                for item in list {
                    self.value(item)?;
                }
            }
            Ipld::Map(map) => {
                self.map(map.len());
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by(|(a, _), (b, _)| canonical_order(a, b));
                for (key, value) in entries {
                    self.text(key);
                    self.value(value)?;
                }
            }
            Ipld::Link(cid) => self.link(cid),
        }
        Ok(())
    }

    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        let bytes = argument.to_be_bytes();
        match argument {
            0..=23 => self.bytes.push(major | bytes[7]),
            24..=0xff => self.bytes.extend_from_slice(&[major | 24, bytes[7]]),
            0x100..=0xffff => {
                self.bytes.push(major | 25);
                self.bytes.extend_from_slice(&bytes[6..]);
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes.push(major | 26);
                self.bytes.extend_from_slice(&bytes[4..]);
            }
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend_from_slice(&bytes);
            }
        }
    }
}

/// Why a value has no canonical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// NaN or an infinity.
    #[error("DAG-CBOR has no NaN and no infinities")]
    NotFinite,
    /// An integer that does not fit.
    #[error("{0} does not fit into a DAG-CBOR integer")]
    Integer(i128),
}
