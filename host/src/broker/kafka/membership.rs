//! How a member of a group answers it: partitions are taken up, let go, or taken up in the task's stead while it waits.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset;

use super::consume::{GroupConsumer, POLL_SLICE, Position, is_from};
use super::context::Rebalance;
use super::errors::broker_error;
use crate::broker::{BrokerError, Consumed, TopicPartition};

/// Whether a static member has had the group deal anew. One that comes back is handed what it had, and the others are asked
/// nothing: what was on its way from it or to it when it went would then belong to nobody. So it leaves once, and joins
/// again before the others have noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It was not dealt anything yet.
    Due,
    /// It has left, and waits for what it is dealt anew.
    UnderWay,
    /// Nothing is to be done.
    Done,
}

impl GroupConsumer {
    /// Waits, as long as somebody wants to know, for partitions that go. Those that come are taken up here: the group does
    /// not go on before it has its answer.
    pub fn stand_by(&mut self, wait: Duration, wanted: &dyn Fn() -> bool) -> Result<Consumed, BrokerError> {
        match self.undelivered.take() {
            Some(Consumed::Assigned(partitions)) if self.unanswered.is_some() => self.adopt(partitions)?,
            // Adopted already.
            Some(Consumed::Assigned(_)) => {}
            Some(change @ (Consumed::Revoked(_) | Consumed::Lost(_))) => return Ok(change),
            other => self.undelivered = other,
        }
        let deadline = Instant::now() + wait;
        loop {
            self.subscribe(Instant::now())?;
            while let Some(change) = self.next_change()? {
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
        self.seek(sought).map_err(failed)?;
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

    pub(super) fn subscribe(&mut self, now: Instant) -> Result<(), BrokerError> {
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

    /// The next change to tell the task of. One that changes nothing is answered here.
    pub(super) fn next_rebalance(&mut self) -> Result<Option<Consumed>, BrokerError> {
        while let Some(change) = self.next_change()? {
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

    /// The next change that is not part of having the group deal anew.
    fn next_change(&mut self) -> Result<Option<Rebalance>, BrokerError> {
        while let Some(change) = self.consumer.context().notes.take() {
            match (&change, self.renewal) {
                (Rebalance::Assign(partitions), Renewal::Due) => self.renew(partitions)?,
                (Rebalance::Revoke { partitions, .. }, Renewal::Due | Renewal::UnderWay) => {
                    self.unassign(partitions)?
                }
                (Rebalance::Assign(_), Renewal::UnderWay | Renewal::Done) => {
                    (self.renewal, self.dealt) = (Renewal::Done, true);
                    return Ok(Some(change));
                }
                (Rebalance::Revoke { .. }, Renewal::Done) => return Ok(Some(change)),
            }
        }
        Ok(None)
    }

    fn renew(&mut self, partitions: &[TopicPartition]) -> Result<(), BrokerError> {
        let failed = |error| broker_error(format!("join group {} anew", self.group), &error);
        let subscription = self.consumer.subscription().map_err(failed)?;
        let topics: Vec<String> = subscription.elements().iter().map(|topic| topic.topic().to_owned()).collect();
        self.consumer.incremental_assign(&list(partitions)).map_err(failed)?;
        self.consumer.unsubscribe();
        self.renewal = Renewal::UnderWay;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(failed)
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
        let failed = |error| broker_error(format!("let partitions of group {} go", self.group), &error);
        let list = list(partitions);
        self.consumer.incremental_unassign(&list).map_err(failed)?;
        if self.paused {
            // A pause sticks to a partition that goes, and would be in force still when it comes back.
            self.consumer.resume(&list).map_err(failed)?;
        }
        Ok(())
    }
}

fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for place in partitions {
        list.add_partition(&place.topic, place.partition);
    }
    list
}
