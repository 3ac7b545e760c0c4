//! A task as the cases play it: it takes partitions up, counts what it read only once it is committed, and lets go.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use sandbar::broker::{
    BrokerErrorKind, Commit, Consumed, Session, SessionSpec, SourceOffset, StateChange, TopicPartition,
    TopicPartitionOffset,
};

use super::fixture::{Fixture, LIMITS, Row, WAIT, rows, within};

/// A session with the bookkeeping of a task.
pub struct Task {
    /// The session.
    pub session: Box<dyn Session>,
    /// The partitions it has taken up.
    pub owned: BTreeSet<TopicPartition>,
    /// What it read since the last commit.
    pub pending: Vec<Row>,
    /// What it read and committed.
    pub done: Vec<Row>,
    positions: BTreeMap<TopicPartition, i64>,
}

impl Task {
    /// Opens a session.
    pub async fn open(fixture: &Fixture, spec: SessionSpec) -> Result<Self> {
        let session = within("open a session", async { Ok(fixture.broker().session(spec).await?) }).await?;
        Ok(Self { session, owned: BTreeSet::new(), pending: Vec::new(), done: Vec::new(), positions: BTreeMap::new() })
    }

    /// Consumes once, and answers every change of the assignment at once.
    pub async fn step(&mut self) -> Result<()> {
        match self.session.consume(LIMITS, WAIT).await? {
            Consumed::Idle | Consumed::Joining => {}
            Consumed::Batches(batches) => {
                for batch in batches {
                    self.pending.extend(rows(&batch)?);
                    self.positions.insert(batch.partition.clone(), batch.next_offset);
                }
            }
            Consumed::Assigned(partitions) => self.accept(partitions).await?,
            Consumed::Revoked(partitions) => {
                self.commit().await?;
                self.release(partitions).await?;
            }
            Consumed::Lost(partitions) => {
                self.abort().await?;
                self.release(partitions).await?;
            }
        }
        Ok(())
    }

    /// Takes partitions up at their committed offsets.
    pub async fn accept(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        self.owned.extend(partitions.iter().cloned());
        Ok(self.session.accept(partitions.into_iter().map(|p| (p, None)).collect()).await?)
    }

    /// Lets partitions go.
    pub async fn release(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        for partition in &partitions {
            self.owned.remove(partition);
        }
        Ok(self.session.release(partitions).await?)
    }

    /// Steps until so many partitions are taken up.
    pub async fn until_owned(&mut self, count: usize) -> Result<()> {
        within(&format!("own {count} partitions"), async {
            while self.owned.len() != count {
                self.step().await?;
            }
            Ok(())
        })
        .await
    }

    /// Steps until so many records are pending, or more.
    pub async fn until_pending(&mut self, count: usize) -> Result<()> {
        within(&format!("consume {count} records"), async {
            while self.pending.len() < count {
                self.step().await?;
            }
            Ok(())
        })
        .await
    }

    /// Commits what was read. Where the broker says that the transaction is lost, the task begins again at the last
    /// commit, as a real one does.
    pub async fn commit(&mut self) -> Result<()> {
        self.commit_with(Vec::new(), Vec::new()).await
    }

    /// Commits what was read, with source offsets and state.
    pub async fn commit_with(&mut self, source_offsets: Vec<SourceOffset>, state: Vec<StateChange>) -> Result<()> {
        let consumed = self
            .positions
            .iter()
            .map(|(partition, offset)| TopicPartitionOffset { partition: partition.clone(), offset: *offset })
            .collect();
        let commit = Commit { consumed, source_offsets, state };
        let outcome = within("commit", async { Ok(self.session.commit(commit).await) }).await?;
        match outcome {
            Ok(()) => {
                self.done.append(&mut self.pending);
                self.positions.clear();
                Ok(())
            }
            Err(error) if matches!(error.kind, BrokerErrorKind::Abortable | BrokerErrorKind::Rebalanced) => {
                self.abort().await
            }
            Err(error) => bail!(error),
        }
    }

    /// Begins again at the last commit.
    pub async fn abort(&mut self) -> Result<()> {
        self.pending.clear();
        self.positions.clear();
        within("abort", async { Ok(self.session.abort().await?) }).await
    }

    /// Closes the session.
    pub async fn close(self) -> Result<Vec<Row>> {
        within("close", async { Ok(self.session.close().await?) }).await?;
        Ok(self.done)
    }
}
