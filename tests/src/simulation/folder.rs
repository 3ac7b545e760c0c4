//! A plugin folder that is nowhere but in memory, and tells each host what changes in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandbar::digest::Digest;
use sandbar::discovery::{Change, Changes, FileKind, FoundFile};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::faults::Fates;

/// The longest a host takes to see a change, in milliseconds.
const NOTICE_MS: u64 = 80;

type Files = BTreeMap<PathBuf, Arc<[u8]>>;

/// See the module.
pub(super) struct Folder {
    files: watch::Sender<Files>,
}

impl Folder {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { files: watch::channel(Files::new()).0 }
    }

    /// Puts a file there, or another one in its place.
    pub(super) fn put(&self, name: &str, content: Arc<[u8]>) {
        self.files.send_modify(|files| drop(files.insert(PathBuf::from(name), content)));
    }

    /// Takes a file away.
    pub(super) fn remove(&self, name: &str) {
        self.files.send_modify(|files| drop(files.remove(Path::new(name))));
    }

    /// Follows the folder from its beginning on, as a host does that has just started.
    pub(super) fn follow(&self, fates: Arc<Fates>) -> Follower {
        Follower { files: self.files.subscribe(), known: BTreeMap::new(), fates, is_first: true }
    }
}

/// What one host knows of a folder.
pub(super) struct Follower {
    files: watch::Receiver<Files>,
    known: BTreeMap<PathBuf, Digest>,
    fates: Arc<Fates>,
    is_first: bool,
}

impl Follower {
    /// What is different from what was told.
    fn compare(&mut self) -> Vec<Change> {
        let files = self.files.borrow_and_update().clone();
        let gone = |path: &&PathBuf| !files.contains_key(*path);
        let gone: Vec<PathBuf> = self.known.keys().filter(gone).cloned().collect();
        let mut changes = Vec::new();
        for path in gone {
            self.known.remove(&path);
            if let Some(kind) = FileKind::of(&path) {
                changes.push(Change::Removed { path, kind });
            }
        }
        let mut found = Vec::new();
        for (path, content) in files {
            let Some(kind) = FileKind::of(&path) else { continue };
            let file = FoundFile::in_memory(path.clone(), kind, content);
            match self.known.insert(path, file.sha256) {
                Some(known) if known == file.sha256 => {}
                Some(_) => found.push((kind, Change::Modified(file))),
                None => found.push((kind, Change::Appeared(file))),
            }
        }
        found.sort_by_key(|(kind, _)| *kind);
        changes.extend(found.into_iter().map(|(_, change)| change));
        changes
    }
}

impl Changes for Follower {
    async fn next(&mut self) -> Vec<Change> {
        loop {
            if !self.is_first && self.files.changed().await.is_err() {
                std::future::pending().await
            }
            self.files.mark_changed();
            sleep(Duration::from_millis(self.fates.among(0..NOTICE_MS))).await;
            let changes = self.compare();
            if !changes.is_empty() || self.is_first {
                self.is_first = false;
                return changes;
            }
        }
    }

    fn doubt(&mut self, path: &Path) {
        self.known.remove(path);
        self.files.mark_changed();
    }
}
