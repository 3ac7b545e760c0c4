//! When and in what order the file is tidied up: partition by partition, a bounded piece at a time, so that commits
//! never wait long behind it.

use std::collections::VecDeque;

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::compaction::Compaction;
use super::errors::Failure;
use super::operations::in_transaction;
use super::retention;
use super::writer::Shared;
use crate::broker::{BrokerError, CleanupPolicy};

/// Records one piece of work looks at.
pub(super) const CHUNK_RECORDS: usize = 10_000;
/// Pages one piece of work gives back to the file system.
const VACUUM_PAGES: i64 = 512;
/// Free pages the file keeps for what comes next.
const KEEP_FREE_PAGES: i64 = 4096;
/// What this is called in errors.
const OPERATION: &str = "tidy the embedded broker up";

/// Tidying up, as far as it has come.
#[derive(Debug)]
pub(super) struct Maintenance {
    next_at: Instant,
    steps: VecDeque<Step>,
    failure: Option<BrokerError>,
    waiting: Vec<oneshot::Sender<Result<(), BrokerError>>>,
}

#[derive(Debug)]
enum Step {
    /// Delete what is too old, or too much, from the beginning of a partition.
    Expire(i64),
    /// Keep the newest record of each key of a partition.
    Compact(Compaction),
    /// Give free pages back.
    Vacuum,
}

impl Maintenance {
    /// Nothing to do until then.
    pub(super) fn new(next_at: Instant) -> Self {
        Self { next_at, steps: VecDeque::new(), failure: None, waiting: Vec::new() }
    }

    /// Whether there is nothing to do now.
    pub(super) fn is_idle(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it is time again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_idle() && now >= self.next_at
    }

    /// Sets the next time.
    pub(super) fn next_at(&mut self, at: Instant) {
        self.next_at = at;
    }

    /// Plans the steps. Whoever waits is answered once all are done.
    pub(super) fn begin(
        &mut self,
        connection: &Connection,
        shared: &Shared,
        waiting: Option<oneshot::Sender<Result<(), BrokerError>>>,
    ) {
        self.waiting.extend(waiting);
        match plan(connection) {
            // A run in progress has seen only what came before; the new steps follow it.
            Ok(steps) => self.steps.extend(steps),
            Err(failure) => self.note(failure, shared),
        }
        // Answers even where nothing could be planned.
        self.steps.push_back(Step::Vacuum);
    }

    /// Does one bounded piece of work, if there is any.
    pub(super) fn step(&mut self, connection: &Connection, shared: &Shared, now_ms: i64) {
        let Some(mut step) = self.steps.pop_front() else { return };
        match step.run(connection, shared, now_ms) {
            Ok(true) => {}
            Ok(false) => self.steps.push_front(step),
            Err(failure) => self.note(failure, shared),
        }
        if self.steps.is_empty() {
            let failure = self.failure.take();
            for waiting in self.waiting.drain(..) {
                drop(waiting.send(failure.clone().map_or(Ok(()), Err)));
            }
        }
    }

    fn note(&mut self, failure: Failure, shared: &Shared) {
        let error = failure.error(OPERATION, &shared.path);
        tracing::warn!(%error, "tidying up failed, the next run tries again");
        self.failure.get_or_insert(error);
    }
}

impl Step {
    /// Does a piece, and says whether the step is done.
    fn run(&mut self, connection: &Connection, shared: &Shared, now_ms: i64) -> Result<bool, Failure> {
        match self {
            Self::Expire(partition) => {
                in_transaction(connection, || retention::expire(connection, *partition, now_ms, &shared.options))
            }
            Self::Compact(compaction) => {
                in_transaction(connection, || compaction.step(connection, now_ms, &shared.options))
            }
            Self::Vacuum => vacuum(connection),
        }
    }
}

/// What is to be done for each partition, by its topic's policy.
fn plan(connection: &Connection) -> Result<Vec<Step>, Failure> {
    let sql = "SELECT p.id, t.cleanup_policy FROM partitions p JOIN topics t ON t.id = p.topic_id \
               WHERE p.next_offset > 0 ORDER BY p.id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let policy = CleanupPolicy::from_name(row.get_ref(1)?.as_str().unwrap_or_default()).unwrap_or_default();
        if policy != CleanupPolicy::Compact {
            steps.push(Step::Expire(id));
        }
        if policy != CleanupPolicy::Delete {
            steps.push(Step::Compact(Compaction::new(id)));
        }
    }
    Ok(steps)
}

fn vacuum(connection: &Connection) -> Result<bool, Failure> {
    let free: i64 = connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
    if free <= KEEP_FREE_PAGES {
        return Ok(true);
    }
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({})", VACUUM_PAGES.min(free - KEEP_FREE_PAGES)))?;
    Ok(false)
}
