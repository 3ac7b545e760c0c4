//! A task's place in its consumer group: what it subscribes to, what it was assigned, what it read, and where it
//! would begin again.

use std::collections::{HashMap, VecDeque};
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
use super::subscribe::Subscription;
use crate::broker::{BatchLimits, BrokerError, Consumed, PartitionBatch, TopicPartition, TopicPartitionOffset};

/// How long one poll may wait before the consumer looks whether anybody still waits for the answer.
const POLL_SLICE: Duration = Duration::from_millis(100);
/// How long a rewind waits for the partitions to have been sought.
const SEEK_WITHIN: Duration = Duration::from_secs(10);
/// Pausing throws away what was fetched ahead, so a task may be busy for this part of `max.poll.interval.ms` first.
const PAUSE_AFTER_PART: u32 = 8;
/// The least and the most that part may come to.
const PAUSE_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// A member of a consumer group.
pub(super) struct GroupConsumer {
    consumer: BaseConsumer<Context<Rebalances>>,
    group: String,
    subscription: Subscription,
    positions: HashMap<TopicPartition, Position>,
    /// The change that the task was told of and has not answered yet.
    unanswered: Option<Rebalance>,
    /// Messages that were polled and did not fit the last answer.
    carried: VecDeque<OwnedMessage>,
    /// An answer that nobody waited for any more.
    undelivered: Option<Consumed>,
    /// Partitions that came while the task stood by: the group has its answer, the task was not told yet.
    adopted: Vec<TopicPartition>,
    pause_after: Duration,
    paused: bool,
}

