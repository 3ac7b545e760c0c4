//! A task's commit: records, consumed offsets, source offsets and state, checked first and then written together.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Statement, ToSql, params};
use sandbar_abi::frame::Record;

use super::catalog::Partition;
use super::coordinator::MemberKey;
use super::errors::Failure;
use super::staging::Staged;
use super::writer::Work;
use super::{headers, operations};
use crate::broker::{BrokerError, Commit, StatePlace, TopicPartition};

/// Why a session is fenced.
pub(super) const TAKEN_OVER: &str = "a newer session of the same task has taken over";

/// Everything a commit consists of. It can be written again if the transaction it was part of fails.
pub(super) struct CommitWork {
    /// Whose commit it is; none for tools, which nothing fences.
    pub(super) task: Option<Committer>,
    /// The records.
    pub(super) staged: Arc<Vec<Staged>>,
    /// The rest.
    pub(super) commit: Commit,
}

/// The task behind a commit.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    /// Its transactional id.
    pub(super) transactional_id: Arc<str>,
    /// The epoch it was given when its session was opened.
    pub(super) epoch: i64,
    /// Its connector.
    pub(super) connector: Arc<str>,
    /// Its number.
    pub(super) task: u32,
    /// Its place in a group, if it consumes.
    pub(super) member: Option<MemberKey>,
}

impl CommitWork {
    /// Does it. Refuses before it has written anything.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        if let Some(task) = &self.task {
            task.check(work, &self.commit)?;
            task.write_offsets(work, &self.commit)?;
            task.write_state(work, &self.commit)?;
        }
        append(work, &self.staged)
    }
}

impl Committer {
    /// What the commit is called in errors.
    pub(super) fn operation(&self) -> String {
        format!("commit {}", self.transactional_id)
    }

    /// The scope's place, as its column has it.
    pub(super) fn place(&self, place: &StatePlace) -> String {
        self::place(self.task, place)
    }

    fn check(&self, work: &Work<'_>, commit: &Commit) -> Result<(), Failure> {
        if operations::epoch(work, &self.transactional_id)? != Some(self.epoch) {
            return Err(BrokerError::fenced(self.operation(), TAKEN_OVER).into());
        }
        let Some(member) = &self.member else {
            if commit.consumed.is_empty() {
                return Ok(());
            }
            let message = "consumed offsets from a session that consumes nothing";
            return Err(BrokerError::fatal(self.operation(), message).into());
        };
        let with_state = commit.state.iter().filter_map(|change| match &change.scope.place {
            StatePlace::Partition(partition) => Some(partition),
            StatePlace::Task => None,
        });
        let touched = commit.consumed.iter().map(|consumed| &consumed.partition).chain(with_state);
        for partition in touched {
            if !work.shared.coordinator.holds(member, partition) {
                let message = format!("{partition} is not this session's");
                return Err(BrokerError::rebalanced(self.operation(), message).into());
            }
        }
        Ok(())
    }

    fn write_offsets(&self, work: &Work<'_>, commit: &Commit) -> Result<(), Failure> {
        if let Some(member) = &self.member {
            let sql = "INSERT INTO group_offsets (consumer_group, topic, partition, next_offset) \
                       VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset";
            let mut put = work.connection.prepare_cached(sql)?;
            for consumed in &commit.consumed {
                let TopicPartition { topic, partition } = &consumed.partition;
                put.execute(params![&*member.group, &**topic, partition, consumed.offset])?;
            }
        }
        for source in &commit.source_offsets {
            match &source.offset {
                Some(offset) => {
                    let sql = "INSERT INTO source_offsets (connector, source_partition, source_offset) \
                               VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET source_offset = excluded.source_offset";
                    let mut put = work.connection.prepare_cached(sql)?;
                    put.execute(params![&*self.connector, source.partition, offset])?;
                }
                None => {
                    let sql = "DELETE FROM source_offsets WHERE connector = ?1 AND source_partition = ?2";
                    work.connection.prepare_cached(sql)?.execute(params![&*self.connector, source.partition])?;
                }
            }
        }
        Ok(())
    }

