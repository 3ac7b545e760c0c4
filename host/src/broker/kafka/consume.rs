//! A task's place in its consumer group: what it subscribes to, what it was assigned, what it read, and where it
//! would begin again.

use std::collections::{HashMap, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::config::Properties;
use super::context::{Context, Owner, Rebalance, Rebalances};
use super::errors::{broker_error, is_fencing, is_refusal};
use super::gather::Gather;
use super::membership::Renewal;
use super::subscribe::Subscription;
use crate::broker::{BatchLimits, BrokerError, Consumed, PartitionBatch, TopicPartition, TopicPartitionOffset};

/// How long one poll may wait before the consumer looks whether anybody still waits for the answer.
pub(super) const POLL_SLICE: Duration = Duration::from_millis(100);
/// How long a rewind waits for the partitions to have been sought.
const SEEK_WITHIN: Duration = Duration::from_secs(10);
/// The pause before a partition is sought again that could not be yet.
const SEEK_PAUSE: Duration = Duration::from_millis(20);
/// Pausing throws away what was fetched ahead, so a task may be busy for this part of `max.poll.interval.ms` first.
const PAUSE_AFTER_PART: u32 = 8;
/// The least and the most that part may come to.
const PAUSE_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// A member of a consumer group.
pub(super) struct GroupConsumer {
    pub(super) consumer: BaseConsumer<Context<Rebalances>>,
    pub(super) group: String,
    pub(super) subscription: Subscription,
    pub(super) positions: HashMap<TopicPartition, Position>,
    /// The change that the task was told of and has not answered yet.
    pub(super) unanswered: Option<Rebalance>,
    /// Messages that were polled and did not fit the last answer.
    pub(super) carried: VecDeque<OwnedMessage>,
    /// An answer that nobody waited for any more.
    pub(super) undelivered: Option<Consumed>,
    /// Partitions that came while the task stood by: the group has its answer, the task was not told yet.
    pub(super) adopted: Vec<TopicPartition>,
    pub(super) pause_after: Duration,
    pub(super) paused: bool,
    pub(super) renewal: Renewal,
    /// Whether the group has answered it, be it with no partitions.
    pub(super) dealt: bool,
}

/// Where a task stands in a partition; both are unknown until something was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    /// Where an abort goes back to.
    pub(super) resume: Option<i64>,
    /// What librdkafka hands out next.
    pub(super) next: Option<i64>,
}

impl GroupConsumer {
    /// Joins the group.
    pub fn open(
        properties: &Properties,
        owner: Owner,
        group: String,
        subscription: Subscription,
    ) -> Result<Self, BrokerError> {
        let interval = Duration::from_millis(properties.number("max.poll.interval.ms", 300_000));
        let consumer = properties
            .build()
            .create_with_context(Context::new(owner, Rebalances::default()))
            .map_err(|error| broker_error(format!("create the consumer of group {group}"), &error))?;
        let mut member = Self {
            consumer,
            group,
            subscription,
            positions: HashMap::new(),
            unanswered: None,
            carried: VecDeque::new(),
            undelivered: None,
            adopted: Vec::new(),
            pause_after: (interval / PAUSE_AFTER_PART).clamp(PAUSE_AFTER.0, PAUSE_AFTER.1),
            paused: false,
            renewal: if properties.is_static() { Renewal::Due } else { Renewal::Done },
            // Of the other protocol's brokers an answer without partitions is not told.
            dealt: !properties.is_classic(),
        };
        member.subscribe(Instant::now())?;
        Ok(member)
    }

