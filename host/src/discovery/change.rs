//! Turns settled differences into the changes that others act on: the content has the last word, not the file's times.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{self, ReadError};
use super::diff::Difference;
use super::problem::{FolderError, ScanProblem};
use super::snapshot::{Entry, FileKind, Fingerprint, Snapshot};
use crate::digest::Digest;

/// Something that happened in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is a new file.
    Appeared(FoundFile),
    /// A file that had appeared has other content or another signature, or had a problem and has none any more.
    Modified(FoundFile),
    /// A file is gone, one with a problem included.
    Removed {
        /// The file.
        path: PathBuf,
        /// What it was for.
        kind: FileKind,
    },
    /// A file cannot be used. If it could before, what was made of it stays in force until it is modified or removed.
    Problem {
        /// The file.
        path: PathBuf,
        /// What it is for.
        kind: FileKind,
        /// Why.
        problem: ScanProblem,
    },
    /// The folder itself cannot be read. Nothing is known of its files, and nothing counts as removed.
    FolderLost(FolderError),
    /// The folder can be read again. What changed meanwhile follows.
    FolderFound,
}

impl Change {
    /// Whether it tells of a definition that is there.
    pub(super) fn is_of_definition(&self) -> bool {
        matches!(self, Self::Appeared(file) | Self::Modified(file) if file.kind == FileKind::Definition)
    }
}

/// A file that has come to rest, by name and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is for.
    pub kind: FileKind,
    /// Its content.
    pub sha256: Digest,
    content: Held,
}

/// Where the content of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// In the folder, under the file's path.
    Folder { fingerprint: Fingerprint, signature: Option<Fingerprint> },
    /// Here.
    Memory { content: Arc<[u8]>, signature: Option<Arc<[u8]>> },
}

impl FoundFile {
    /// A file that is nowhere but here, for who has no folder, and its signature.
    #[must_use]
    pub fn in_memory(path: PathBuf, kind: FileKind, content: Arc<[u8]>, signature: Option<Arc<[u8]>>) -> Self {
        Self { path, kind, sha256: Digest::of(&content), content: Held::Memory { content, signature } }
    }

    /// How long it is, in bytes; at most [`FileKind::max_bytes`].
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.content {
            Held::Folder { fingerprint, .. } => fingerprint.len,
            Held::Memory { content, .. } => content.len() as u64,
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads it, making sure that it is still what was found. Blocks.
    pub fn read(&self) -> Result<Vec<u8>, ReadError> {
        match &self.content {
            Held::Folder { fingerprint, .. } => content::read(&self.path, fingerprint),
            Held::Memory { content, .. } => Ok(content.to_vec()),
        }
    }

    /// Reads its signature, if it was found with one, as [`read`](Self::read) does. Blocks.
    pub fn read_signature(&self) -> Result<Option<Vec<u8>>, ReadError> {
        let fingerprint = match &self.content {
            Held::Folder { signature, .. } => signature.as_ref(),
            Held::Memory { signature, .. } => return Ok(signature.as_deref().map(<[u8]>::to_vec)),
        };
        let Some(fingerprint) = fingerprint else { return Ok(None) };
        let Some(path) = self.kind.signature(&self.path) else {
            return Ok(None);
        };
        content::read(&path, fingerprint).map(Some)
    }
}

/// What has been made known of the folder so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    settled: Snapshot,
    /// The content of every file that has appeared and was not removed since.
    announced: BTreeMap<PathBuf, Digests>,
}

impl Ledger {
    /// The files as they were last accepted.
    pub(super) fn settled(&self) -> &Snapshot {
        &self.settled
    }

    /// Takes note that what was told of a file could not be used, because the file has moved on. It has to be told again
    /// whatever it holds by now: the content it had before may be back, and nobody has seen it.
    pub(super) fn doubt(&mut self, path: &Path) {
        if let Some(entry) = self.settled.entries.get_mut(path) {
            // No file has this, so the next comparison finds a difference.
            entry.fingerprint = Fingerprint::default();
            self.announced.remove(path);
        }
    }

    /// Takes note of a file that is gone.
    pub(super) fn removed(&mut self, path: PathBuf) -> Option<Change> {
        self.announced.remove(&path);
        let kind = self.settled.entries.remove(&path)?.kind;
        Some(Change::Removed { path, kind })
    }

    /// Takes note of a file that cannot be used. The same problem is told once.
    pub(super) fn refused(&mut self, path: PathBuf, entry: Entry, problem: ScanProblem) -> Option<Change> {
        let kind = entry.kind;
        let entry = Entry { problem: Some(problem.clone()), ..entry };
        let before = self.settled.entries.insert(path.clone(), entry);
        let is_news = before.and_then(|entry| entry.problem).as_ref() != Some(&problem);
        is_news.then_some(Change::Problem { path, kind, problem })
    }

    /// Takes note of a file that can be used. What has the content it had before is no news.
    pub(super) fn accepted(&mut self, path: PathBuf, entry: Entry, digests: Digests) -> Option<Change> {
        let Entry { kind, fingerprint, signature, .. } = entry;
        let content = Held::Folder { fingerprint, signature };
        let file = FoundFile { path: path.clone(), kind, sha256: digests.file, content };
        let had_problem = self.settled.entries.insert(path.clone(), entry).is_some_and(|entry| entry.problem.is_some());
        match self.announced.insert(path, digests) {
            None => Some(Change::Appeared(file)),
            Some(known) if known != digests || had_problem => Some(Change::Modified(file)),
            Some(_) => None,
        }
    }
}

/// The content of a file and that of its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    file: Digest,
    signature: Option<Digest>,
}

