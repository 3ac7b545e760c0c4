//! Says when to look at the folder again: soon after file events, and at an interval in any case.
//!
//! Events are only a hint. Network file systems send none, queues overflow, watches die with their folder; so nothing
//! depends on them but speed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// The least time between two signals, so that a large copy, which is thousands of events, costs some scans and not thousands.
/// The first event after a pause is passed on at once.
pub const DEBOUNCE: Duration = Duration::from_millis(20);

/// How often a folder that is away is looked for, if the interval is not shorter: nobody sends events for it.
const ABSENT_INTERVAL: Duration = Duration::from_millis(500);

/// Yields a signal whenever the folder should be scanned.
#[derive(Debug)]
pub struct Watcher {
    link: Arc<Link>,
    interval: Duration,
    /// A signal is due: survives a `changed` that is dropped half-way.
    owed: bool,
    last: Option<Instant>,
    next_tick: Instant,
}

impl Watcher {
    /// A watcher of one folder, which need not exist yet. It signals at least once per `interval`.
    pub fn new(folder: &Path, interval: Duration) -> io::Result<Self> {
        Self::with(folder, interval, start_events)
    }

    fn with(folder: &Path, interval: Duration, start: Start) -> io::Result<Self> {
        // Events carry absolute paths, and the folder's own have to be recognised.
        let folder = std::path::absolute(folder)?;
        let link = Link {
            folder,
            start,
            hint: Notify::new(),
            stale: AtomicBool::new(false),
            events: Mutex::new(Events { identity: None, watcher: None, complained: false }),
        };
        Ok(Self { link: Arc::new(link), interval, owed: true, last: None, next_tick: Instant::now() })
    }

    /// Waits for the next reason to scan; the first call has one. Whatever happens in the folder from its return on leads to
    /// another signal. It may be dropped at any point and called again: no signal is lost.
    pub async fn changed(&mut self) {
        if !self.owed {
            tokio::select! {
                () = self.link.hint.notified() => {}
                () = sleep_until(self.next_tick) => {}
            }
            self.owed = true;
        }
        if let Some(last) = self.last {
            sleep_until(last + DEBOUNCE).await;
        }
        // Hints that came in up to here are answered by the scan that follows.
        let _ = self.link.hint.notified().now_or_never();
        let link = Arc::clone(&self.link);
        let is_there = spawn_blocking(move || link.follow()).await.unwrap_or(false);
        let now = Instant::now();
        let pause = if is_there { self.interval } else { self.interval.min(ABSENT_INTERVAL) };
        self.last = Some(now);
        self.next_tick = now + pause;
        self.owed = false;
    }
}

/// How events are started; tests put a failing one in its place.
type Start = fn(&Arc<Link>) -> notify::Result<RecommendedWatcher>;

/// What the watcher shares with the thread that delivers events.
struct Link {
    folder: PathBuf,
    start: Start,
    hint: Notify,
    /// The watched folder itself went away, though another one may lie under its name by now, even with its inode.
    stale: AtomicBool,
    events: Mutex<Events>,
}

struct Events {
    /// Device and inode of the folder that is watched.
    identity: Option<(u64, u64)>,
    watcher: Option<RecommendedWatcher>,
    complained: bool,
}

impl Link {
    /// Makes events come from the folder that has the name now; returns whether there is one. Blocks.
    fn follow(self: &Arc<Self>) -> bool {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = fs::metadata(&self.folder).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if self.stale.swap(false, Ordering::AcqRel) || events.identity != identity {
            events.watcher = None;
            events.identity = identity;
        }
        if identity.is_some() && events.watcher.is_none() {
            match (self.start)(self) {
                Ok(watcher) => {
                    events.watcher = Some(watcher);
                    events.complained = false;
                }
                Err(error) if !events.complained => {
                    events.complained = true;
                    let folder = self.folder.display();
                    tracing::warn!(%folder, %error, "no file events, the folder is only scanned at its interval");
                }
                Err(_) => {}
            }
        }
        identity.is_some()
    }

    fn receive(&self, event: notify::Result<Event>) {
        // An error may stand for lost events, so it is a hint too.
        if let Ok(event) = event {
            if !is_change(&event) {
                return;
            }
            if is_loss_of(&self.folder, &event) {
                self.stale.store(true, Ordering::Release);
            }
        }
        self.hint.notify_one();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn start_events(link: &Arc<Link>) -> notify::Result<RecommendedWatcher> {
    let receiver = Arc::downgrade(link);
    let mut watcher = notify::recommended_watcher(move |event| {
        if let Some(link) = receiver.upgrade() {
            link.receive(event);
        }
    })?;
    watcher.watch(&link.folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Reading is no change: a scan causes such events itself and would never come to an end.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Whether the event says that the folder itself was removed or moved away.
fn is_loss_of(folder: &Path, event: &Event) -> bool {
    let is_loss = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(notify::event::ModifyKind::Name(_)));
    is_loss && event.paths.iter().any(|path| path == folder)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
