//! What a task has done so far, for whoever wants to know while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Counters a task updates and others read.
#[derive(Debug, Default)]
pub struct Progress {
    records_in: AtomicU64,
    records_out: AtomicU64,
    dead_letters: AtomicU64,
    dropped: AtomicU64,
    commits: AtomicU64,
    calls: AtomicU64,
    instances: AtomicU64,
    waiting: Mutex<Option<String>>,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Records consumed, or polled from a source, and dealt with.
    pub records_in: u64,
    /// Records staged for topics, or written by a sink.
    pub records_out: u64,
    /// Records sent to the dead letter queue.
    pub dead_letters: u64,
    /// Records that failed and had no dead letter queue to go to.
    pub dropped: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Calls into guests that carried or asked for records.
    pub calls: u64,
    /// Instances started.
    pub instances: u64,
    /// Why it makes no progress at present, if it is waiting for something to recover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

impl Progress {
    pub(super) fn add_in(&self, n: usize) {
        self.records_in.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn add_out(&self, n: usize) {
        self.records_out.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn add_dead_letter(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_instance(&self) {
        self.instances.fetch_add(1, Ordering::Relaxed);
    }

    /// Says what the task waits for, or that it waits no more.
    pub(super) fn set_waiting(&self, why: Option<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            records_in: self.records_in.load(Ordering::Relaxed),
            records_out: self.records_out.load(Ordering::Relaxed),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            instances: self.instances.load(Ordering::Relaxed),
            waiting: self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
