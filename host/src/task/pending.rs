//! What a task has dealt with and not committed, besides the records its session has been handed.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::plan::Pace;
use crate::broker::{Commit, Output, SourceOffset, StateChange, TopicPartition, TopicPartitionOffset};
use crate::sandbox::ENTRY_BYTES;

/// See the module.
#[derive(Default)]
pub(super) struct Pending {
    source_offsets: Vec<SourceOffset>,
    state: Vec<StateChange>,
    consumed: BTreeMap<TopicPartition, i64>,
    /// Dead letters that are not staged yet.
    letters: Vec<Output>,
    pub(super) records: usize,
    bytes: usize,
    since: Option<Instant>,
}

impl Pending {
    /// Takes note that there is something to commit.
    pub(super) fn begin(&mut self) -> &mut Self {
        self.since.get_or_insert_with(Instant::now);
        self
    }

    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// Takes what calls put in a ledger. It counts as records do: what is not committed is in memory, and a plugin may
    /// change much with each call.
    pub(super) fn absorb(&mut self, (offsets, state): (Vec<SourceOffset>, Vec<StateChange>)) {
        self.bytes += (offsets.len() + state.len()) * ENTRY_BYTES;
        self.bytes +=
            offsets.iter().map(|o| o.partition.len() + o.offset.as_ref().map_or(0, String::len)).sum::<usize>();
        self.bytes += state.iter().map(|s| s.key.len() + s.value.as_ref().map_or(0, Bytes::len)).sum::<usize>();
        self.source_offsets.extend(offsets);
        self.state.extend(state);
    }

    /// Takes note that everything before an offset is dealt with.
    pub(super) fn consumed(&mut self, partition: &TopicPartition, next_offset: i64, records: usize) {
        self.consumed.insert(partition.clone(), next_offset);
        self.records += records;
    }

    /// Takes note of records the session has been handed.
    pub(super) fn staged(&mut self, records: usize, bytes: usize) {
        self.records += records;
        self.bytes += bytes;
    }

    /// Keeps dead letters until they may be staged.
    pub(super) fn park(&mut self, letters: Vec<Output>) {
        self.letters.extend(letters);
    }

    /// The dead letters that may be staged now.
    pub(super) fn take_letters(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.letters)
    }

    /// Takes what came after it.
    pub(super) fn append(&mut self, later: Self) {
        self.source_offsets.extend(later.source_offsets);
        self.state.extend(later.state);
        self.consumed.extend(later.consumed);
        self.letters.extend(later.letters);
        self.records += later.records;
        self.bytes += later.bytes;
        self.since = self.since.or(later.since);
    }

    /// How long until this, and what came after it, is to be committed; zero where it is due.
    pub(super) fn due_in(&self, later: &Self, pace: &Pace, now: Instant) -> Option<Duration> {
        let since = self.since.or(later.since)?;
        if self.records + later.records >= pace.commit_records || self.bytes + later.bytes >= pace.commit_bytes {
            return Some(Duration::ZERO);
        }
        Some((since + pace.commit_interval).saturating_duration_since(now))
    }

    /// What a commit is told.
    pub(super) fn into_commit(self) -> Commit {
        let consumed = self.consumed.into_iter().map(|(partition, offset)| TopicPartitionOffset { partition, offset });
        Commit { source_offsets: self.source_offsets, state: last_changes(self.state), consumed: consumed.collect() }
    }
}

/// The last change of each key: what a commit overwrites itself is work for the broker, and nothing else.
fn last_changes(changes: Vec<StateChange>) -> Vec<StateChange> {
    let mut seen = HashSet::new();
    let mut last: Vec<_> =
        changes.into_iter().rev().filter(|change| seen.insert((change.scope.clone(), change.key.clone()))).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    //! A commit holds one change of each key, and is due when there is much of anything.

    use super::*;
    use crate::broker::{StatePlace, StateScope};

    fn change(stage: &str, key: &'static str, value: Option<&'static str>) -> StateChange {
        StateChange {
            scope: StateScope { stage: stage.into(), place: StatePlace::Task },
            key: Bytes::from(key),
            value: value.map(Bytes::from),
        }
    }

    #[test]
    fn the_last_change_of_a_key_counts() {
        let mut pending = Pending::default();
        let changes = vec![
            change("", "a", Some("1")),
            change("", "b", Some("1")),
            change("upper", "a", Some("1")),
            change("", "a", Some("2")),
            change("", "b", None),
        ];
        pending.absorb((Vec::new(), changes));
        let last = [change("upper", "a", Some("1")), change("", "a", Some("2")), change("", "b", None)];
        assert_eq!(pending.into_commit().state, last);
    }

    #[test]
    fn small_entries_make_a_commit_due_as_large_records_do() {
        let pace = Pace {
            batch_records: 500,
            batch_bytes: 1 << 20,
            poll_interval: Duration::ZERO,
            commit_interval: Duration::from_secs(3600),
            commit_records: 1_000_000,
            commit_bytes: 100 * (ENTRY_BYTES + 1),
        };
        let (mut pending, later, now) = (Pending::default(), Pending::default(), Instant::now());
        assert_eq!(pending.due_in(&later, &pace, now), None);
        pending.begin().absorb((Vec::new(), vec![change("", "a", None); 98]));
        assert!(pending.due_in(&later, &pace, now) > Some(Duration::ZERO));
        pending.absorb((Vec::new(), vec![change("", "a", None); 2]));
        assert_eq!(pending.due_in(&later, &pace, now), Some(Duration::ZERO));
    }
}
