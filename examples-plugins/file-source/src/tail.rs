//! One file that is followed: where it stands, and how its next lines are read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use sandbar_plugin::SourceBatch;
use sandbar_plugin::host::{log, metric};

use crate::identity::{FileId, Fingerprint, Stat};
use crate::piece::Piece;
use crate::place::Place;
use crate::{Key, LineLimits, PIECE_BYTES};

/// How far back from the end of a file the beginning of its last line is looked for: there may be many files at once.
const LOOK_BACK_BYTES: u64 = 64 << 10;

/// A file that is followed.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Where it is now, or was last: its source partition.
    pub(crate) path: PathBuf,
    pub(crate) id: FileId,
    /// It is read to its end once more and then let go: its name is not wanted any more.
    pub(crate) retired: bool,
    /// It has no name any more; only the handle leads to it.
    pub(crate) gone: bool,
    /// The file that had this path before; its lines come first.
    pub(crate) after: Option<FileId>,
    /// The stored place is not the present one.
    pub(crate) moved: bool,
    /// Everything up to here has been read; what may follow is a line without an end yet.
    read_to: Option<u64>,
    /// When it was last found to have grown, from the start of the source.
    pub(crate) grew: Duration,
    /// Its size and time of change when it was last looked at.
    size: u64,
    modified: (i64, i64),
    /// Either has changed since the contents were last compared.
    touched: bool,
    position: u64,
    fingerprint: Fingerprint,
    skip: bool,
    handle: Option<File>,
}

impl Tail {
    /// A file that is read from its beginning.
    pub(crate) fn new(path: PathBuf, stat: &Stat, retired: bool, now: Duration) -> Self {
        Self {
            path,
            id: stat.id.clone(),
            retired,
            gone: false,
            after: None,
            moved: true,
            read_to: None,
            grew: now,
            size: stat.size,
            modified: stat.modified,
            touched: false,
            position: 0,
            fingerprint: Fingerprint::default(),
            skip: false,
            handle: None,
        }
    }

    /// Goes on where an earlier task stood, if it is still the same file; if not, it is read from its beginning.
    pub(crate) fn resume(&mut self, place: &Place) -> io::Result<()> {
        let fingerprint = Fingerprint::read(self.open()?, place.position)?;
        let is_another = place.fingerprint.as_ref().is_some_and(|known| *known != fingerprint.text());
        if self.size < place.position || is_another {
            log::warn(format!("\"{}\" is not the file it was, reading it from its beginning", self.path.display()));
            return Ok(());
        }
        (self.position, self.skip, self.fingerprint) = (place.position, place.skip, fingerprint);
        Ok(())
    }

