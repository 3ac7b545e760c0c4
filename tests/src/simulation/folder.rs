//! A plugin folder that is nowhere but in memory, and tells each host what changes in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use sandbar::digest::Digest;
use sandbar::discovery::{Change, Changes, FileKind, FoundFile};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::faults::Fates;

/// The longest a host takes to see a change, in milliseconds.
const NOTICE_MS: u64 = 80;

type Files = BTreeMap<PathBuf, FoundFile>;

/// See the module.
#[derive(Default)]
pub(super) struct Folder(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    files: Files,
    /// Who is told of changes, in this order. A channel would wake them in an order of its own choice.
    bells: Vec<Arc<Notify>>,
}

impl Folder {
    /// Puts a definition there, or another one in its place.
    pub(super) fn define(&self, name: &str, content: Arc<[u8]>) {
        self.put(FoundFile::in_memory(PathBuf::from(name), FileKind::Definition, content, None));
    }

    /// Puts a file there, or another one in its place.
    pub(super) fn put(&self, file: FoundFile) {
        self.change(|files| drop(files.insert(file.path.clone(), file)));
    }

    /// Takes a file away.
    pub(super) fn remove(&self, path: &Path) {
        self.change(|files| drop(files.remove(path)));
    }

    fn change(&self, change: impl FnOnce(&mut Files)) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shared.files);
        shared.bells.iter().for_each(|bell| bell.notify_one());
    }

    /// Follows the folder from its beginning on, as a host does that has just started.
    pub(super) fn follow(&self, fates: Arc<Fates>) -> Follower {
        let bell = Arc::new(Notify::new());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bells.push(Arc::clone(&bell));
        Follower { folder: Arc::clone(&self.0), bell, known: BTreeMap::new(), fates, is_first: true }
    }
}

/// What one host knows of a folder.
pub(super) struct Follower {
    folder: Arc<Mutex<Shared>>,
    bell: Arc<Notify>,
    known: BTreeMap<PathBuf, Digest>,
    fates: Arc<Fates>,
    is_first: bool,
}

impl Follower {
    /// What is different from what was told.
    fn compare(&mut self) -> Vec<Change> {
        let files = self.folder.lock().unwrap_or_else(PoisonError::into_inner).files.clone();
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
        for (path, file) in files {
            match self.known.insert(path, file.sha256) {
                Some(known) if known == file.sha256 => {}
                Some(_) => found.push((file.kind, Change::Modified(file))),
                None => found.push((file.kind, Change::Appeared(file))),
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
            if !self.is_first {
                self.bell.notified().await;
            }
            // It is rung again, so that nothing is lost if this is dropped before it has compared.
            self.bell.notify_one();
            sleep(Duration::from_millis(self.fates.among(0..NOTICE_MS))).await;
            let changes = self.compare();
            // All that rang up to here is answered.
            let _ = self.bell.notified().now_or_never();
            if !changes.is_empty() || self.is_first {
                self.is_first = false;
                return changes;
            }
        }
    }

    fn doubt(&mut self, path: &Path) {
        self.known.remove(path);
        self.bell.notify_one();
    }
}
