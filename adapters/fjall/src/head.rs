//! `HEAD`: up to where the log is durable, kept outside the database so that the database cannot lose it silently.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::record::Head;

const MAGIC: &[u8; 8] = b"ipvmHEAD";
/// Magic, generation, head, checkpoint, and the sha2-256 of all these.
const SLOT: usize = 8 + 8 + 40 + 40 + 32;
/// Slots are on pages of their own, so that a write that is cut off spoils one of them only.
const PAGE: usize = 4096;

/// What `HEAD` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Every record up to here was synced.
    pub(crate) head: Head,
    /// Every record up to here was in synced tables, and out of reach of a damaged journal.
    pub(crate) checkpoint: Head,
}

/// The open file. The whole slot of the higher generation counts. Writes go to the same slot until that is synced, and then to the
/// other one: whatever becomes of a slot that was not synced, the other is whole.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    generation: u64,
    /// Where the slot is that is written.
    at: usize,
    /// Whether it was written and not synced.
    dirty: bool,
}

impl HeadFile {
    /// The bytes of a new file.
    pub(crate) fn initial() -> Vec<u8> {
        let mut bytes = vec![0; 2 * PAGE];
        for (to, from) in bytes.iter_mut().zip(encode(0, &Claim::default())) {
            *to = from;
        }
        bytes
    }

    /// Opens the file and reads the claim; `None` where neither slot is whole.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Option<Claim>)> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(2 * PAGE as u64).read_to_end(&mut bytes)?;
        let slots = [0, PAGE].into_iter().filter_map(|at| decode(bytes.get(at..at + SLOT)?).map(|slot| (at, slot)));
        let newest = slots.max_by_key(|(_, (generation, _))| *generation);
        let (at, generation) = newest.map_or((0, 0), |(at, (generation, _))| (at, generation));
        // Whoever wrote it may have died before it was synced.
        Ok((Self { file, generation, at, dirty: true }, newest.map(|(_, (_, claim))| claim)))
    }

    /// A file that cannot be written, to see what happens then.
    #[cfg(test)]
    pub(crate) fn read_only(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, generation: 0, at: 0, dirty: false })
    }

    /// Replaces the claim: a crash of the process does not lose it. It is durable once it is [synced](Self::sync).
    pub(crate) fn write(&mut self, claim: &Claim) -> io::Result<()> {
        let generation = self.generation.saturating_add(1);
        self.file.seek(SeekFrom::Start(self.at as u64))?;
        self.dirty = true;
        self.file.write_all(&encode(generation, claim))?;
        self.generation = generation;
        Ok(())
    }

    /// Makes the claim durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            // The length never changes, so that syncing the data is enough.
            self.file.sync_data()?;
            (self.at, self.dirty) = (PAGE - self.at, false);
        }
        Ok(())
    }

    /// Whether the claim is not durable yet.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }
}

fn encode(generation: u64, claim: &Claim) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT);
    slot.extend(MAGIC);
    slot.extend(generation.to_be_bytes());
    for head in [&claim.head, &claim.checkpoint] {
        slot.extend(head.sequence.to_be_bytes());
        slot.extend(head.hash);
    }
    let sum = Sha256::digest(&slot);
    slot.extend(sum);
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Claim)> {
    let (content, sum) = slot.split_last_chunk::<32>()?;
    if Sha256::digest(content).as_slice() != sum {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let generation = take_number(&mut rest)?;
    let head = take_head(&mut rest)?;
    let checkpoint = take_head(&mut rest)?;
    rest.is_empty().then_some((generation, Claim { head, checkpoint }))
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_be_bytes(*bytes))
}

fn take_head(rest: &mut &[u8]) -> Option<Head> {
    let sequence = take_number(rest)?;
    let (hash, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(Head { sequence, hash: *hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(sequence: u64) -> Claim {
        let head = Head { sequence, hash: [7; 32] };
        Claim { head, checkpoint: Head::default() }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("HEAD");
        std::fs::write(&path, HeadFile::initial()).unwrap();
        let (mut file, first) = HeadFile::open(&path).unwrap();
        assert_eq!(first, Some(Claim::default()));
        file.sync().unwrap();
        for sequence in 1..8 {
            file.write(&claim(sequence)).unwrap();
            assert_eq!(HeadFile::open(&path).unwrap().1, Some(claim(sequence)));
            if sequence == 4 {
                file.sync().unwrap();
            }
        }
        // What was written since the sync is in one slot: without it what was synced is left, without both nothing.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[50] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(HeadFile::open(&path).unwrap().1, Some(claim(4)));
        bytes[PAGE + 3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(HeadFile::open(&path).unwrap().1, None);
    }
}