/// What the content of a settled difference says.
#[derive(Debug)]
pub(super) enum Content {
    /// The file is gone.
    Gone,
    /// It is there and can be read.
    Read(Entry, Digests),
    /// It is there but cannot be used.
    Refused(Entry, ScanProblem),
    /// It changed while it was being read: it is not at rest after all.
    Moving,
}

impl Content {
    /// Looks into the file. Blocks.
    pub(super) fn of(difference: &Difference) -> Self {
        match difference.after.clone() {
            None => Self::Gone,
            Some(Entry { problem: Some(problem), kind, fingerprint, signature }) => {
                Self::Refused(Entry { problem: None, kind, fingerprint, signature }, problem)
            }
            Some(entry) => Self::look(&difference.path, entry),
        }
    }

    fn look(path: &Path, entry: Entry) -> Self {
        let unreadable = |error: &io::Error| ScanProblem::Unreadable { message: error.to_string() };
        let file = match content::digest(path, &entry.fingerprint) {
            Ok(digest) => digest,
            Err(ReadError::Changed) => return Self::Moving,
            Err(ReadError::Io(error)) => return Self::Refused(entry, unreadable(&error)),
        };
        let (Some(fingerprint), Some(beside)) = (&entry.signature, entry.kind.signature(path)) else {
            return Self::Read(entry, Digests { file, signature: None });
        };
        match content::digest(&beside, fingerprint) {
            Ok(signature) => Self::Read(entry, Digests { file, signature: Some(signature) }),
            Err(ReadError::Changed) => Self::Moving,
            Err(ReadError::Io(error)) => {
                let problem = Box::new(unreadable(&error));
                Self::Refused(entry, ScanProblem::Signature { file: beside, problem })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "a.wasm";

    fn entry(mtime: i128) -> Entry {
        let fingerprint = Fingerprint { mtime, ..Fingerprint::default() };
        Entry { kind: FileKind::Plugin, fingerprint, signature: None, problem: None }
    }

    fn digests(content: &str, signature: Option<&str>) -> Digests {
        let digest = |text: &str| Digest::of(text.as_bytes());
        Digests { file: digest(content), signature: signature.map(digest) }
    }

    #[track_caller]
    fn accept(ledger: &mut Ledger, mtime: i128, content: &str, expected: &str) {
        accept_signed(ledger, mtime, content, None, expected);
    }

    #[track_caller]
    fn accept_signed(ledger: &mut Ledger, mtime: i128, content: &str, signature: Option<&str>, expected: &str) {
        let change = ledger.accepted(PATH.into(), entry(mtime), digests(content, signature));
        let shown = match change {
            Some(Change::Appeared(file)) if file.path == Path::new(PATH) => "appeared",
            Some(Change::Modified(file)) if file.sha256 == Digest::of(content.as_bytes()) => "modified",
            None => "nothing",
            _ => "something else",
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_content_decides_what_is_a_modification() {
        let mut ledger = Ledger::default();
        accept(&mut ledger, 1, "one", "appeared");
        accept(&mut ledger, 2, "one", "nothing");
        assert_eq!(ledger.settled().entries[Path::new(PATH)], entry(2));
        accept(&mut ledger, 3, "two", "modified");
        assert_eq!(ledger.removed(PATH.into()), Some(Change::Removed { path: PATH.into(), kind: FileKind::Plugin }));
        assert_eq!(ledger.removed(PATH.into()), None);
        accept(&mut ledger, 4, "two", "appeared");
    }

    #[test]
    fn a_signature_that_comes_changes_or_goes_is_a_modification() {
        let mut ledger = Ledger::default();
        accept_signed(&mut ledger, 1, "one", None, "appeared");
        accept_signed(&mut ledger, 2, "one", Some("by a"), "modified");
        accept_signed(&mut ledger, 3, "one", Some("by a"), "nothing");
        accept_signed(&mut ledger, 4, "one", Some("by b"), "modified");
        accept_signed(&mut ledger, 5, "one", None, "modified");
    }

    #[test]
    fn what_is_doubted_is_told_again_and_its_end_as_well() {
        let mut ledger = Ledger::default();
        accept(&mut ledger, 1, "one", "appeared");
        ledger.doubt(Path::new(PATH));
        assert_ne!(ledger.settled().entries[Path::new(PATH)], entry(1));
        accept(&mut ledger, 1, "one", "appeared");
        ledger.doubt(Path::new(PATH));
        assert!(matches!(ledger.removed(PATH.into()), Some(Change::Removed { .. })));
        ledger.doubt(Path::new(PATH));
        assert_eq!(ledger.removed(PATH.into()), None);
    }

    #[test]
    fn a_problem_is_told_once_and_its_end_as_well() {
        let mut ledger = Ledger::default();
        let problem = ScanProblem::PermissionDenied;
        let told = Change::Problem { path: PATH.into(), kind: FileKind::Plugin, problem: problem.clone() };
        accept(&mut ledger, 1, "one", "appeared");
        assert_eq!(ledger.refused(PATH.into(), entry(2), problem.clone()), Some(told));
        assert_eq!(ledger.refused(PATH.into(), entry(3), problem.clone()), None);
        let other = ledger.refused(PATH.into(), entry(4), ScanProblem::NameNotUtf8);
        assert!(matches!(other, Some(Change::Problem { .. })));
        accept(&mut ledger, 5, "one", "modified");
        assert!(ledger.refused(PATH.into(), entry(6), problem).is_some());
        assert!(matches!(ledger.removed(PATH.into()), Some(Change::Removed { .. })));
    }

    #[test]
    fn a_file_whose_problem_is_solved_before_it_was_ever_used_appears() {
        let mut ledger = Ledger::default();
        assert!(ledger.refused(PATH.into(), entry(1), ScanProblem::PermissionDenied).is_some());
        accept(&mut ledger, 2, "one", "appeared");
    }
}