    /// Skips what is there, save for a last line that has no end yet, unless that is a long one.
    pub(crate) fn start_at_end(&mut self) -> io::Result<()> {
        let size = self.size;
        let back = size.min(LOOK_BACK_BYTES);
        let file = self.open()?;
        file.seek(SeekFrom::Start(size - back))?;
        let mut last = Vec::new();
        file.take(back).read_to_end(&mut last)?;
        let line = memchr::memrchr(b'\n', &last).map_or(if back == size { 0 } else { last.len() }, |at| at + 1);
        let position = size - back + line as u64;
        self.fingerprint = Fingerprint::read(self.open()?, position)?;
        self.position = position;
        self.skip = line == last.len() && back < size && last.last() != Some(&b'\n');
        Ok(())
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            position: self.position,
            inode: Some(self.id.clone()),
            fingerprint: Some(self.fingerprint.text()),
            skip: self.skip,
        }
    }

    /// Whether there was nothing more when it was last looked at.
    pub(crate) fn is_at_end(&self) -> bool {
        self.size == self.position || self.read_to == Some(self.size)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    /// Gives the handle back. What has a name can be opened again.
    pub(crate) fn release(&mut self) {
        self.handle = None;
    }

    /// Looks whether it has grown, shrunk or been replaced. `false`: it has other contents, and is read anew.
    pub(crate) fn look(&mut self, now: Duration) -> io::Result<bool> {
        let was_at_end = self.is_at_end();
        if let Some(handle) = &self.handle {
            self.seen(&Stat::of_file(handle)?);
        }
        if self.size < self.position {
            self.start_over("is shorter than what has been read of it");
            return Ok(false);
        }
        let touched = std::mem::take(&mut self.touched);
        if !self.is_at_end() {
            self.grew = now;
        }
        // Emptied and written anew, it may be as long as it was, or longer.
        if touched && was_at_end && self.position > 0 {
            let position = self.position;
            if Fingerprint::read(self.open()?, position)? != self.fingerprint {
                self.start_over("begins otherwise than it did");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes note of how the file is now.
    pub(crate) fn seen(&mut self, stat: &Stat) {
        self.touched |= (stat.size, stat.modified) != (self.size, self.modified);
        (self.size, self.modified) = (stat.size, stat.modified);
    }

    /// Emits lines from one piece of the file, as many as fit. Returns how many bytes that took.
    pub(crate) fn read(&mut self, limits: &LineLimits, piece: &mut Piece, out: &mut SourceBatch) -> io::Result<u64> {
        let (position, left) = (self.position, self.size - self.position);
        let id = self.id.clone();
        if piece.lines(&id, position).is_none() {
            piece.fill(&id, self.open()?, position, left.min(PIECE_BYTES))?;
            // A line may be longer than that; in the longer piece it ends, or is too long.
            if !self.skip && piece.end() < self.size && piece.lines(&id, position).is_none() {
                piece.fill(&id, self.open()?, position, left.min(limits.long_piece_bytes()))?;
            }
        }
        let bytes = piece.lines(&id, position).unwrap_or(piece.bytes());
        let consumed = self.emit_lines(limits, bytes, out);
        self.fingerprint.extend(position, bytes.get(..consumed).unwrap_or(bytes));
        self.position += consumed as u64;
        self.moved |= consumed > 0;
        self.read_to = (!out.is_full() && piece.end() == self.size).then_some(piece.end());
        Ok(bytes.len() as u64)
    }

    /// Whether a piece still has lines of it that are not emitted.
    pub(crate) fn has_lines_in(&self, piece: &Piece) -> bool {
        piece.lines(&self.id, self.position).is_some()
    }

    /// Emits the lines that are complete, or too long to wait for. Returns how many bytes they take.
    fn emit_lines(&mut self, limits: &LineLimits, buffer: &[u8], out: &mut SourceBatch) -> usize {
        let mut at = 0;
        while at < buffer.len() && !out.is_full() {
            let rest = &buffer[at..];
            match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    if !self.skip {
                        self.emit(&rest[..end], limits, out);
                    }
                    self.skip = false;
                    at += end + 1;
                }
                None if self.skip => at = buffer.len(),
                None if rest.len() > limits.max_bytes => {
                    self.emit(rest, limits, out);
                    self.skip = true;
                    at = buffer.len();
                }
                None => break,
            }
        }
        at
    }

    fn emit(&self, line: &[u8], limits: &LineLimits, out: &mut SourceBatch) {
        let whole = line.strip_suffix(b"\r").unwrap_or(line);
        let line = whole.get(..limits.max_bytes).unwrap_or(whole);
        let name = match limits.key {
            Key::None => None,
            Key::File => self.path.file_name().and_then(|name| name.to_str()).map(str::as_bytes),
        };
        let path = self.path.to_str().map(str::as_bytes);
        let mut record = out.record(name, Some(line));
        record.header("file.path", path);
        if line.len() < whole.len() {
            record.header("truncated", Some(b"true"));
            metric::counter("lines_truncated_total", 1.0);
        }
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.handle.is_none() {
            let file = File::open(&self.path)?;
            if Stat::of_file(&file)?.id != self.id {
                return Err(io::Error::new(io::ErrorKind::NotFound, "it has been replaced"));
            }
            self.handle = Some(file);
        }
        self.handle.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn start_over(&mut self, why: &str) {
        log::warn(format!("\"{}\" {why}, reading it from its beginning", self.path.display()));
        self.position = 0;
        self.fingerprint = Fingerprint::default();
        self.skip = false;
        self.read_to = None;
        self.moved = true;
    }
}
