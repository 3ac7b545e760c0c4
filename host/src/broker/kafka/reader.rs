//! Reads committed records outside any group, and knows when all that was committed at the start has been read.
//!
//! "All" ends at the last stable offset, which lags behind the last commit by the moments the coordinator needs to
//! write its markers, and behind any transaction that is still open. So a reader first waits, within a bound, until
//! everything that was written when it was opened is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode as Code;
use sandbar_abi::Record;
use tokio::sync::oneshot;

use super::admin::{Admin, Probe, blocking};
use super::config::{KafkaOptions, Properties};
use super::context::{Context, Owner, lock};
use super::ends::{ends, offsets};
use super::errors::{broker_error, is_refusal};
use super::gather::Gather;
use crate::broker::{BatchLimits, BrokerError, PartitionBatch, ReadFrom, ReadSpec, Reader};

/// How long a reader waits for open transactions: enough for the markers of one just committed, too little to hang on
/// one that is left open, whose records a reader must not show anyway.
pub(super) const DECIDED_WITHIN: Duration = Duration::from_secs(1);
/// The first and the longest pause between two looks at the last stable offset.
const DECIDED_PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// How long one poll of librdkafka waits while a caller waits longer.
const POLL_SLICE: Duration = Duration::from_millis(100);
/// Bounds of one answer while a topic is read whole.
const WHOLE: BatchLimits = BatchLimits { records: 5_000, bytes: 4 << 20 };

/// The half of a reader that blocks.
pub(super) struct Cursor {
    consumer: Probe,
    topic: String,
    /// The first offset wanted, where it may lie past the end for now.
    from: Option<i64>,
    /// Partitions of which not everything committed at the start was returned, with their end then.
    behind: BTreeMap<i32, i64>,
    carried: Option<OwnedMessage>,
    /// An answer nobody waited for any more.
    undelivered: Vec<PartitionBatch>,
    decided: bool,
}

impl Cursor {
    /// Opens a cursor. Blocks.
    pub fn open(
        options: &KafkaOptions,
        admin: &Admin,
        spec: &ReadSpec,
        decided_within: Duration,
    ) -> Result<Self, BrokerError> {
        let operation = format!("read topic {}", spec.topic);
        let count = admin
            .partitions_now(&spec.topic)?
            .ok_or_else(|| BrokerError::fatal(operation.as_str(), "there is no such topic"))?;
        let partitions: BTreeSet<i32> = match &spec.partitions {
            None => (0..count).collect(),
            Some(some) => some.iter().copied().collect(),
        };
        if let Some(missing) = partitions.iter().find(|partition| !(0..count).contains(*partition)) {
            return Err(BrokerError::fatal(operation, format!("it has {count} partitions, there is no {missing}")));
        }
        let partitions: Vec<i32> = partitions.into_iter().collect();
        let written = admin.ranges(&spec.topic, &partitions)?;
        let consumer: Probe = Properties::reader(options)
            .build()
            .create_with_context(Context::new(Owner::worker("reader"), ()))
            .map_err(|error| broker_error(operation.as_str(), &error))?;

        let places: Vec<(&str, i32)> = partitions.iter().map(|partition| (spec.topic.as_str(), *partition)).collect();
        let written_to: Vec<i64> = written.values().map(|(_, end)| *end).collect();
        let (stable, decided) = decide(&consumer, &places, &written_to, decided_within)?;
        let starts = match spec.from {
            ReadFrom::Beginning => written.values().map(|(start, _)| *start).collect(),
            ReadFrom::End => stable.clone(),
            ReadFrom::Offset(offset) => {
                written.values().zip(&stable).map(|((start, _), end)| offset.max(*start).min(*end)).collect()
            }
            ReadFrom::Timestamp(millis) => at_time(&consumer, &places, millis.max(0), &stable)?,
        };
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        let mut behind = BTreeMap::new();
        for ((partition, start), end) in partitions.iter().zip(starts).zip(stable) {
            list.add_partition_offset(&spec.topic, *partition, Offset::Offset(start))
                .map_err(|error| broker_error(operation.as_str(), &error))?;
            if start < end {
                behind.insert(*partition, end);
            }
        }
        consumer.assign(&list).map_err(|error| broker_error(operation, &error))?;
        let from = match spec.from {
            ReadFrom::Offset(offset) => Some(offset),
            _ => None,
        };
        let topic = spec.topic.clone();
        Ok(Self { consumer, topic, from, behind, carried: None, undelivered: Vec::new(), decided })
    }

    /// Whether every transaction that was open at the start has been decided by then.
    pub fn is_decided(&self) -> bool {
        self.decided
    }

    /// Whether everything that was committed at the start has been returned.
    pub fn is_at_end(&self) -> bool {
        self.behind.is_empty() && self.undelivered.is_empty() && self.carried.is_none()
    }

