//! Decides which files have changed and come to rest, from two snapshots and the time. Pure: it reads no file and no clock.
//!
//! A file that is being written looks like a finished one, so nothing counts before it has stayed the same for [`SETTLE`].
//! Removals wait as well: many editors save by moving the old file away first, and a connector must not stop for that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::snapshot::{Entry, Snapshot};

/// How long a file has to stay the same, or away, before the change counts. It is most of the time between dropping a plugin
/// and its first record, so it is as short as writers that pause between two writes allow; a pause that is longer
/// costs a refused file that is looked at again when it changes.
pub const SETTLE: Duration = Duration::from_millis(50);

/// A file whose last change is this old counts at first sight, so that a start does not wait for [`SETTLE`]. It is much
/// longer than `SETTLE`, because the file's times may come from another machine's clock.
pub const AT_REST: Duration = Duration::from_secs(10);

/// The time, by the clock that never goes back and by the one that files are stamped with.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations.
    pub monotonic: Instant,
    /// For comparing with the times of files.
    pub wall: SystemTime,
}

impl Now {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }
}

/// Changes that have been seen and are not at rest yet.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    waiting: BTreeMap<PathBuf, Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    /// The file as it was last seen; `None` if it was away.
    state: Option<Entry>,
    /// Since when it has been seen like that.
    since: Instant,
}

/// A change that has come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub path: PathBuf,
    /// What was settled before; `None` if nothing was.
    pub before: Option<Entry>,
    /// What it is now; `None` if it is gone.
    pub after: Option<Entry>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The changes at rest, by path. They come again from each comparison until `settled` reflects them.
    pub differences: Vec<Difference>,
    /// To be handed to the next comparison.
    pub pending: Pending,
    /// When the first of the waiting changes can be at rest: the next scan is due then.
    pub due: Option<Instant>,
}

/// Compares what is settled with what a scan has just found.
#[must_use]
pub fn diff(settled: &Snapshot, current: &Snapshot, pending: &Pending, now: Now) -> Outcome {
    let mut outcome = Outcome::default();
    let paths: BTreeSet<_> = settled.entries.keys().chain(current.entries.keys()).collect();
    for path in paths {
        let (before, after) = (settled.entries.get(path), current.entries.get(path));
        if before == after {
            continue;
        }
        let known = pending.waiting.get(path).filter(|waiting| waiting.state.as_ref() == after);
        let since = known.map_or(now.monotonic, |waiting| waiting.since);
        outcome.pending.waiting.insert(path.clone(), Waiting { state: after.cloned(), since });

        let at_rest_at = since + SETTLE;
        // A signature that goes away is a removal, of which no time of the file tells.
        let has_lost = before.is_some_and(|entry| entry.signature.is_some())
            && after.is_some_and(|entry| entry.signature.is_none());
        let is_old = !has_lost && after.is_some_and(|entry| is_old(entry, now.wall));
        if at_rest_at <= now.monotonic || is_old {
            let difference = Difference { path: path.clone(), before: before.cloned(), after: after.cloned() };
            outcome.differences.push(difference);
        } else {
            outcome.due = Some(outcome.due.map_or(at_rest_at, |due| due.min(at_rest_at)));
        }
    }
    outcome
}

/// Whether the last change to a file, or to its signature, is longer ago than [`AT_REST`]. Times in the future say nothing.
fn is_old(entry: &Entry, wall: SystemTime) -> bool {
    let Ok(wall) = wall.duration_since(UNIX_EPOCH) else { return false };
    let limit = i128::try_from(wall.saturating_sub(AT_REST).as_nanos());
    let mut fingerprints = [Some(entry.fingerprint), entry.signature].into_iter().flatten();
    limit.is_ok_and(|limit| fingerprints.all(|fingerprint| fingerprint.ctime.max(fingerprint.mtime) <= limit))
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
