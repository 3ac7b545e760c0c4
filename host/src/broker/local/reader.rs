//! A reader of committed records, outside any group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Inner;
use super::catalog::{Topic, Watch};
use super::fetch::{self, Position};
use crate::broker::{BatchLimits, BrokerError, PartitionBatch, ReadFrom, ReadSpec, Reader};

/// A reader of the embedded broker.
pub(super) struct LocalReader {
    broker: Arc<Inner>,
    operation: String,
    cursors: Vec<Cursor>,
    wake: Arc<Notify>,
    turn: usize,
}

struct Cursor {
    watch: Watch,
    next: i64,
    /// The partition's end when the reader was opened.
    end: i64,
}

impl LocalReader {
    /// Opens a reader. Ends are read from the file, so that another process's commits count at once.
    pub(super) async fn open(broker: Arc<Inner>, topic: Arc<Topic>, spec: ReadSpec) -> Result<Self, BrokerError> {
        let operation = format!("read topic {}", topic.name);
        let numbers = spec.partitions.unwrap_or_else(|| (0..topic.partition_count()).collect());
        let wake = Arc::new(Notify::new());
        let mut watches = BTreeMap::new();
        for number in numbers {
            let Some(partition) = topic.partition(number) else {
                let message = format!("no partition {number}, there are {}", topic.partition_count());
                return Err(BrokerError::fatal(operation, message));
            };
            watches.insert(number, Watch::new(Arc::clone(partition), &wake));
        }
        let partitions: Vec<_> = watches.values().map(|watch| Arc::clone(&watch.partition)).collect();
        let from = spec.from;
        let places = broker.reads.run(operation.clone(), move |connection| {
            let mut places = Vec::with_capacity(partitions.len());
            for partition in partitions {
                let mut statement = connection.prepare_cached("SELECT next_offset FROM partitions WHERE id = ?1")?;
                let end: i64 = statement.query_row([partition.id], |row| row.get(0))?;
                let next = match from {
                    ReadFrom::Beginning => 0,
                    ReadFrom::End => end,
                    ReadFrom::Offset(offset) => offset.max(0),
                    ReadFrom::Timestamp(time) => fetch::offset_at(connection, &partition, time)?.unwrap_or(end),
                };
                partition.grow(end);
                places.push((next, end));
            }
            Ok(places)
        });
        let places = places.await?;
        let cursors = watches.into_values().zip(places).map(|(watch, (next, end))| Cursor { watch, next, end });
        Ok(Self { broker, operation, cursors: cursors.collect(), wake, turn: 0 })
    }

    fn ready(&self) -> Vec<(usize, Position)> {
        let ready = self.cursors.iter().enumerate().filter(|(_, cursor)| cursor.next < cursor.watch.partition.end());
        ready
            .map(|(index, cursor)| {
                (index, Position { partition: Arc::clone(&cursor.watch.partition), next: cursor.next })
            })
            .collect()
    }

    async fn read(
        &mut self,
        mut ready: Vec<(usize, Position)>,
        limits: BatchLimits,
    ) -> Result<Vec<PartitionBatch>, BrokerError> {
        let first = self.turn % ready.len().max(1);
        ready.rotate_left(first);
        self.turn = self.turn.wrapping_add(1);
        let (indexes, positions): (Vec<usize>, Vec<Position>) = ready.into_iter().unzip();
        let read = move |connection: &_| fetch::fetch(connection, &positions, limits);
        let fetched = self.broker.reads.run(self.operation.clone(), read).await?;
        let mut batches = Vec::with_capacity(fetched.len());
        for fetched in fetched {
            let cursor = indexes.get(fetched.index).and_then(|index| self.cursors.get_mut(*index));
            if let Some(cursor) = cursor {
                cursor.next = fetched.next;
            }
            batches.extend(fetched.batch);
        }
        Ok(batches)
    }
}

#[async_trait]
impl Reader for LocalReader {
    async fn next(&mut self, limits: BatchLimits, wait: Duration) -> Result<Vec<PartitionBatch>, BrokerError> {
        let deadline = Instant::now() + wait;
        loop {
            let ready = self.ready();
            if ready.is_empty() {
                if tokio::time::timeout_at(deadline, self.wake.notified()).await.is_err() {
                    return Ok(Vec::new());
                }
                continue;
            }
            let batches = self.read(ready, limits).await?;
            if !batches.is_empty() {
                return Ok(batches);
            }
        }
    }

    fn at_end(&self) -> bool {
        self.cursors.iter().all(|cursor| cursor.next >= cursor.end)
    }
}