/// Where a task stands in a partition; both are unknown until something was read.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// Where an abort goes back to.
    resume: Option<i64>,
    /// What librdkafka hands out next.
    next: Option<i64>,
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
                return Ok(Consumed::Idle);
            }
        }
    }

    /// Waits, as long as somebody wants to know, for partitions that go. Those that come are taken up here: the group does
    /// not go on before it has its answer.
    pub fn stand_by(&mut self, wait: Duration, wanted: &dyn Fn() -> bool) -> Result<Consumed, BrokerError> {
        match self.undelivered.take() {
            Some(Consumed::Assigned(partitions)) => self.adopt(partitions)?,
            Some(change @ (Consumed::Revoked(_) | Consumed::Lost(_))) => return Ok(change),
            other => self.undelivered = other,
        }
        let deadline = Instant::now() + wait;
        loop {
            self.subscribe(Instant::now())?;
            while let Some(change) = self.consumer.context().notes.take() {
                match change {
                    Rebalance::Assign(partitions) => self.adopt(partitions)?,
                    Rebalance::Revoke { partitions, lost } => {
                        if let Some(change) = self.told_to_go(partitions, lost)? {
                            return Ok(change);
                        }
                    }
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !wanted() {
                return Ok(Consumed::Idle);
            }
            self.poll_paused(left.min(POLL_SLICE))?;
        }
    }

    /// Keeps an answer for the next call, because the one that asked for it was given up.
    pub fn keep(&mut self, answer: Consumed) {
        if !matches!(answer, Consumed::Idle) {
            self.undelivered = Some(answer);
        }
    }

    /// Takes partitions up.
    pub fn accept(&mut self, partitions: &[(TopicPartition, Option<i64>)]) -> Result<(), BrokerError> {
        let failed = |error| broker_error(format!("take partitions of group {} up", self.group), &error);
        let (mut list, mut sought) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (place, offset) in partitions {
            match (self.adopted.contains(place), offset) {
                (true, None) => Ok(()),
                (true, Some(offset)) => {
                    // What came of it meanwhile is of elsewhere.
                    self.carried.retain(|message| !is_from(message, place));
                    sought.add_partition_offset(&place.topic, place.partition, Offset::Offset(*offset))
                }
                // Without an offset librdkafka asks the group for the committed one.
                (false, offset) => {
                    let offset = offset.map_or(Offset::Invalid, Offset::Offset);
                    list.add_partition_offset(&place.topic, place.partition, offset)
                }
            }
            .map_err(failed)?;
        }
        if self.unanswered.is_some() || list.count() > 0 {
            self.consumer.incremental_assign(&list).map_err(failed)?;
        }
        if sought.count() > 0 {
            let sought = self.consumer.seek_partitions(sought, SEEK_WITHIN).map_err(failed)?;
            sought.elements().iter().try_for_each(|element| element.error()).map_err(failed)?;
        }
        for (place, offset) in partitions {
            self.positions.insert(place.clone(), Position { resume: *offset, next: *offset });
        }
        self.adopted.retain(|adopted| !partitions.iter().any(|(place, _)| place == adopted));
        self.unanswered = None;
        Ok(())
    }

    /// Lets partitions go.
    pub fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.carried.retain(|message| !partitions.iter().any(|place| is_from(message, place)));
        if let Some(Consumed::Batches(batches)) = &mut self.undelivered {
            batches.retain(|batch| !partitions.contains(&batch.partition));
        }
        if matches!(&self.undelivered, Some(Consumed::Batches(batches)) if batches.is_empty()) {
            self.undelivered = None;
        }
        for place in partitions {
            self.positions.remove(place);
        }
        // With those of which the task was never told.
        match self.unanswered.take() {
            Some(Rebalance::Revoke { partitions, .. }) => self.unassign(&partitions),
            _ => self.unassign(partitions),
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
        if list.count() == 0 {
            return Ok(());
        }
        let failed = |error| broker_error(format!("rewind group {}", self.group), &error);
        let sought = self.consumer.seek_partitions(list, SEEK_WITHIN).map_err(failed)?;
        sought.elements().iter().try_for_each(|element| element.error()).map_err(failed)
    }

    /// Keeps the membership while the task is busy for so long. Fetching is paused, so that a poll brings no records.
    pub fn idle(&mut self, busy: Duration) -> Result<(), BrokerError> {
        if busy < self.pause_after {
            return Ok(());
        }
        self.poll_paused(Duration::ZERO)
    }

    /// Leaves the group.
    pub fn close(mut self) {
        self.consumer.context().notes.close();
        // librdkafka waits for these answers before it lets go.
        let mut waiting: Vec<Rebalance> = self.unanswered.take().into_iter().collect();
        while let Some(change) = self.consumer.context().notes.take() {
            waiting.push(change);
        }
        for change in waiting {
            let answered = match change {
                Rebalance::Assign(_) => self.consumer.incremental_assign(&TopicPartitionList::new()),
                Rebalance::Revoke { partitions, .. } => self.consumer.incremental_unassign(&list(&partitions)),
            };
            if let Err(error) = answered {
                tracing::debug!(group = self.group, %error, "a rebalance was over before it was answered");
            }
        }
    }

    fn subscribe(&mut self, now: Instant) -> Result<(), BrokerError> {
        let Some(names) = self.subscription.changed(now) else { return Ok(()) };
        tracing::debug!(group = self.group, topics = ?names, "subscribe");
        if names.is_empty() {
            self.consumer.unsubscribe();
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.consumer
            .subscribe(&names)
            .map_err(|error| broker_error(format!("subscribe group {} to {}", self.group, names.join(", ")), &error))
    }

    /// Polls for what the group has to say: nothing is fetched meanwhile.
    fn poll_paused(&mut self, wait: Duration) -> Result<(), BrokerError> {
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

    /// Answers for the task that partitions are taken up, and keeps them from it until it asks.
    fn adopt(&mut self, partitions: Vec<TopicPartition>) -> Result<(), BrokerError> {
        let failed = |error| broker_error(format!("take partitions of group {} up", self.group), &error);
        let list = list(&partitions);
        self.consumer.incremental_assign(&list).map_err(failed)?;
        if self.paused {
            self.consumer.pause(&list).map_err(failed)?;
        }
        self.unanswered = None;
        self.adopted.extend(partitions);
        Ok(())
    }

    /// What to tell the task of partitions that go: those that it was told of. Without any the answer is given here.
    fn told_to_go(&mut self, partitions: Vec<TopicPartition>, lost: bool) -> Result<Option<Consumed>, BrokerError> {
        let known: Vec<_> = partitions.iter().filter(|place| !self.adopted.contains(place)).cloned().collect();
        self.adopted.retain(|place| !partitions.contains(place));
        if known.is_empty() {
            self.carried.retain(|message| !partitions.iter().any(|place| is_from(message, place)));
            self.unassign(&partitions)?;
            return Ok(None);
        }
        let lost = lost || self.consumer.assignment_lost();
        self.unanswered = Some(Rebalance::Revoke { partitions, lost });
        Ok(Some(if lost { Consumed::Lost(known) } else { Consumed::Revoked(known) }))
    }

    fn unassign(&self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        self.consumer
            .incremental_unassign(&list(partitions))
            .map_err(|error| broker_error(format!("let partitions of group {} go", self.group), &error))
    }

    /// The next change to tell the task of. One that changes nothing is answered here.
    fn next_rebalance(&mut self) -> Result<Option<Consumed>, BrokerError> {
        while let Some(change) = self.consumer.context().notes.take() {
            match change {
                Rebalance::Assign(partitions) if partitions.is_empty() => self.adopt(partitions)?,
                Rebalance::Assign(partitions) => {
                    self.unanswered = Some(Rebalance::Assign(partitions.clone()));
                    return Ok(Some(Consumed::Assigned(partitions)));
                }
                Rebalance::Revoke { partitions, lost } => {
                    if let Some(change) = self.told_to_go(partitions, lost)? {
                        return Ok(Some(change));
                    }
                }
            }
        }
        Ok(None)
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

fn is_from(message: &OwnedMessage, place: &TopicPartition) -> bool {
    message.partition() == place.partition && message.topic() == &*place.topic
}

fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for place in partitions {
        list.add_partition(&place.topic, place.partition);
    }
    list
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
