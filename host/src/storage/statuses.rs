//! What runs where in a worker group: each worker says in a topic what it runs and that it lives, and reads what the others
//! say. Of a worker that is silent nobody believes that it runs anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandbar_abi::FrameBuilder;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::asking::Questions;
use super::status_entry::{Alive, Said, StatusEntry};
use crate::batch::Batch;
use crate::broker::{BatchLimits, Broker, BrokerError, CleanupPolicy, Output, ReadFrom, ReadSpec, TopicSettings};
use crate::task::Backoff;
use crate::wall_clock::now_ms;

/// How often a worker says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long a worker may be silent before nobody believes it any more: as long as its group waits for it.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a worker's last word is kept after it fell silent without saying that it ended. Its clock may be wrong.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);
/// Partitions of the topic, as Kafka Connect has them.
const PARTITIONS: i32 = 5;
/// How long one wait for news may take.
const WAIT: Duration = Duration::from_secs(5);
/// Bounds of one answer.
const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 4 << 20 };
/// The first and the longest pause before the topic is tried again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// See the module. Clones are the same.
#[derive(Clone, Default)]
pub struct Statuses(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    connectors: BTreeMap<String, Said>,
    tasks: BTreeMap<(String, u32), Said>,
    /// By name, with when it was last heard of since this worker follows.
    workers: BTreeMap<String, (Alive, Option<Instant>)>,
    /// What workers ask each other.
    questions: Questions,
    /// Since when this worker follows what is said.
    since: Option<Instant>,
}

/// What a worker says of what it runs: the newest counts.
pub type Own = BTreeMap<OwnKey, Said>;

/// A connector, or one of its tasks.
pub type OwnKey = (String, Option<u32>);

impl Statuses {
    /// What is said of a task, by a worker that lives.
    #[must_use]
    pub fn task(&self, connector: &str, task: u32, now: Instant) -> Option<Said> {
        let known = self.lock();
        known.tasks.get(&(connector.to_owned(), task)).filter(|said| known.lives(&said.worker, now)).cloned()
    }

    /// What is said of a connector, by a worker that lives.
    #[must_use]
    pub fn connector(&self, connector: &str, now: Instant) -> Option<Said> {
        let known = self.lock();
        known.connectors.get(connector).filter(|said| known.lives(&said.worker, now)).cloned()
    }

    /// The workers that live, by name.
    #[must_use]
    pub fn workers(&self, now: Instant) -> Vec<String> {
        let known = self.lock();
        known.workers.iter().filter(|(_, (_, heard))| is_fresh(*heard, now)).map(|(name, _)| name.clone()).collect()
    }

    /// What workers ask each other.
    pub(super) fn questions<T>(&self, then: impl FnOnce(&mut Questions) -> T) -> T {
        then(&mut self.lock().questions)
    }

    /// Workers that fell silent long ago, by what they said last of the time, `at` being that of now.
    #[must_use]
    pub fn forgotten(&self, at: i64, now: Instant) -> Vec<String> {
        let known = self.lock();
        // Whoever lives is heard of by then, whatever its clock says.
        if known.since.is_none_or(|since| is_fresh(Some(since), now)) {
            return Vec::new();
        }
        let before = at.saturating_sub(i64::try_from(FORGOTTEN.as_millis()).unwrap_or(i64::MAX));
        let silent = known.workers.iter().filter(|(_, (alive, heard))| alive.at < before && !is_fresh(*heard, now));
        silent.map(|(name, _)| name.clone()).collect()
    }

    /// Takes note that what was said before is known, and all that comes is news.
    fn follows(&self, now: Instant) {
        self.lock().since.get_or_insert(now);
    }

