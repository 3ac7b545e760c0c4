//! What a task has done so far, for whoever wants to know while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use super::activity::{Activity, Step};
use crate::sandbox::{Meter, Usage};

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
    activity: Activity,
    /// What each stage has used, in the order they were first opened in. There are as many as the task has plugins.
    stages: Mutex<Vec<(Arc<str>, Arc<Meter>)>>,
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
    /// What its plugins have used together.
    pub usage: Usage,
    /// What each of them has used.
    pub stages: Vec<StageUsage>,
    /// Why it makes no progress at present, if it is waiting for something to recover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// What one plugin of a task has used, over all its instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageUsage {
    /// The alias in `transforms`; empty for the connector's own plugin.
    pub stage: String,
    /// What it has used.
    #[serde(flatten)]
    pub usage: Usage,
}

impl Snapshot {
    /// Adds another task's counters.
    pub fn add(&mut self, other: Self) {
        self.records_in += other.records_in;
        self.records_out += other.records_out;
        self.dead_letters += other.dead_letters;
        self.dropped += other.dropped;
        self.commits += other.commits;
        self.calls += other.calls;
        self.instances += other.instances;
        self.usage = self.usage.and(other.usage);
        for theirs in other.stages {
            match self.stages.iter_mut().find(|ours| ours.stage == theirs.stage) {
                Some(ours) => ours.usage = ours.usage.and(theirs.usage),
                None => self.stages.push(theirs),
            }
        }
        self.waiting = self.waiting.take().or(other.waiting);
    }
}

impl Progress {
    /// What counts for a stage.
    pub(super) fn meter(&self, stage: &Arc<str>) -> Arc<Meter> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, meter)) = stages.iter().find(|(known, _)| known == stage) {
            return Arc::clone(meter);
        }
        let meter = Arc::<Meter>::default();
        stages.push((Arc::clone(stage), Arc::clone(&meter)));
        meter
    }

    pub(super) fn add_in(&self, n: usize) {
        self.dealt_with(n);
        self.records_in.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn add_out(&self, n: usize) {
        self.dealt_with(n);
        self.records_out.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Records are progress, none of them is not.
    fn dealt_with(&self, n: usize) {
        if n > 0 {
            self.beat();
        }
    }

    pub(super) fn add_dead_letter(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_commit(&self) {
        self.beat();
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

    /// The task is started: what was before says nothing about it.
    pub fn begin_run(&self) {
        self.begin(Step::Start);
        self.beat();
        self.set_waiting(None);
    }

    /// Transactions committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// The task begins something.
    pub(super) fn begin(&self, step: Step) {
        self.activity.begin(step);
    }

    /// The task got on, or has found that there is nothing to do.
    pub(super) fn beat(&self) {
        self.activity.beat();
    }

    /// When the task last got on, and what it does since.
    #[must_use]
    pub fn last_activity(&self) -> (Instant, Step) {
        (self.activity.last(), self.activity.step())
    }

    /// Why it makes no progress at present, if it is waiting for something to recover.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let stages: Vec<_> = self
            .stages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(stage, meter)| StageUsage { stage: stage.to_string(), usage: meter.usage() })
            .collect();
        Snapshot {
            usage: stages.iter().fold(Usage::default(), |sum, stage| sum.and(stage.usage)),
            stages,
            records_in: self.records_in.load(Ordering::Relaxed),
            records_out: self.records_out.load(Ordering::Relaxed),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            instances: self.instances.load(Ordering::Relaxed),
            waiting: self.waiting(),
        }
    }
}

#[cfg(test)]
mod tests {
    //! What stages use is kept over the runs of a task, and adds up over tasks.

    use super::*;

    #[test]
    fn a_stage_has_one_meter() {
        let progress = Progress::default();
        let (own, upper): (Arc<str>, Arc<str>) = ("".into(), "upper".into());
        assert!(Arc::ptr_eq(&progress.meter(&own), &progress.meter(&own)));
        assert!(!Arc::ptr_eq(&progress.meter(&own), &progress.meter(&upper)));
        let names: Vec<_> = progress.snapshot().stages.into_iter().map(|stage| stage.stage).collect();
        assert_eq!(names, ["", "upper"]);
    }

    #[test]
    fn tasks_add_up_by_stage() {
        let usage = |fuel, memory_peak| Usage { fuel, memory_peak, ..Usage::default() };
        let task = |stages: &[(&str, u64)]| Snapshot {
            records_in: 1,
            usage: usage(7, 9),
            stages: stages
                .iter()
                .map(|(stage, fuel)| StageUsage { stage: (*stage).to_owned(), usage: usage(*fuel, 1) })
                .collect(),
            ..Snapshot::default()
        };
        let mut sum = task(&[("", 1)]);
        sum.add(task(&[("", 2), ("upper", 4)]));
        let stages = task(&[("", 3), ("upper", 4)]).stages;
        assert_eq!(sum, Snapshot { records_in: 2, usage: usage(14, 9), stages, ..Snapshot::default() });
        let json = serde_json::to_value(&sum).unwrap();
        assert_eq!(json["usage"]["fuel"], 14);
        assert_eq!(json["stages"][1]["stage"], "upper");
        assert_eq!(json["stages"][1]["fuel"], 4);
    }
}
