//! What a task has done so far, for whoever wants to know while it runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::activity::{Activity, Step};
use super::histogram::{BATCH_RECORDS, COMMIT_SECONDS, Distribution, Histogram};
use crate::batch::Batch;
use crate::sandbox::{Meter, Usage};

/// The most topics of a task that are remembered: a pattern, or a plugin that names topics, may use any number.
const MAX_TOPICS: usize = 1_000;

/// Counters a task updates and others read.
#[derive(Debug)]
pub struct Progress {
    records_in: AtomicU64,
    records_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    dead_letters: AtomicU64,
    dropped: AtomicU64,
    commits: AtomicU64,
    calls: AtomicU64,
    instances: AtomicU64,
    runs: AtomicU64,
    waiting: Mutex<Option<String>>,
    /// Whether its consumer group has not answered it yet.
    joining: AtomicBool,
    activity: Activity,
    /// What each stage has used, in the order they were first opened in. There are as many as the task has plugins.
    stages: Mutex<Vec<(Arc<str>, Arc<Meter>)>>,
    /// The topics it has read or written.
    topics: Mutex<BTreeSet<Arc<str>>>,
    commit_time: Histogram,
    batch_size: Histogram,
    /// Where the guest was when its last instance failed.
    backtrace: Mutex<Option<String>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            records_in: AtomicU64::default(),
            records_out: AtomicU64::default(),
            bytes_in: AtomicU64::default(),
            bytes_out: AtomicU64::default(),
            dead_letters: AtomicU64::default(),
            dropped: AtomicU64::default(),
            commits: AtomicU64::default(),
            calls: AtomicU64::default(),
            instances: AtomicU64::default(),
            runs: AtomicU64::default(),
            waiting: Mutex::default(),
            joining: AtomicBool::default(),
            activity: Activity::default(),
            stages: Mutex::default(),
            topics: Mutex::default(),
            commit_time: Histogram::new(&COMMIT_SECONDS),
            batch_size: Histogram::new(&BATCH_RECORDS),
            backtrace: Mutex::default(),
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Records consumed, or polled from a source, and dealt with.
    pub records_in: u64,
    /// Records staged for topics, or written by a sink.
    pub records_out: u64,
    /// Bytes of the batches of those consumed or polled.
    pub bytes_in: u64,
    /// Bytes of the batches of those staged or written.
    pub bytes_out: u64,
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
    /// How often it was started.
    pub runs: u64,
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
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.dead_letters += other.dead_letters;
        self.dropped += other.dropped;
        self.commits += other.commits;
        self.calls += other.calls;
        self.instances += other.instances;
        self.runs += other.runs;
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

    /// A batch of a topic, or of a source where there is none, was taken up.
    pub(super) fn took(&self, topic: Option<&Arc<str>>, batch: &Batch) {
        self.bytes_in.fetch_add(batch.bytes().len() as u64, Ordering::Relaxed);
        self.batch_size.observe(batch.len() as f64);
        topic.into_iter().for_each(|topic| self.uses(topic));
    }

    /// A batch was staged for a topic, and for those that its records name.
    pub(super) fn gave(&self, topic: &Arc<str>, batch: &Batch) {
        self.bytes_out.fetch_add(batch.bytes().len() as u64, Ordering::Relaxed);
        let frame = batch.frame();
        let named = (0..frame.topic_partition_count()).filter_map(|index| frame.topic_partition(index));
        let mut elsewhere = 0;
        for name in named.filter_map(|named| named.topic) {
            elsewhere += 1;
            self.uses(&Arc::from(name));
        }
        if elsewhere == 0 {
            self.uses(topic);
        }
    }

    /// Records of a batch were written by a sink.
    pub(super) fn add_written(&self, records: usize, of: &Batch) {
        self.add_out(records);
        let share = of.bytes().len() * records / of.len().max(1);
        self.bytes_out.fetch_add(share as u64, Ordering::Relaxed);
    }

    fn uses(&self, topic: &Arc<str>) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.len() < MAX_TOPICS && !topics.contains(topic) {
            topics.insert(Arc::clone(topic));
        }
    }

    /// The topics it has read or written since they were forgotten; a bounded number of them.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Forgets which topics it has used.
    pub fn forget_topics(&self) {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How long its commits took, in seconds.
    #[must_use]
    pub fn commit_time(&self) -> Distribution {
        self.commit_time.distribution()
    }

    /// How many records its batches had.
    #[must_use]
    pub fn batch_size(&self) -> Distribution {
        self.batch_size.distribution()
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

    pub(super) fn add_commit(&self, took: Duration) {
        self.beat();
        self.commit_time.observe(took.as_secs_f64());
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_instance(&self) {
        self.instances.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps where a guest was when it trapped; of other failures there is no such place.
    pub(super) fn set_backtrace(&self, trace: Option<String>) {
        if trace.is_some() {
            *self.backtrace.lock().unwrap_or_else(PoisonError::into_inner) = trace;
        }
    }

    /// Where a guest of the task was when it trapped last, its innermost function first.
    #[must_use]
    pub fn backtrace(&self) -> Option<String> {
        self.backtrace.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what the task waits for, or that it waits no more.
    pub(super) fn set_waiting(&self, why: Option<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Says whether the task's consumer group still has to answer it.
    pub(super) fn set_joining(&self, joining: bool) {
        self.joining.store(joining, Ordering::Relaxed);
    }

    /// Whether the task waits for its consumer group to deal out partitions.
    #[must_use]
    pub fn is_joining(&self) -> bool {
        self.joining.load(Ordering::Relaxed)
    }

    /// The task is started: what was before says nothing about it. `joins`: whether it does so as a member of a consumer
    /// group.
    pub fn begin_run(&self, joins: bool) {
        self.set_joining(joins);
        self.runs.fetch_add(1, Ordering::Relaxed);
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
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            instances: self.instances.load(Ordering::Relaxed),
            runs: self.runs.load(Ordering::Relaxed),
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