    /// Waits for input or a change of the assignment, as long as somebody wants to know.
    pub fn consume(
        &mut self,
        limits: BatchLimits,
        wait: Duration,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Consumed, BrokerError> {
        if let Some(answer) = self.undelivered.take() {
            return Ok(answer);
        }
        if !self.adopted.is_empty() {
            return Ok(Consumed::Assigned(self.adopted.clone()));
        }
        self.resume()?;
        let deadline = Instant::now() + wait;
        loop {
            let now = Instant::now();
            self.subscribe(now)?;
            if let Some(change) = self.next_rebalance()? {
                return Ok(change);
            }
            let batches = self.gather(limits, deadline.saturating_duration_since(now).min(POLL_SLICE))?;
            if !batches.is_empty() {
                return Ok(Consumed::Batches(batches));
            }
            if self.changed() {
                continue;
            }
            if Instant::now() >= deadline || !wanted() {
                let joining = !self.dealt && self.subscription.has_topics();
                return Ok(if joining { Consumed::Joining } else { Consumed::Idle });
            }
        }
    }

    /// Keeps an answer for the next call, because the one that asked for it was given up.
    pub fn keep(&mut self, answer: Consumed) {
        if !matches!(answer, Consumed::Idle | Consumed::Joining) {
            self.undelivered = Some(answer);
        }
    }

    /// What a transaction needs to commit offsets for the group.
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// Takes note that offsets were committed.
    pub fn committed(&mut self, offsets: &[TopicPartitionOffset]) {
        for committed in offsets {
            if let Some(position) = self.positions.get_mut(&committed.partition) {
                position.resume = Some(committed.offset);
            }
        }
    }

    /// Goes back to the last commit, or to where it began without one. What was read says where that is, so the group
    /// need not be asked; partitions of which nothing was read stay where they are.
    pub fn rewind(&mut self) -> Result<(), BrokerError> {
        self.carried.clear();
        if matches!(self.undelivered, Some(Consumed::Batches(_))) {
            self.undelivered = None;
        }
        let leaving = match &self.unanswered {
            Some(Rebalance::Revoke { partitions, lost: true }) => partitions.as_slice(),
            _ => &[],
        };
        let mut list = TopicPartitionList::new();
        for (place, position) in &mut self.positions {
            let (Some(resume), Some(next)) = (position.resume, position.next) else { continue };
            if resume == next {
                continue;
            }
            position.next = Some(resume);
            if !leaving.contains(place) {
                list.add_partition_offset(&place.topic, place.partition, Offset::Offset(resume))
                    .map_err(|error| broker_error(format!("rewind {place}"), &error))?;
            }
        }
        self.seek(list).map_err(|error| broker_error(format!("rewind group {}", self.group), &error))
    }

    /// Goes elsewhere in partitions. One of which the group's offset is still being asked for cannot be sought yet.
    pub(super) fn seek(&self, list: TopicPartitionList) -> Result<(), KafkaError> {
        if list.count() == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + SEEK_WITHIN;
        loop {
            let sought = self.consumer.seek_partitions(list.clone(), SEEK_WITHIN)?;
            match sought.elements().iter().try_for_each(|element| element.error()) {
                Err(error) if error.rdkafka_error_code() == Some(Code::State) && Instant::now() < deadline => {
                    thread::sleep(SEEK_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    /// Keeps the membership while the task is busy for so long. Fetching is paused, so that a poll brings no records.
    pub fn idle(&mut self, busy: Duration) -> Result<(), BrokerError> {
        if busy < self.pause_after {
            return Ok(());
        }
        self.poll_paused(Duration::ZERO)
    }

    /// Polls for what the group has to say: nothing is fetched meanwhile.
    pub(super) fn poll_paused(&mut self, wait: Duration) -> Result<(), BrokerError> {
        if !self.paused {
            let assigned = self.assigned()?;
            self.consumer
                .pause(&assigned)
                .map_err(|error| broker_error(format!("pause group {}", self.group), &error))?;
            self.paused = true;
        }
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                let message = message.detach();
                self.carry(message);
            }
            Some(Err(error)) => check(&self.consumer, &self.group, &error)?,
            None => {}
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), BrokerError> {
        if !std::mem::take(&mut self.paused) {
            return Ok(());
        }
        let assigned = self.assigned()?;
        self.consumer.resume(&assigned).map_err(|error| broker_error(format!("resume group {}", self.group), &error))
    }

    fn assigned(&self) -> Result<TopicPartitionList, BrokerError> {
        self.consumer
            .assignment()
            .map_err(|error| broker_error(format!("list the partitions of group {}", self.group), &error))
    }

    fn changed(&mut self) -> bool {
        self.unanswered.is_none() && self.consumer.context().notes.is_waiting()
    }

    /// What is there within the limits; waits for the first record only.
    fn gather(&mut self, limits: BatchLimits, wait: Duration) -> Result<Vec<PartitionBatch>, BrokerError> {
        let mut gather = Gather::new(limits);
        while let Some(message) = self.carried.pop_front_if(|message| gather.fits(&*message)) {
            gather.push(&message);
        }
        let mut left_over = None;
        while self.carried.is_empty() && left_over.is_none() && !gather.is_full() {
            let wait = if gather.is_empty() { wait } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                Some(Ok(message)) if gather.fits(&message) => gather.push(&message),
                Some(Ok(message)) => left_over = Some(message.detach()),
                Some(Err(error)) => check(&self.consumer, &self.group, &error)?,
                None => break,
            }
        }
        let mut batches = Vec::new();
        for gathered in gather.finish()? {
            self.polled(gathered.batch.partition.clone(), gathered.first, gathered.batch.next_offset);
            batches.push(gathered.batch);
        }
        if let Some(message) = left_over {
            self.carry(message);
        }
        Ok(batches)
    }

    /// Keeps a polled message for the next answer. It counts as read: an abort that drops it has to fetch it again.
    fn carry(&mut self, message: OwnedMessage) {
        let place = TopicPartition::new(message.topic(), message.partition());
        self.polled(place, message.offset(), message.offset() + 1);
        self.carried.push_back(message);
    }

    fn polled(&mut self, place: TopicPartition, first: i64, next: i64) {
        let position = self.positions.entry(place).or_default();
        position.resume.get_or_insert(first);
        position.next = position.next.max(Some(next));
    }
}

/// Most errors of a poll heal by themselves and were logged when they came; these do not.
fn check(consumer: &BaseConsumer<Context<Rebalances>>, group: &str, error: &KafkaError) -> Result<(), BrokerError> {
    let code = error.rdkafka_error_code();
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let lasting =
        |code| is_refusal(code) || is_fencing(code) || matches!(code, Code::AutoOffsetReset | Code::OffsetOutOfRange);
    if !fatal && !code.is_some_and(lasting) {
        return Ok(());
    }
    let operation = format!("consume in group {group}");
    let message = consumer.context().last_error().unwrap_or_else(|| error.to_string());
    Err(if code.is_some_and(is_fencing) {
        BrokerError::fenced(operation, message)
    } else {
        BrokerError::fatal(operation, message)
    })
}

pub(super) fn is_from(message: &OwnedMessage, place: &TopicPartition) -> bool {
    message.partition() == place.partition && message.topic() == &*place.topic
}

/// The offsets of a commit, as librdkafka takes them.
pub(super) fn offsets(committed: &[TopicPartitionOffset]) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(committed.len());
    for TopicPartitionOffset { partition, offset } in committed {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
            .map_err(|error| broker_error(format!("commit offset {offset} of {partition}"), &error))?;
    }
    Ok(list)
}
