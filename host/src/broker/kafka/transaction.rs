//! A task's transactions: begun by the first record, committed with the consumed offsets, or aborted.
//!
//! Every call blocks and runs on the session's own thread. After an error it is always clear what holds: the
//! transaction is lost (abort it), or the session is (its successor finds out what became of the transaction).

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;

use super::config::Properties;
use super::context::{Context, Deliveries, Failures, Owner};
use super::errors::{broker_error, is_fencing, is_retriable};
use super::produce::{KafkaProducer, NotQueued, send_all, send_own, serve, settle};
use crate::broker::{BrokerError, BrokerErrorKind, Output};

/// How long opening a session may take: longer than a coordinator needs to abort what a predecessor left open.
const OPEN_WITHIN: Duration = Duration::from_secs(9);
/// How long a record may wait for room in librdkafka's queue.
const STAGE_WITHIN: Duration = Duration::from_secs(30);
/// How much longer than `transaction.timeout.ms` an answer is waited for: by then the coordinator has decided.
const GRACE: Duration = Duration::from_secs(5);
/// The pause before a call is made again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The first wait for an abort. Records that it throws away hold it up until their reports are served in between.
const ABORT_FIRST_WAIT: Duration = Duration::from_millis(20);
/// The longest single wait for an abort.
const ABORT_WAIT: Duration = Duration::from_secs(1);
/// How long closing may take to abort; the coordinator does it later otherwise.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A record of Sandbar's own in a transaction: a source offset, or a piece of state.
#[derive(Debug)]
pub(super) struct OwnRecord {
    /// The topic.
    pub topic: String,
    /// The partition; `None`: where the key belongs.
    pub partition: Option<i32>,
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` deletes the key once the topic is compacted.
    pub value: Option<Vec<u8>>,
}

/// A transactional producer, and whether a transaction is open.
pub(super) struct Transactions {
    producer: KafkaProducer,
    properties: Properties,
    owner: Owner,
    id: String,
    /// How long a transaction may be open before the coordinator gives it up.
    timeout: Duration,
    /// How long the answer to a commit or an abort is waited for.
    within: Duration,
    open: Option<Begun>,
    /// Whether a record was lost on the way: the broker then waits for its sequence number.
    gap: bool,
    /// Topics that records of the last failure were for: they may be gone.
    suspects: Vec<String>,
}

/// When a transaction was begun, by both clocks: one stands while the machine sleeps, the other may be set.
struct Begun(Instant, SystemTime);

impl Begun {
    fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn age(&self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

impl Transactions {
    /// Takes the transactional id over: aborts what a predecessor left open, and fences one that still lives.
    pub fn open(properties: Properties, owner: Owner, id: String) -> Result<Self, BrokerError> {
        let timeout = Duration::from_millis(properties.number("transaction.timeout.ms", 60_000));
        let producer = take_over(&properties, &owner, &id)?;
        let (within, suspects) = (timeout + GRACE, Vec::new());
        Ok(Self { producer, properties, owner, id, timeout, within, open: None, gap: false, suspects })
    }

    /// Topics that the last failure was about, to be looked at anew.
    pub fn take_suspects(&mut self) -> Vec<String> {
        std::mem::take(&mut self.suspects)
    }

    /// Adds an output's records.
    pub fn stage(&mut self, output: &Output) -> Result<(), BrokerError> {
        if output.batch.is_empty() {
            return Ok(());
        }
        self.begin()?;
        send_all(&self.producer, output, Instant::now() + STAGE_WITHIN).map_err(|not| self.not_queued(not))
    }

    /// Commits what was staged, records of our own, and consumed offsets. With none of them there is no transaction.
    pub fn commit(
        &mut self,
        own: &[OwnRecord],
        consumed: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    ) -> Result<(), BrokerError> {
        if self.open.is_none() && own.is_empty() && consumed.is_none() {
            return Ok(());
        }
        self.begin()?;
        let deadline = Instant::now() + self.within;
        // First of all, while what the group said of itself is fresh: a rebalance in between costs the transaction. The
        // offsets are on their way while the records are.
        if let Some((offsets, group)) = consumed {
            let operation = format!("commit consumed offsets in transaction {}", self.id);
            retry(deadline, |left| self.producer.send_offsets_to_transaction(offsets, group, left))
                .map_err(|error| self.failed(&operation, &error))?;
        }
        for OwnRecord { topic, partition, key, value } in own {
            send_own(&self.producer, topic, *partition, key, value.as_deref(), deadline)
                .map_err(|not| self.not_queued(not))?;
        }
        let operation = format!("commit transaction {}", self.id);
        let delivered = settle(&self.producer, deadline);
        if let Some(failures) = self.failures() {
            return Err(self.unless_fatal(BrokerError::abortable(operation, failures.describe())));
        }
        if !delivered {
            let late = format!("{} records were not acknowledged in time", self.producer.in_flight_count());
            return Err(self.unless_fatal(BrokerError::abortable(operation, late)));
        }
        retry(deadline, |left| self.producer.commit_transaction(left)).map_err(|error| {
            let mut failed = self.failed(&operation, &error);
            if is_retriable(&error) {
                // It may have happened or not. A new session waits until that is settled before it reads anything.
                failed.kind = BrokerErrorKind::Fatal;
                failed.message = format!("the outcome is not known: {}", failed.message);
            }
            failed
        })?;
        self.open = None;
        Ok(())
    }

    /// Throws away what was staged.
    ///
    /// Where the broker had refused a record, librdkafka would begin the next transaction with a gap in its sequence
    /// numbers and lose that one, too: good records would be blamed. A new producer begins without.
    pub fn abort(&mut self) -> Result<(), BrokerError> {
        self.abort_within(self.within)?;
        if self.gap {
            self.producer = take_over(&self.properties, &self.owner, &self.id).map_err(|mut error| {
                if error.kind == BrokerErrorKind::Retriable {
                    error.kind = BrokerErrorKind::Fatal;
                }
                error
            })?;
            self.gap = false;
        }
        Ok(())
    }

    /// Aborts what is open and lets the transactional id go.
    pub fn close(mut self) {
        if let Err(error) = self.abort_within(CLOSE_WITHIN) {
            tracing::debug!(id = self.id, %error, "an open transaction is left to the coordinator");
        }
    }

    /// Serves what librdkafka has to say while the task is busy.
    pub fn idle(&self) {
        serve(&self.producer);
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        if self.open.is_none() {
            let operation = format!("begin transaction {}", self.id);
            self.producer.begin_transaction().map_err(|error| self.failed(&operation, &error))?;
            self.open = Some(Begun::now());
        }
        Ok(())
    }

    fn abort_within(&mut self, within: Duration) -> Result<(), BrokerError> {
        if self.open.is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + within;
        let mut wait = ABORT_FIRST_WAIT;
        loop {
            let Err(error) = self.producer.abort_transaction(wait) else { break };
            serve(&self.producer);
            if !is_retriable(&error) || Instant::now() >= deadline {
                let mut failed = self.failed(&format!("abort transaction {}", self.id), &error);
                if !matches!(failed.kind, BrokerErrorKind::Fenced | BrokerErrorKind::Expired) {
                    failed.kind = BrokerErrorKind::Fatal;
                }
                return Err(failed);
            }
            wait = (wait * 4).min(ABORT_WAIT);
        }
        // What did not arrive was part of what is thrown away.
        self.failures();
        self.open = None;
        Ok(())
    }

    /// A record that librdkafka did not queue. Records before it may be queued, so the transaction is lost.
    fn not_queued(&mut self, not: NotQueued) -> BrokerError {
        let operation = format!("stage a record for {} in transaction {}", not.topic, self.id);
        self.suspects.push(not.topic);
        let mut failed = self.failed(&operation, &not.error);
        if !matches!(failed.kind, BrokerErrorKind::Fenced) && self.producer.client().fatal_error().is_none() {
            failed.kind = BrokerErrorKind::Abortable;
        }
        failed
    }

    /// Maps an error, with what is known of failed deliveries: they are the cause, the error mostly their echo.
    fn failed(&mut self, operation: &str, error: &KafkaError) -> BrokerError {
        serve(&self.producer);
        let mut failed = broker_error(operation, error);
        if failed.kind == BrokerErrorKind::Retriable {
            failed.kind = BrokerErrorKind::Abortable;
        }
        if let Some(failures) = self.failures() {
            failed.message = format!("{} ({})", failed.message, failures.describe());
        }
        self.unless_fatal(failed)
    }

    /// A producer that is dead says so in many ways; why it is dead decides.
    fn unless_fatal(&self, error: BrokerError) -> BrokerError {
        let Some((code, reason)) = self.producer.client().fatal_error() else { return error };
        if !is_fencing(code) {
            return BrokerError::fatal(error.operation, reason);
        }
        match self.open.as_ref().map(Begun::age).filter(|age| *age >= self.timeout) {
            // The coordinator ends such a transaction as a rival would.
            Some(age) => BrokerError::new(
                BrokerErrorKind::Expired,
                error.operation,
                format!(
                    "the transaction was open for {age:.1?} and transaction.timeout.ms is {}: the broker gave it up ({reason})",
                    self.timeout.as_millis()
                ),
            ),
            None => BrokerError::fenced(error.operation, reason),
        }
    }

    fn failures(&mut self) -> Option<Failures> {
        let failures = self.producer.context().notes.take()?;
        self.gap = true;
        self.suspects.extend(failures.first.iter().map(|(place, _)| place.topic.to_string()));
        Some(failures)
    }
}

/// Makes a producer and waits until the coordinator has given it the transactional id.
fn take_over(properties: &Properties, owner: &Owner, id: &str) -> Result<KafkaProducer, BrokerError> {
    let operation = format!("take over transactional id {id}");
    let producer: KafkaProducer = properties
        .build()
        .create_with_context(Context::new(owner.clone(), Deliveries::default()))
        .map_err(|error| broker_error(operation.as_str(), &error))?;
    retry(Instant::now() + OPEN_WITHIN, |left| producer.init_transactions(left)).map_err(|error| {
        serve(&producer);
        let mut failed = broker_error(operation, &error);
        if let Some(reason) = producer.context().last_error() {
            failed.message = format!("{}: {reason}", failed.message);
        }
        failed
    })?;
    Ok(producer)
}

/// Makes a call again while that may help and there is time.
fn retry(deadline: Instant, mut call: impl FnMut(Duration) -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match call(left) {
            Err(error) if is_retriable(&error) && Instant::now() + RETRY_PAUSE < deadline => thread::sleep(RETRY_PAUSE),
            outcome => return outcome,
        }
    }
}
