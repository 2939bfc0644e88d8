//! Blocks that are read piece by piece.

use alloc::vec::Vec;

use crate::Link;

/// The functions of `ipvm:ipld/blocks@1.0.0`, as `wit-bindgen` makes them for a world that imports the interface.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// How many bytes a block has.
    pub size: fn(&[u8]) -> u64,
    /// At most so many bytes from an offset on.
    pub read: fn(&[u8], u64, u32) -> Vec<u8>,
}

/// A block, read from its beginning to its end. With the feature `std` it is a `std::io::Read` and `Seek`.
///
/// A block that is missing or that nothing leads to ends the whole run: there is nothing to handle here.
#[derive(Clone, Debug)]
pub struct BlockReader<'a> {
    blocks: Blocks,
    block: &'a Link,
    size: u64,
    at: u64,
}

/// How much is asked for at once.
const PIECE: u32 = 64 << 10;

impl<'a> BlockReader<'a> {
    /// Reads the block that `link` names.
    #[must_use]
    pub fn new(link: &'a Link, blocks: Blocks) -> Self {
        Self { blocks, block: link, size: (blocks.size)(&link.ipld_link), at: 0 }
    }

    /// How many bytes the block has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// At most `length` bytes from `offset` on. There are fewer at the end of the block, and none beyond it.
    #[must_use]
    pub fn read_at(&self, offset: u64, length: u32) -> Vec<u8> {
        (self.blocks.read)(&self.block.ipld_link, offset, length)
    }

    /// The next piece of the block, which is empty at its end.
    pub fn next_piece(&mut self) -> Vec<u8> {
        let piece = self.read_at(self.at, PIECE);
        self.at = self.at.saturating_add(piece.len() as u64);
        piece
    }

    /// What is left of the block.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        loop {
            let piece = self.next_piece();
            if piece.is_empty() {
                return rest;
            }
            rest.extend_from_slice(&piece);
        }
    }
}

#[cfg(feature = "std")]
mod io {
    use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

    use super::{BlockReader, PIECE};

    impl Read for BlockReader<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            let length = u32::try_from(buffer.len()).unwrap_or(PIECE);
            let piece = self.read_at(self.at, length);
            // A host gives no more than it was asked for.
            let taken = piece.len().min(buffer.len());
            buffer[..taken].copy_from_slice(&piece[..taken]);
            self.at = self.at.saturating_add(taken as u64);
            Ok(taken)
        }
    }

    impl Seek for BlockReader<'_> {
        fn seek(&mut self, to: SeekFrom) -> Result<u64> {
            let at = match to {
                SeekFrom::Start(at) => Some(at),
                SeekFrom::End(offset) => self.size.checked_add_signed(offset),
                SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
            };
            self.at = at.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "there is nothing before the beginning"))?;
            Ok(self.at)
        }
    }
}
