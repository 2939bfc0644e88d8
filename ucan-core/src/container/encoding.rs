//! What stands around the map: header, base64, gzip.

use std::borrow::Cow;

use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding};

use super::{ContainerError, gzip};

/// How a container is written: the base encoding, and whether it is compressed (UCAN Container 0.1, "Serialization").
///
/// ```
/// use ucan_core::ContainerEncoding;
///
/// assert_eq!(ContainerEncoding::Base64Gzip.header(), b'O');
/// assert_eq!(ContainerEncoding::from_header(b'O'), Some(ContainerEncoding::Base64Gzip));
/// assert_eq!(ContainerEncoding::from_header(b'A'), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ContainerEncoding {
    /// Bytes as they are.
    Raw = b'@',
    /// Base64 with the standard alphabet and padding.
    Base64 = b'B',
    /// Base64 with the alphabet for URLs, without padding.
    Base64Url = b'C',
    /// Bytes, compressed.
    RawGzip = b'M',
    /// Compressed, then [`Base64`](Self::Base64).
    Base64Gzip = b'O',
    /// Compressed, then [`Base64Url`](Self::Base64Url).
    Base64UrlGzip = b'P',
}

/// The first byte of a map of one entry, which no header is.
const BARE_MAP: u8 = 0xa1;

impl ContainerEncoding {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Raw, Self::Base64, Self::Base64Url, Self::RawGzip, Self::Base64Gzip, Self::Base64UrlGzip];

    /// The byte that a container in this encoding is written with in front.
    pub const fn header(self) -> u8 {
        self as u8
    }

    /// What the first byte of a container says, the headers of the ucantone library included.
    pub fn from_header(header: u8) -> Option<Self> {
        match header {
            b'D' => Some(Self::RawGzip),
            b'E' => Some(Self::Base64Gzip),
            b'F' => Some(Self::Base64UrlGzip),
            _ => Self::ALL.into_iter().find(|encoding| encoding.header() == header),
        }
    }

    fn base(self) -> Option<Encoding> {
        match self {
            Self::Raw | Self::RawGzip => None,
            Self::Base64 | Self::Base64Gzip => Some(BASE64),
            Self::Base64Url | Self::Base64UrlGzip => Some(BASE64URL_NOPAD),
        }
    }

    fn is_compressed(self) -> bool {
        matches!(self, Self::RawGzip | Self::Base64Gzip | Self::Base64UrlGzip)
    }

    pub(super) fn write(self, payload: &[u8]) -> Vec<u8> {
        let payload = if self.is_compressed() { Cow::Owned(gzip::compress(payload)) } else { Cow::Borrowed(payload) };
        match self.base() {
            None => [&[self.header()], &*payload].concat(),
            Some(base) => {
                let mut text = String::from(char::from(self.header()));
                base.encode_append(&payload, &mut text);
                text.into_bytes()
            }
        }
    }
}

/// The map with the tokens, of at most `limit` bytes.
pub(super) fn payload(bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, ContainerError> {
    let (header, rest) = bytes.split_first().ok_or(ContainerError::Empty)?;
    if *header == BARE_MAP {
        return within(bytes.len(), limit).map(|()| Cow::Borrowed(bytes));
    }
    let encoding = ContainerEncoding::from_header(*header).ok_or(ContainerError::Header(*header))?;
    let decoded = match encoding.base() {
        None => {
            within(rest.len(), limit)?;
            Cow::Borrowed(rest)
        }
        Some(base) => {
            // Three bytes for every four characters, whether padded or not; up to two of the last three may be padding.
            within((rest.len() / 4 * 3).saturating_sub(2), limit)?;
            let decoded = base.decode(rest).map_err(|error| ContainerError::Base64 { offset: error.position + 1 })?;
            within(decoded.len(), limit)?;
            Cow::Owned(decoded)
        }
    };
    if encoding.is_compressed() { gzip::decompress(&decoded, limit).map(Cow::Owned) } else { Ok(decoded) }
}

fn within(length: usize, limit: usize) -> Result<(), ContainerError> {
    if length <= limit { Ok(()) } else { Err(ContainerError::TooManyBytes(limit)) }
}
