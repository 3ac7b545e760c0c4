//! What librdkafka calls back with: log lines, errors, rebalances and failed deliveries. Callbacks only take notes;
//! the thread that polls the client acts on them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use crate::broker::TopicPartition;

/// A client's context: whose it is, and its notes.
pub(super) struct Context<N> {
    owner: Owner,
    last_error: Mutex<Option<String>>,
    /// What this kind of client takes note of.
    pub notes: N,
}

/// Whose client it is, for log lines.
#[derive(Clone)]
pub(super) struct Owner {
    /// The connector; empty for the worker's own clients.
    pub connector: Arc<str>,
    /// The task.
    pub task: u32,
    /// What the client is for.
    pub client: &'static str,
}

impl Owner {
    /// The worker itself.
    pub fn worker(client: &'static str) -> Self {
        Self { connector: "".into(), task: 0, client }
    }
}

impl<N> Context<N> {
    /// A context with nothing noted.
    pub fn new(owner: Owner, notes: N) -> Self {
        Self { owner, last_error: Mutex::new(None), notes }
    }

    /// What went wrong last, in librdkafka's words: the reason behind a time-out.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }
}

impl<N: Send + Sync> ClientContext for Context<N> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let Owner { connector, task, client } = &self.owner;
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", %connector, task, client, facility, "{line}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", %connector, task, client, facility, "{line}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", %connector, task, client, facility, "{line}");
            }
        }
    }

    /// Most of these heal by themselves (a broker went away); what does not comes back from a call, too. librdkafka has
    /// logged the cause already, and repeats this one many times a second.
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(Code::PartitionEOF) {
            return;
        }
        let Owner { connector, task, client } = &self.owner;
        tracing::debug!(target: "librdkafka", %connector, task, client, ?code, "{reason}");
        // That all brokers are down says less than the connection error before it.
        let mut last = lock(&self.last_error);
        if last.is_none() || code != Some(Code::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

/// A client outside any group: librdkafka's own handling of assignments will do.
impl ConsumerContext for Context<()> {}

/// A change of the assignment that librdkafka waits for an answer to.
#[derive(Debug)]
pub(super) enum Rebalance {
    /// Partitions come.
    Assign(Vec<TopicPartition>),
    /// Partitions go.
    Revoke {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Whether others may have them already.
        lost: bool,
    },
}

/// Notes of a member of a group.
#[derive(Default)]
pub(super) struct Rebalances {
    queue: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl Rebalances {
    /// The oldest change that was not taken yet.
    pub fn take(&self) -> Option<Rebalance> {
        lock(&self.queue).pop_front()
    }

    /// Whether a change was not taken yet.
    pub fn is_waiting(&self) -> bool {
        !lock(&self.queue).is_empty()
    }

    /// From now on changes are answered on the spot: nobody is left to ask, and closing waits for the answer.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

impl ConsumerContext for Context<Rebalances> {
    /// Queues the change. librdkafka holds the rebalance, and all fetching, until the task has answered.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, change: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = change == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.notes.closing.load(Ordering::Acquire) {
            let answer = if assign { consumer.incremental_assign(list) } else { consumer.incremental_unassign(list) };
            if let Err(error) = answer {
                let Owner { connector, task, .. } = &self.owner;
                tracing::warn!(%connector, task, %error, "cannot answer a rebalance while closing");
            }
            return;
        }
        let partitions = partitions(list);
        lock(&self.notes.queue).push_back(if assign {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke { partitions, lost: consumer.assignment_lost() }
        });
    }
}

/// How many failed deliveries are told one by one; the rest is counted.
const FAILURES_TOLD: usize = 4;

/// Notes of a producer: records that the broker did not take.
#[derive(Default)]
pub(super) struct Deliveries(Mutex<Failures>);

/// Records that the broker did not take.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    /// How many.
    pub count: usize,
    /// The first few: where to, and why not.
    pub first: Vec<(TopicPartition, Code)>,
}

impl Failures {
    /// For people.
    pub fn describe(&self) -> String {
        let told: Vec<String> =
            self.first.iter().map(|(place, code)| format!("a record for {place}: {code}")).collect();
        match self.count - self.first.len() {
            0 => told.join(", "),
            more => format!("{} and {more} more", told.join(", ")),
        }
    }
}

impl Deliveries {
    /// What failed since the last call.
    pub fn take(&self) -> Option<Failures> {
        let failures = std::mem::take(&mut *lock(&self.0));
        (failures.count > 0).then_some(failures)
    }
}

impl ProducerContext for Context<Deliveries> {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        // Records that an abort threw away did not fail.
        if matches!(code, Code::PurgeQueue | Code::PurgeInflight) {
            return;
        }
        let mut failures = lock(&self.notes.0);
        failures.count += 1;
        if failures.first.len() < FAILURES_TOLD {
            failures.first.push((TopicPartition::new(message.topic(), message.partition()), code));
        }
    }
}

/// The places of a list.
pub(super) fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

/// Locks; notes stay true when somebody panicked over them.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