    fn write_state(&self, work: &Work<'_>, commit: &Commit) -> Result<(), Failure> {
        for change in &commit.state {
            let place = self.place(&change.scope.place);
            let (connector, stage, key) = (&*self.connector, &*change.scope.stage, &*change.key);
            match &change.value {
                Some(value) => {
                    let sql = "INSERT INTO state (connector, stage, place, key, value) VALUES (?1, ?2, ?3, ?4, ?5) \
                               ON CONFLICT DO UPDATE SET value = excluded.value";
                    work.connection.prepare_cached(sql)?.execute(params![connector, stage, place, key, &**value])?;
                }
                None => {
                    let sql = "DELETE FROM state WHERE connector = ?1 AND stage = ?2 AND place = ?3 AND key = ?4";
                    work.connection.prepare_cached(sql)?.execute(params![connector, stage, place, key])?;
                }
            }
        }
        Ok(())
    }
}

/// How far an append has come in a partition.
struct Tail {
    partition: Arc<Partition>,
    next_offset: i64,
    bytes: i64,
}

/// Appends records, and moves the ends of their partitions.
fn append(work: &mut Work<'_>, staged: &[Staged]) -> Result<(), Failure> {
    let mut tails: HashMap<i64, usize> = HashMap::new();
    let mut appended: Vec<Tail> = Vec::new();
    {
        let mut next = work.connection.prepare_cached("SELECT next_offset FROM partitions WHERE id = ?1")?;
        let sql = "INSERT INTO records (partition_id, \"offset\", timestamp, timestamp_type, key, value, headers) \
                   VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)";
        let mut insert = work.connection.prepare_cached(sql)?;
        let mut headers = Vec::new();
        let mut local = Vec::new();
        for batch in staged {
            local.clear();
            for target in &batch.targets {
                let tail = match tails.get(&target.id) {
                    Some(tail) => *tail,
                    None => {
                        let next_offset = next.query_row([target.id], |row| row.get(0))?;
                        appended.push(Tail { partition: Arc::clone(target), next_offset, bytes: 0 });
                        tails.insert(target.id, appended.len() - 1);
                        appended.len() - 1
                    }
                };
                local.push(tail);
            }
            for (record, slot) in batch.batch.frame().records().zip(&batch.slots) {
                let tail = local.get(*slot as usize).and_then(|tail| appended.get_mut(*tail));
                let Some(tail) = tail else { continue };
                let timestamp = record.timestamp.unwrap_or(batch.now_ms);
                headers::encode(record.headers, &mut headers);
                tail.bytes += append_one(&mut insert, tail, timestamp, &record, &headers)?;
                tail.next_offset += 1;
            }
        }
        let sql = "UPDATE partitions SET next_offset = ?2, bytes = bytes + ?3 WHERE id = ?1";
        let mut update = work.connection.prepare_cached(sql)?;
        for tail in &appended {
            update.execute(params![tail.partition.id, tail.next_offset, tail.bytes])?;
        }
    }
    for tail in appended {
        work.grown(tail.partition, tail.next_offset);
    }
    Ok(())
}

fn append_one(
    insert: &mut Statement<'_>,
    tail: &Tail,
    timestamp: i64,
    record: &Record<'_>,
    headers: &[u8],
) -> Result<i64, Failure> {
    let headers = (!headers.is_empty()).then_some(headers);
    insert.raw_bind_parameter(1, tail.partition.id)?;
    insert.raw_bind_parameter(2, tail.next_offset)?;
    insert.raw_bind_parameter(3, timestamp)?;
    insert.raw_bind_parameter(4, Blob(record.key))?;
    insert.raw_bind_parameter(5, Blob(record.value))?;
    insert.raw_bind_parameter(6, Blob(headers))?;
    insert.raw_execute()?;
    let bytes: usize = [record.key, record.value, headers].into_iter().flatten().map(<[u8]>::len).sum();
    Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// A column that is bytes or NULL, bound without a copy on this side.
struct Blob<'a>(Option<&'a [u8]>);

impl ToSql for Blob<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0.map_or(ValueRef::Null, ValueRef::Blob)))
    }
}

/// A place of a task's state, as its column has it. No topic's name has a colon.
pub(super) fn place(task: u32, place: &StatePlace) -> String {
    match place {
        StatePlace::Task => format!("task:{task}"),
        StatePlace::Partition(TopicPartition { topic, partition }) => format!("partition:{topic}:{partition}"),
    }
}
