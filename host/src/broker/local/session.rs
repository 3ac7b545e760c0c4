//! A task's session: its cursors in the partitions it owns, and its open transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::catalog::Watch;
use super::commit::{CommitWork, Committer};
use super::coordinator::Membership;
use super::fetch::{Position, fetch};
use super::group::Change;
use super::staging::Staging;
use super::{Inner, commit, operations, writer};
use crate::broker::{
    BatchLimits, BrokerError, Commit, Consumed, Output, PartitionBatch, Session, StateScope, TopicPartition,
    TopicPartitionOffset, TopicSettings,
};

/// A session of the embedded broker.
pub(super) struct LocalSession {
    broker: Arc<Inner>,
    committer: Committer,
    topic_settings: TopicSettings,
    membership: Option<Membership>,
    wake: Arc<Notify>,
    cursors: BTreeMap<TopicPartition, Cursor>,
    /// Which ready partition is read first: another one each time, so that none starves.
    turn: usize,
    staging: Staging,
    pending: Option<Pending>,
}

struct Cursor {
    watch: Watch,
    next: i64,
    /// Where an abort returns to.
    restart: i64,
    /// It was revoked: nothing more is read from it.
    revoked: bool,
}

/// A commit on its way. It stays here if the caller stops waiting for it, because it may still happen.
struct Pending {
    outcome: oneshot::Receiver<Result<(), BrokerError>>,
    consumed: Vec<TopicPartitionOffset>,
}

impl LocalSession {
    pub(super) fn new(
        broker: Arc<Inner>,
        committer: Committer,
        topic_settings: TopicSettings,
        membership: Option<Membership>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            broker,
            committer,
            topic_settings,
            membership,
            wake,
            cursors: BTreeMap::new(),
            turn: 0,
            staging: Staging::default(),
            pending: None,
        }
    }

    fn operation(&self, what: &str) -> String {
        format!("{what} of {}", self.committer.transactional_id)
    }

    /// Nothing goes on past a commit whose end nobody waited for.
    fn check_settled(&self, what: &str) -> Result<(), BrokerError> {
        match self.pending {
            None => Ok(()),
            Some(_) => Err(BrokerError::abortable(self.operation(what), "a commit was begun and not waited for")),
        }
    }

    /// Nobody who was thrown out of the group takes part in it: the place is taken, and so is the transactional id.
    fn check_member(&self, what: &str) -> Result<(), BrokerError> {
        if self.membership.as_ref().is_some_and(Membership::is_evicted) {
            return Err(BrokerError::fenced(self.operation(what), commit::TAKEN_OVER));
        }
        Ok(())
    }

    /// Waits for the commit on its way.
    async fn settle(&mut self) -> Result<(), BrokerError> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let outcome = (&mut pending.outcome).await;
        let consumed = self.pending.take().map(|pending| pending.consumed).unwrap_or_default();
        outcome.unwrap_or_else(|_| Err(writer::stopped(self.committer.operation())))?;
        self.staging.clear();
        for TopicPartitionOffset { partition, offset } in consumed {
            if let Some(cursor) = self.cursors.get_mut(&partition) {
                cursor.restart = offset;
            }
        }
        Ok(())
    }

    /// Reads nothing more from partitions that go.
    fn revoked(&mut self, partitions: Vec<TopicPartition>) -> Consumed {
        for partition in &partitions {
            if let Some(cursor) = self.cursors.get_mut(partition) {
                cursor.revoked = true;
            }
        }
        Consumed::Revoked(partitions)
    }

    /// Reads from the partitions that have something, if any has.
    async fn read(&mut self, limits: BatchLimits) -> Result<Vec<PartitionBatch>, BrokerError> {
        let mut ready: Vec<Position> = self
            .cursors
            .values()
            .filter(|cursor| !cursor.revoked && cursor.next < cursor.watch.partition.end())
            .map(|cursor| Position { partition: Arc::clone(&cursor.watch.partition), next: cursor.next })
            .collect();
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.turn % ready.len();
        ready.rotate_left(first);
        self.turn = self.turn.wrapping_add(1);
        let positions = ready.clone();
        let operation = self.operation("consume");
        let fetched = self.broker.reads.run(operation, move |connection| fetch(connection, &positions, limits)).await?;
        let mut batches = Vec::with_capacity(fetched.len());
        for fetched in fetched {
            let place = ready.get(fetched.index).map(|position| &position.partition.place);
            if let Some(cursor) = place.and_then(|place| self.cursors.get_mut(place)) {
                cursor.next = fetched.next;
            }
            batches.extend(fetched.batch);
        }
        Ok(batches)
    }
}

