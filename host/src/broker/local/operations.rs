//! Small pieces of work on the file: transactions, topics, producers, committed offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::catalog::{self, Partition, Topic};
use super::errors::Failure;
use super::writer::{Shared, Work};
use crate::broker::{BrokerError, CleanupPolicy, Created, TopicPartition, TopicPartitionOffset, TopicSettings};

/// Partitions of one topic at most: each costs a row and a little memory, in every process that opens the file.
const MAX_PARTITIONS: i32 = 10_000;

/// Runs work in a transaction that is rolled back if the work or the commit fails.
pub(super) fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = work().and_then(|done| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(done)
    });
    // Some failures, a full disk among them, may have rolled back already.
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    done
}

/// Brings the catalog up to date with the file.
pub(super) fn refresh(connection: &Connection, shared: &Shared) -> rusqlite::Result<()> {
    let mut found = Vec::new();
    for topic in load_topics(connection)? {
        match shared.catalog.get(&topic.name) {
            Some(known) => {
                for (known, now) in known.partitions.iter().zip(&topic.partitions) {
                    known.grow(now.end());
                }
            }
            None => found.push(Arc::new(topic)),
        }
    }
    shared.coordinator.topics_found(found);
    Ok(())
}

/// A topic in the file, which the catalog learns of if it does not know it.
pub(super) fn find_topic(work: &mut Work<'_>, name: &str) -> Result<Option<Arc<Topic>>, Failure> {
    let sql = "SELECT t.cleanup_policy, p.id, p.next_offset FROM topics t JOIN partitions p ON p.topic_id = t.id \
               WHERE t.name = ?1 ORDER BY p.partition";
    let mut statement = work.connection.prepare_cached(sql)?;
    let mut rows = statement.query([name])?;
    let name: Arc<str> = name.into();
    let mut found: Option<Topic> = None;
    while let Some(row) = rows.next()? {
        let topic = match &mut found {
            Some(topic) => topic,
            None => found.insert(empty_topic(&name, row.get_ref(0)?.as_str().unwrap_or_default())),
        };
        push_partition(topic, row.get(1)?, row.get(2)?);
    }
    // The catalog's own entry is the one that sessions watch.
    let Some(topic) = found.map(|topic| work.shared.catalog.get(&name).unwrap_or_else(|| Arc::new(topic))) else {
        return Ok(None);
    };
    work.found(Arc::clone(&topic));
    Ok(Some(topic))
}

/// Creates a topic unless it exists.
pub(super) fn create_topic(
    work: &mut Work<'_>,
    name: &str,
    settings: &TopicSettings,
) -> Result<(Created, Arc<Topic>), Failure> {
    let refused = |why| BrokerError::fatal(format!("create topic {name}"), why);
    catalog::check_name(name).map_err(|why| refused(why.to_owned()))?;
    if !(1..=MAX_PARTITIONS).contains(&settings.partitions) {
        let why = format!("{} partitions, expected 1 to {MAX_PARTITIONS}", settings.partitions);
        return Err(refused(why).into());
    }
    if let Some(topic) = find_topic(work, name)? {
        return Ok((Created::Existed, topic));
    }
    let connection = work.connection;
    let sql = "INSERT INTO topics (name, cleanup_policy, retention_ms, retention_bytes) VALUES (?1, ?2, ?3, ?4)";
    let policy = settings.cleanup_policy.name();
    connection.prepare_cached(sql)?.execute(params![name, policy, settings.retention_ms, settings.retention_bytes])?;
    let id = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached("INSERT INTO partitions (topic_id, partition) VALUES (?1, ?2)")?;
    let mut topic = empty_topic(&name.into(), policy);
    for number in 0..settings.partitions {
        push_partition(&mut topic, insert.insert(params![id, number])?, 0);
    }
    let topic = Arc::new(topic);
    work.found(Arc::clone(&topic));
    Ok((Created::New, topic))
}

