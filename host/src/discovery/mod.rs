//! Finds what is in the watched folder: the snapshot is the truth, file events are only a hint.
//!
//! `watch` says when to look, `scan` looks, `diff` decides what has come to rest, `change` lets the content have the last
//! word. Nothing here knows what a plugin or a definition means.

mod change;
mod content;
pub mod diff;
mod problem;
pub mod scan;
pub mod snapshot;
pub mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

pub use change::{Change, FoundFile};
pub use content::ReadError;
pub use problem::{FolderError, ScanProblem};
pub use snapshot::{FileKind, MAX_PLUGIN_BYTES};

use change::{Content, Ledger};
use diff::{Difference, Now, Pending, SETTLE};
use watch::Watcher;

/// How long the first answer waits for files that do not come to rest, so that one that grows for ever keeps nobody waiting.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// What tells changes: a folder that is followed, or what a simulation makes up.
pub trait Changes: Send {
    /// Waits for the next changes. The first call returns once all is known that is there, even if that is nothing, so that
    /// the caller knows when it has seen everything; later calls return at least one. New and modified plugins come before
    /// definitions.
    ///
    /// It may be dropped at any point and called again: a change counts as told only when it has been returned.
    fn next(&mut self) -> impl Future<Output = Vec<Change>> + Send;

    /// Takes note that a file could not be read as it was told, because it has moved on meanwhile: what it holds once it has
    /// come to rest is told again, even if that is what was told before.
    fn doubt(&mut self, path: &Path);
}

/// Follows one folder and tells what changes in it.
#[derive(Debug)]
pub struct Discovery {
    folder: PathBuf,
    watcher: Watcher,
    ledger: Ledger,
    pending: Pending,
    /// When the first waiting change can be at rest.
    due: Option<Instant>,
    /// A scan has to follow: survives a `next` that is dropped half-way.
    owed: bool,
    /// Why the folder cannot be read, as it was last told.
    lost: Option<FolderError>,
    /// What there is, until it was told.
    first: Option<First>,
}

/// What was there at the start, as it comes to rest.
#[derive(Debug, Default)]
struct First {
    changes: Vec<Change>,
    /// When it is told in any case.
    until: Option<Instant>,
}

impl First {
    /// In the order of one scan.
    fn told(mut self) -> Vec<Change> {
        self.changes.sort_by_key(Change::is_of_definition);
        self.changes
    }
}

impl Discovery {
    /// Follows a folder, which need not exist yet. It is scanned at least once per `interval` (`scan.interval.ms`).
    pub fn new(folder: &Path, interval: Duration) -> io::Result<Self> {
        Ok(Self {
            folder: std::path::absolute(folder)?,
            watcher: Watcher::new(folder, interval)?,
            ledger: Ledger::default(),
            pending: Pending::default(),
            due: None,
            owed: false,
            lost: None,
            first: Some(First::default()),
        })
    }

    async fn wait(&mut self) {
        let due = self.due;
        let at_rest = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.watcher.changed() => {}
            () = at_rest => {}
        }
    }

    /// Scans once. State that counts changes only after the last point at which the future can be dropped.
    async fn rescan(&mut self) -> Vec<Change> {
        let folder = self.folder.clone();
        let snapshot = match blocking(move || scan::scan(&folder)).await {
            Ok(Ok(snapshot)) => snapshot,
            Ok(Err(error)) => return self.lose(error),
            Err(error) => return self.lose(FolderError::of(self.folder.clone(), &error)),
        };
        let outcome = diff::diff(self.ledger.settled(), &snapshot, &self.pending, Now::read());
        self.pending = outcome.pending;
        self.due = outcome.due.map(Instant::from_std);

        let mut contents = Vec::new();
        if !outcome.differences.is_empty() {
            match blocking(move || look_into(outcome.differences)).await {
                Ok(looked) => contents = looked,
                Err(error) => return self.lose(FolderError::of(self.folder.clone(), &error)),
            }
        }
        let mut changes = Vec::new();
        changes.extend(self.lost.take().map(|_| Change::FolderFound));
        for (path, content) in contents {
            changes.extend(self.note(path, content));
        }
        changes
    }

    fn note(&mut self, path: PathBuf, content: Content) -> Option<Change> {
        match content {
            Content::Gone => self.ledger.removed(path),
            Content::Read(entry, digest) => self.ledger.accepted(path, entry, digest),
            Content::Refused(entry, problem) => self.ledger.refused(path, entry, problem),
            Content::Moving => {
                let again = Instant::now() + SETTLE;
                self.due = Some(self.due.map_or(again, |due| due.min(again)));
                None
            }
        }
    }

    /// Takes note that the folder cannot be read. What waited to come to rest has to be seen again before it counts.
    fn lose(&mut self, error: FolderError) -> Vec<Change> {
        self.pending = Pending::default();
        self.due = None;
        if self.lost.as_ref() == Some(&error) {
            return Vec::new();
        }
        self.lost = Some(error.clone());
        vec![Change::FolderLost(error)]
    }
}

impl Changes for Discovery {
    async fn next(&mut self) -> Vec<Change> {
        loop {
            if !self.owed {
                self.wait().await;
                self.owed = true;
            }
            let changes = self.rescan().await;
            self.owed = false;
            let Some(mut first) = self.first.take() else {
                if changes.is_empty() {
                    continue;
                }
                return changes;
            };
            first.changes.extend(changes);
            let now = Instant::now();
            if self.due.is_none() || now >= *first.until.get_or_insert(now + FIRST_WITHIN) {
                return first.told();
            }
            self.first = Some(first);
        }
    }

    fn doubt(&mut self, path: &Path) {
        self.ledger.doubt(path);
        let again = Instant::now() + SETTLE;
        self.due = Some(self.due.map_or(again, |due| due.min(again)));
    }
}

/// Reads what has come to rest, plugins before definitions.
fn look_into(mut differences: Vec<Difference>) -> Vec<(PathBuf, Content)> {
    differences.sort_by_key(|difference| FileKind::of(&difference.path));
    differences
        .into_iter()
        .map(|difference| {
            let content = Content::of(&difference);
            (difference.path, content)
        })
        .collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
