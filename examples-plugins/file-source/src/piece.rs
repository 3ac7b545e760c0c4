//! The piece of a file that was read last, kept from one poll to the next: a poll often takes fewer lines than it holds.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::identity::FileId;

/// Consecutive bytes of one file. There is one piece for all files, so memory does not grow with their number.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    of: Option<FileId>,
    start: u64,
    bytes: Vec<u8>,
}

impl Piece {
    /// What it holds of a file from a position on, if that has the end of a line in it.
    pub(crate) fn lines(&self, of: &FileId, position: u64) -> Option<&[u8]> {
        let from = usize::try_from(position.checked_sub(self.start)?).ok()?;
        let rest = self.bytes.get(from..).filter(|_| self.of.as_ref() == Some(of))?;
        memchr::memchr(b'\n', rest).is_some().then_some(rest)
    }

    /// Reads up to `len` bytes from a position on.
    pub(crate) fn fill(&mut self, of: &FileId, file: &mut File, position: u64, len: u64) -> io::Result<()> {
        self.forget();
        file.seek(SeekFrom::Start(position))?;
        file.take(len).read_to_end(&mut self.bytes)?;
        (self.of, self.start) = (Some(of.clone()), position);
        Ok(())
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The position behind it.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Drops what it holds and keeps the memory.
    pub(crate) fn forget(&mut self) {
        self.of = None;
        self.bytes.clear();
    }
}