/// Takes a transactional id over: commits of an older epoch are fenced from now on.
pub(super) fn open_producer(work: &Work<'_>, transactional_id: &str) -> Result<i64, Failure> {
    let sql = "INSERT INTO producers (transactional_id, epoch) VALUES (?1, 0) \
               ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch";
    Ok(work.connection.prepare_cached(sql)?.query_row([transactional_id], |row| row.get(0))?)
}

/// The epoch of a transactional id.
pub(super) fn epoch(work: &Work<'_>, transactional_id: &str) -> Result<Option<i64>, Failure> {
    let sql = "SELECT epoch FROM producers WHERE transactional_id = ?1";
    Ok(work.connection.prepare_cached(sql)?.query_row([transactional_id], |row| row.get(0)).optional()?)
}

/// Where a group stands in a partition.
pub(super) fn committed_offset(
    work: &Work<'_>,
    group: &str,
    partition: &TopicPartition,
) -> Result<Option<i64>, Failure> {
    let sql = "SELECT next_offset FROM group_offsets WHERE consumer_group = ?1 AND topic = ?2 AND partition = ?3";
    let mut statement = work.connection.prepare_cached(sql)?;
    let key = params![group, &*partition.topic, partition.partition];
    Ok(statement.query_row(key, |row| row.get(0)).optional()?)
}

/// Where a group stands, everywhere.
pub(super) fn group_offsets(connection: &Connection, group: &str) -> Result<Vec<TopicPartitionOffset>, Failure> {
    let sql =
        "SELECT topic, partition, next_offset FROM group_offsets WHERE consumer_group = ?1 ORDER BY topic, partition";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([group], |row| {
        let partition = TopicPartition::new(row.get::<_, String>(0)?, row.get(1)?);
        Ok(TopicPartitionOffset { partition, offset: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets where a group stands, or forgets it.
pub(super) fn set_group_offsets(
    connection: &Connection,
    group: &str,
    offsets: &[(TopicPartition, Option<i64>)],
) -> Result<(), Failure> {
    for (at, offset) in offsets {
        match offset {
            Some(offset) => {
                let sql = "INSERT INTO group_offsets (consumer_group, topic, partition, next_offset) \
                           VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset";
                connection.prepare_cached(sql)?.execute(params![group, &*at.topic, at.partition, offset])?;
            }
            None => {
                let sql = "DELETE FROM group_offsets WHERE consumer_group = ?1 AND topic = ?2 AND partition = ?3";
                connection.prepare_cached(sql)?.execute(params![group, &*at.topic, at.partition])?;
            }
        }
    }
    Ok(())
}

/// All topics, with partitions in order.
fn load_topics(connection: &Connection) -> rusqlite::Result<Vec<Topic>> {
    let sql = "SELECT t.name, t.cleanup_policy, p.id, p.next_offset FROM topics t \
               JOIN partitions p ON p.topic_id = t.id ORDER BY t.name, p.partition";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut topics: BTreeMap<Arc<str>, Topic> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name: Arc<str> = row.get_ref(0)?.as_str().unwrap_or_default().into();
        let policy = row.get_ref(1)?.as_str().unwrap_or_default();
        let topic = topics.entry(Arc::clone(&name)).or_insert_with(|| empty_topic(&name, policy));
        push_partition(topic, row.get(2)?, row.get(3)?);
    }
    Ok(topics.into_values().collect())
}

fn empty_topic(name: &Arc<str>, policy: &str) -> Topic {
    let cleanup_policy = CleanupPolicy::from_name(policy).unwrap_or_default();
    Topic { name: Arc::clone(name), cleanup_policy, partitions: Vec::new() }
}

fn push_partition(topic: &mut Topic, id: i64, end: i64) {
    let place = TopicPartition { topic: Arc::clone(&topic.name), partition: topic.partition_count() };
    topic.partitions.push(Arc::new(Partition::new(id, place, end)));
}