    /// Takes an entry in that was written at this time; without one, before this worker followed.
    fn take_in(&self, entry: StatusEntry, now: Option<Instant>) {
        let mut known = self.lock();
        match entry {
            StatusEntry::Connector { name, said } => put(&mut known.connectors, name, said),
            StatusEntry::Task { name, task, said } => put(&mut known.tasks, (name, task), said),
            StatusEntry::Worker { name, alive: None } => drop(known.workers.remove(&name)),
            StatusEntry::Worker { name, alive: Some(alive) } => drop(known.workers.insert(name, (alive, now))),
            // Of what was asked before it followed nobody waits for this worker's answer.
            StatusEntry::Ask { id, asked: Some(asked) } if now.is_some() => known.questions.asked(id, asked),
            StatusEntry::Answer { id, part, answer: Some(answer) } => known.questions.answered(&id, part, answer),
            StatusEntry::Ask { .. } | StatusEntry::Answer { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn lives(&self, worker: &str, now: Instant) -> bool {
        self.workers.get(worker).is_some_and(|(_, heard)| is_fresh(*heard, now))
    }
}

fn is_fresh(heard: Option<Instant>, now: Instant) -> bool {
    heard.is_some_and(|heard| heard + SILENCE > now)
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

/// The topic of a worker group, from one worker's side.
#[derive(Clone)]
pub struct StatusTopic {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The topic.
    pub topic: Arc<str>,
    /// How many replicas it gets where it is made.
    pub replication_factor: i32,
    /// The worker's name.
    pub worker: String,
    /// Where it answers.
    pub worker_id: String,
}

impl StatusTopic {
    fn settings(&self) -> TopicSettings {
        TopicSettings {
            partitions: PARTITIONS,
            replication_factor: self.replication_factor,
            cleanup_policy: CleanupPolicy::Compact,
            retention_ms: None,
            retention_bytes: None,
        }
    }

    /// Reads what is said, until it is dropped.
    pub async fn follow(self, statuses: Statuses) {
        let mut again = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            let error = match self.read(&statuses, &mut again).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            if again.tries() == 0 {
                warn!(topic = %self.topic, "what other workers run is not known, this is tried again: {error}");
            }
            tokio::time::sleep(again.next_delay()).await;
        }
    }

    async fn read(&self, statuses: &Statuses, again: &mut Backoff) -> Result<std::convert::Infallible, BrokerError> {
        self.broker.create_topic(&self.topic, &self.settings()).await?;
        let spec = ReadSpec { topic: self.topic.to_string(), partitions: None, from: ReadFrom::Beginning };
        let mut reader = self.broker.reader(spec).await?;
        loop {
            // Whoever said something before that may have ended since.
            let is_news = reader.at_end();
            let batches = reader.next(LIMITS, WAIT).await?;
            again.reset();
            let now = is_news.then(Instant::now);
            now.into_iter().for_each(|now| statuses.follows(now));
            for batch in batches {
                for record in batch.batch.frame().records() {
                    let entry = record.key.and_then(|key| StatusEntry::decode(key, record.value));
                    entry.into_iter().for_each(|entry| statuses.take_in(entry, now));
                }
            }
        }
    }

    /// Says what changed of what this worker runs, and that it lives. Of what it does not run any more it says nothing,
    /// because another worker does; of what is nowhere any more, that it is gone. Of workers that fell silent long ago it
    /// says that they have ended: a worker that was killed, and never came back under its name, cannot.
    pub async fn say(
        &self,
        before: &mut Own,
        now: &Own,
        exists: impl Fn(&OwnKey) -> bool,
        statuses: &Statuses,
    ) -> Result<(), BrokerError> {
        let mut entries: Vec<_> = now
            .iter()
            .filter(|(key, said)| before.get(*key) != Some(*said))
            .map(|(key, said)| entry(key, Some(said.clone())))
            .collect();
        let gone = before.keys().filter(|key| !now.contains_key(*key) && !exists(key));
        entries.extend(gone.map(|key| entry(key, None)));
        let at = now_ms();
        let forgotten = statuses.forgotten(at, Instant::now()).into_iter().filter(|name| *name != self.worker);
        entries.extend(forgotten.map(|name| StatusEntry::Worker { name, alive: None }));
        let alive = Alive { worker_id: self.worker_id.clone(), at };
        entries.push(StatusEntry::Worker { name: self.worker.clone(), alive: Some(alive) });
        self.write(&entries).await?;
        before.clone_from(now);
        Ok(())
    }

    /// Says that this worker has ended, and runs nothing any more.
    pub async fn leave(&self) {
        let ended = StatusEntry::Worker { name: self.worker.clone(), alive: None };
        if let Err(error) = self.write(&[ended]).await {
            debug!(topic = %self.topic, "other workers learn by its silence that this one has ended: {error}");
        }
    }

    pub(super) async fn write(&self, entries: &[StatusEntry]) -> Result<(), BrokerError> {
        let mut frame = FrameBuilder::new();
        for entry in entries {
            let (key, value) = entry.encode();
            frame.record(Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
        }
        let too_large = |error| BrokerError::fatal("write states", error);
        let output = Output { topic: Arc::clone(&self.topic), batch: Batch::build(&frame).map_err(too_large)? };
        self.broker.write(output, &self.settings()).await
    }
}

fn entry((name, task): &OwnKey, said: Option<Said>) -> StatusEntry {
    let name = name.clone();
    match task {
        None => StatusEntry::Connector { name, said },
        Some(task) => StatusEntry::Task { name, task: *task, said },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(worker: &str) -> Said {
        let (state, worker_id) = ("RUNNING".to_owned(), worker.to_owned());
        Said { state, trace: None, worker_id, generation: 0, version: None, worker: "a".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_fell_silent_long_ago_is_forgotten() {
        let statuses = Statuses::default();
        let (now, day) = (Instant::now(), i64::try_from(FORGOTTEN.as_millis()).unwrap());
        let alive = |at| Some(Alive { worker_id: "a:1".to_owned(), at });
        let says = |name: &str, at, heard| {
            statuses.take_in(StatusEntry::Worker { name: name.to_owned(), alive: alive(at) }, heard);
        };
        says("gone", 0, None);
        says("late", 1, None);
        assert!(statuses.forgotten(day + 1, now).is_empty(), "nobody has had time to say anything");
        statuses.follows(now);
        assert!(statuses.forgotten(day + 1, now).is_empty(), "nor now");
        let later = now + SILENCE;
        // It lives, in another time.
        says("slow", 0, Some(later));
        assert_eq!(statuses.forgotten(day + 1, later), ["gone"]);
        statuses.take_in(StatusEntry::Worker { name: "gone".to_owned(), alive: None }, Some(later));
        assert!(statuses.forgotten(day + 1, later).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_believes_a_worker_that_is_silent() {
        let statuses = Statuses::default();
        let now = Instant::now();
        let take_in = |entry, at| statuses.take_in(entry, Some(at));
        take_in(StatusEntry::Task { name: "c".to_owned(), task: 0, said: Some(said("a:1")) }, now);
        assert_eq!(statuses.task("c", 0, now), None, "nobody has heard of it");
        let alive = |at| Some(Alive { worker_id: "a:1".to_owned(), at });
        // What it said before this worker followed says nothing about now.
        statuses.take_in(StatusEntry::Worker { name: "a".to_owned(), alive: alive(0) }, None);
        assert_eq!(statuses.task("c", 0, now), None);
        take_in(StatusEntry::Worker { name: "a".to_owned(), alive: alive(1) }, now);
        assert_eq!(statuses.task("c", 0, now), Some(said("a:1")));
        let later = now + SILENCE;
        assert_eq!(statuses.task("c", 0, later), None);
        take_in(StatusEntry::Worker { name: "a".to_owned(), alive: alive(2) }, later);
        assert!(statuses.task("c", 0, later).is_some() && statuses.connector("c", later).is_none());
        take_in(StatusEntry::Worker { name: "a".to_owned(), alive: None }, later);
        assert_eq!(statuses.task("c", 0, later), None);
    }
}