    /// The next records. Blocks up to `wait`, unless nobody wants to know any more.
    pub fn next(
        &mut self,
        limits: BatchLimits,
        wait: Duration,
        wanted: impl Fn() -> bool,
    ) -> Result<Vec<PartitionBatch>, BrokerError> {
        if !self.undelivered.is_empty() {
            return Ok(std::mem::take(&mut self.undelivered));
        }
        let deadline = Instant::now() + wait;
        let was_behind = !self.behind.is_empty();
        let mut gather = Gather::new(limits);
        if let Some(message) = self.carried.take() {
            gather.push(&message);
        }
        while !gather.is_full() {
            let left = deadline.saturating_duration_since(Instant::now());
            let slice = if gather.is_empty() { left.min(POLL_SLICE) } else { Duration::ZERO };
            match self.consumer.poll(slice) {
                Some(Ok(message)) if self.from.is_some_and(|from| message.offset() < from) => {}
                Some(Ok(message)) if gather.fits(&message) => gather.push(&message),
                Some(Ok(message)) => {
                    self.carried = Some(message.detach());
                    break;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.behind.remove(&partition);
                    if was_behind && self.behind.is_empty() {
                        break;
                    }
                }
                Some(Err(error)) => self.check(&error)?,
                None if !gather.is_empty() || left.is_zero() || !wanted() => break,
                None => {}
            }
        }
        let batches: Vec<PartitionBatch> = gather.finish()?.into_iter().map(|gathered| gathered.batch).collect();
        for batch in &batches {
            let partition = batch.partition.partition;
            if self.behind.get(&partition).is_some_and(|end| batch.next_offset >= *end) {
                self.behind.remove(&partition);
            }
        }
        Ok(batches)
    }

    /// Reads on to the end, record by record.
    pub fn read_to_end(&mut self, deadline: Instant, mut each: impl FnMut(&Record<'_>)) -> Result<(), BrokerError> {
        loop {
            for batch in self.next(WHOLE, POLL_SLICE, || true)? {
                batch.batch.frame().records().for_each(|record| each(&record));
            }
            if self.is_at_end() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let why = self.consumer.context().last_error().unwrap_or_else(|| "the end was not reached".to_owned());
                return Err(BrokerError::retriable(format!("read topic {} to its end", self.topic), why));
            }
        }
    }

    /// The reader's group is never joined, so what the cluster thinks of it does not matter.
    fn check(&self, error: &KafkaError) -> Result<(), BrokerError> {
        let code = error.rdkafka_error_code();
        let lasting = |code| code != Code::GroupAuthorizationFailed && is_refusal(code);
        if code.is_some_and(lasting) {
            let why = self.consumer.context().last_error().unwrap_or_else(|| error.to_string());
            return Err(BrokerError::fatal(format!("read topic {}", self.topic), why));
        }
        Ok(())
    }
}

/// Waits until the last stable offsets have reached what was written; says what they are, and whether they have.
fn decide(
    consumer: &Probe,
    places: &[(&str, i32)],
    written: &[i64],
    within: Duration,
) -> Result<(Vec<i64>, bool), BrokerError> {
    let deadline = Instant::now() + within;
    let (mut pause, longest) = DECIDED_PAUSE;
    loop {
        let stable = ends(consumer, places, Offset::End)?;
        let decided = stable.iter().zip(written).all(|(stable, written)| stable >= written);
        if decided || Instant::now() >= deadline {
            return Ok((stable, decided));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// The first offsets at or after a time; the end where nothing is as new.
fn at_time(consumer: &Probe, places: &[(&str, i32)], millis: i64, ends: &[i64]) -> Result<Vec<i64>, BrokerError> {
    let found = offsets(consumer, places, Offset::Offset(millis))?;
    Ok(found.into_iter().zip(ends).map(|(offset, end)| offset.unwrap_or(*end).min(*end)).collect())
}

/// A reader on Kafka.
pub(super) struct KafkaReader {
    cursor: Arc<Mutex<Cursor>>,
    at_end: bool,
}

impl KafkaReader {
    /// Takes a cursor over.
    pub fn new(cursor: Cursor) -> Self {
        let at_end = cursor.is_at_end();
        Self { cursor: Arc::new(Mutex::new(cursor)), at_end }
    }
}

#[async_trait]
impl Reader for KafkaReader {
    /// May be given up at any time: what was read meanwhile comes with the next call.
    async fn next(&mut self, limits: BatchLimits, wait: Duration) -> Result<Vec<PartitionBatch>, BrokerError> {
        let cursor = Arc::clone(&self.cursor);
        let (reply, answer) = oneshot::channel();
        blocking(move || {
            let mut cursor = lock(&cursor);
            let batches = cursor.next(limits, wait, || !reply.is_closed());
            let at_end = cursor.is_at_end();
            if let Err((Ok(batches), _)) = reply.send((batches, at_end)) {
                cursor.undelivered = batches;
            }
            Ok(())
        })
        .await?;
        let (batches, at_end) = answer.await.map_err(|_| BrokerError::fatal("read a topic", "the answer was lost"))?;
        self.at_end = at_end;
        batches
    }

    fn at_end(&self) -> bool {
        self.at_end
    }
}
