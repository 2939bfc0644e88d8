//! One gzip member (RFC 1952) around deflated data.
//!
//! Written out by hand because readers of gzip in general go on to further members, overlook what follows, and cannot be told
//! how much is too much.

use miniz_oxide::{
    deflate,
    inflate::{
        TINFLStatus,
        core::{DecompressorOxide, decompress as inflate, inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
    },
};

use super::{ContainerError, GzipError};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;

const HAS_HEADER_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// No flags, no time, no extra flags, and an operating system that is not told: nothing that would make a difference between
/// two machines.
const HEADER: [u8; 10] = [MAGIC[0], MAGIC[1], DEFLATE, 0, 0, 0, 0, 0, 0, 0xff];

/// The level beyond which tokens, most of whose bytes are keys and signatures, hardly get shorter.
const LEVEL: u8 = 6;

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    out.extend_from_slice(&deflate::compress_to_vec(bytes, LEVEL));
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    out.extend_from_slice(&length(bytes).to_le_bytes());
    out
}

/// Inflates exactly one member, as long as it has at most `limit` bytes.
pub(super) fn decompress(gzip: &[u8], limit: usize) -> Result<Vec<u8>, ContainerError> {
    let deflated = skip_header(gzip)?;
    let (bytes, trailer) = inflate_within(deflated, limit)?;
    let (checksum, rest) = trailer.split_first_chunk().ok_or(GzipError::Truncated)?;
    let (claimed, rest) = rest.split_first_chunk().ok_or(GzipError::Truncated)?;
    if !rest.is_empty() {
        return Err(GzipError::Trailing.into());
    }
    if u32::from_le_bytes(*claimed) != length(&bytes) {
        return Err(GzipError::Length.into());
    }
    if u32::from_le_bytes(*checksum) != crc32(&bytes) {
        return Err(GzipError::Checksum.into());
    }
    Ok(bytes)
}

/// What follows the header. Name, time and comment are skipped: they mean nothing here.
fn skip_header(gzip: &[u8]) -> Result<&[u8], GzipError> {
    if !gzip.starts_with(&MAGIC) {
        return Err(GzipError::Magic);
    }
    let (fixed, mut rest) = gzip.split_first_chunk::<10>().ok_or(GzipError::Truncated)?;
    let (method, flags) = (fixed[2], fixed[3]);
    if method != DEFLATE {
        return Err(GzipError::Method(method));
    }
    if flags & RESERVED != 0 {
        return Err(GzipError::Flags(flags & RESERVED));
    }
    if flags & HAS_EXTRA != 0 {
        let (length, extra) = rest.split_first_chunk().ok_or(GzipError::Truncated)?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..).ok_or(GzipError::Truncated)?;
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(GzipError::Truncated)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HAS_HEADER_CHECKSUM != 0 {
        let header = &gzip[..gzip.len() - rest.len()];
        let (checksum, after) = rest.split_first_chunk().ok_or(GzipError::Truncated)?;
        if u32::from(u16::from_le_bytes(*checksum)) != crc32(header) & 0xffff {
            return Err(GzipError::HeaderChecksum);
        }
        rest = after;
    }
    Ok(rest)
}

/// Inflated bytes, and what follows the deflated ones.
fn inflate_within(deflated: &[u8], limit: usize) -> Result<(Vec<u8>, &[u8]), ContainerError> {
    // With room for one byte more than is allowed, running out of room always means that there is too much.
    let most = limit.saturating_add(1);
    let mut out = vec![0; deflated.len().saturating_mul(4).max(1 << 10).min(most)];
    let mut state = Box::new(DecompressorOxide::new());
    let (mut taken, mut written) = (0, 0);
    loop {
        let rest = deflated.get(taken..).unwrap_or_default();
        let (status, read, wrote) =
            inflate(&mut state, rest, &mut out, written, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
        taken += read;
        written += wrote;
        if written > limit {
            return Err(ContainerError::TooManyBytes(limit));
        }
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput if out.len() < most => out.resize(out.len().saturating_mul(2).min(most), 0),
            TINFLStatus::HasMoreOutput => return Err(ContainerError::TooManyBytes(limit)),
            TINFLStatus::FailedCannotMakeProgress => return Err(GzipError::Truncated.into()),
            _ => return Err(GzipError::Deflate.into()),
        }
    }
    out.truncate(written);
    Ok((out, deflated.get(taken..).unwrap_or_default()))
}

/// The length modulo 2^32.
fn length(bytes: &[u8]) -> u32 {
    let [.., a, b, c, d] = (bytes.len() as u64).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// CRC-32 as of gzip and Ethernet, bits reversed.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut remainder = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                remainder = if remainder & 1 == 0 { remainder >> 1 } else { remainder >> 1 ^ 0xedb8_8320 };
                bit += 1;
            }
            table[byte] = remainder;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |sum: u32, byte| sum >> 8 ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)])
}