#[async_trait]
impl Session for LocalSession {
    async fn consume(&mut self, limits: BatchLimits, wait: Duration) -> Result<Consumed, BrokerError> {
        self.check_settled("consume")?;
        let deadline = Instant::now() + wait;
        loop {
            self.check_member("consume")?;
            match self.membership.as_ref().and_then(Membership::next_change) {
                Some(Change::Assigned(partitions)) => return Ok(Consumed::Assigned(partitions)),
                Some(Change::Revoked(partitions)) => return Ok(self.revoked(partitions)),
                None => {}
            }
            let ends =
                self.cursors.values().any(|cursor| !cursor.revoked && cursor.next < cursor.watch.partition.end());
            let batches = self.read(limits).await?;
            if !batches.is_empty() {
                return Ok(Consumed::Batches(batches));
            }
            // Compaction may have left nothing below an end; then there is another look before the wait.
            if !ends && tokio::time::timeout_at(deadline, self.wake.notified()).await.is_err() {
                return Ok(Consumed::Idle);
            }
        }
    }

    async fn stand_by(&mut self, wait: Duration) -> Result<Consumed, BrokerError> {
        self.check_settled("stand by")?;
        let deadline = Instant::now() + wait;
        loop {
            self.check_member("stand by")?;
            if let Some(partitions) = self.membership.as_ref().and_then(Membership::next_revoked) {
                return Ok(self.revoked(partitions));
            }
            if tokio::time::timeout_at(deadline, self.wake.notified()).await.is_err() {
                return Ok(Consumed::Idle);
            }
        }
    }

    async fn accept(&mut self, partitions: Vec<(TopicPartition, Option<i64>)>) -> Result<(), BrokerError> {
        let operation = self.operation("accept partitions");
        let Some(membership) = &self.membership else {
            return Err(BrokerError::fatal(operation, "the session consumes nothing"));
        };
        let group = Arc::clone(&membership.key().group);
        // Asked of the writer, so that a commit of the last owner that is still on its way comes first.
        let open: Vec<TopicPartition> =
            partitions.iter().filter(|(_, offset)| offset.is_none()).map(|(partition, _)| partition.clone()).collect();
        let committed = self.broker.writer.run(&operation, move |work| {
            let mut offsets = BTreeMap::new();
            for partition in &open {
                if let Some(offset) = operations::committed_offset(work, &group, partition)? {
                    offsets.insert(partition.clone(), offset);
                }
            }
            Ok(offsets)
        });
        let committed = committed.await?;
        for (place, offset) in partitions {
            let topic = self.broker.shared.catalog.get(&place.topic);
            let Some(partition) = topic.as_ref().and_then(|topic| topic.partition(place.partition)) else {
                return Err(BrokerError::fatal(operation, format!("there is no {place}")));
            };
            let start = offset.or_else(|| committed.get(&place).copied()).unwrap_or(0);
            let watch = Watch::new(Arc::clone(partition), &self.wake);
            // Taken up again at another offset, a partition that is on its way out stays so.
            let revoked = self.cursors.get(&place).is_some_and(|cursor| cursor.revoked);
            self.cursors.insert(place, Cursor { watch, next: start, restart: start, revoked });
        }
        Ok(())
    }

    async fn release(&mut self, partitions: Vec<TopicPartition>) -> Result<(), BrokerError> {
        for partition in &partitions {
            self.cursors.remove(partition);
        }
        if let Some(membership) = &self.membership {
            membership.release(&partitions);
        }
        Ok(())
    }

    async fn stage(&mut self, output: Output) -> Result<(), BrokerError> {
        self.check_settled("stage")?;
        self.staging.stage(&self.broker, output, &self.topic_settings).await
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), BrokerError> {
        self.check_settled("commit")?;
        let consumed = commit.consumed.clone();
        let work = CommitWork { task: Some(self.committer.clone()), staged: self.staging.share(), commit };
        let operation = self.committer.operation();
        let outcome = self.broker.writer.submit(operation, self.staging.bytes(), move |tx| work.run(tx)).await?;
        self.pending = Some(Pending { outcome, consumed });
        self.settle().await
    }

    async fn abort(&mut self) -> Result<(), BrokerError> {
        // Whether a commit that nobody waited for came to pass decides where the input goes back to; its error, if it
        // failed, is answered by the abort itself.
        drop(self.settle().await);
        self.staging.clear();
        for cursor in self.cursors.values_mut() {
            cursor.next = cursor.restart;
        }
        Ok(())
    }

    async fn load_offsets(&mut self) -> Result<Vec<(String, String)>, BrokerError> {
        let operation = self.operation("load source offsets");
        self.broker.source_offsets(operation, Arc::clone(&self.committer.connector)).await
    }

    async fn load_state(&mut self, scope: &StateScope) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
        let operation = self.operation("load state");
        let (connector, place) = (Arc::clone(&self.committer.connector), self.committer.place(&scope.place));
        self.broker.state(operation, connector, Arc::clone(&scope.stage), place).await
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        // Dropping the membership leaves the group; what is staged goes with the session.
        Ok(())
    }
}
