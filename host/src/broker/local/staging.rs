//! Records on their way into a transaction: checked, and each given its partition. They stay in memory, where nobody
//! sees them, until the commit.

use std::collections::HashMap;
use std::sync::Arc;

use sandbar_abi::Frame;
use sandbar_abi::frame::Record;

use super::catalog::{self, Partition, Topic};
use super::{Inner, errors};
use crate::batch::Batch;
use crate::broker::partitioner::partition_of_key;
use crate::broker::{BrokerError, CleanupPolicy, Output, TopicSettings};
use crate::wall_clock::now_ms;

/// How much one transaction may stage, in bytes. Tasks commit by time, records and bytes long before.
pub(super) const MAX_STAGED_BYTES: usize = 256 << 20;

/// The staged records of a transaction.
#[derive(Debug, Default)]
pub(super) struct Staging {
    staged: Arc<Vec<Staged>>,
    bytes: usize,
}

/// A batch, and where each of its records goes.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    /// The records.
    pub(super) batch: Batch,
    /// The partitions they go to.
    pub(super) targets: Vec<Arc<Partition>>,
    /// For each record the index of its partition in `targets`.
    pub(super) slots: Vec<u32>,
    /// The timestamp of records that have none.
    pub(super) now_ms: i64,
}

impl Staging {
    /// Checks a batch, creates the topics that it needs, and adds it. A refused batch changes nothing.
    pub(super) async fn stage(
        &mut self,
        broker: &Inner,
        output: Output,
        settings: &TopicSettings,
    ) -> Result<(), BrokerError> {
        if output.batch.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes + output.batch.bytes().len();
        if bytes > MAX_STAGED_BYTES {
            let message = format!("a transaction of {bytes} bytes is over the bound of {MAX_STAGED_BYTES}");
            return Err(BrokerError::abortable(format!("stage records for topic {}", output.topic), message));
        }
        check_sizes(&output, broker.shared.options.max_message_bytes)?;
        let topics = topics_of(broker, &output, settings).await?;
        let placed = place(&output, &topics, broker.next_turn())?;
        Arc::make_mut(&mut self.staged).push(placed);
        self.bytes = bytes;
        Ok(())
    }

    /// What is staged, for a commit to take along. It stays staged until [`Staging::clear`].
    pub(super) fn share(&self) -> Arc<Vec<Staged>> {
        Arc::clone(&self.staged)
    }

    /// How many bytes are staged.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets what was staged.
    pub(super) fn clear(&mut self) {
        self.staged = Arc::default();
        self.bytes = 0;
    }
}

fn check_sizes(output: &Output, limit: usize) -> Result<(), BrokerError> {
    for (index, record) in output.batch.frame().records().enumerate() {
        let headers = record.headers.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum::<usize>();
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers;
        if bytes > limit {
            let why = format!("{bytes} bytes, more than max.message.bytes, {limit}");
            return Err(errors::rejected(index, topic_name(&record, output), why));
        }
    }
    Ok(())
}

/// The topics a batch goes to, by name; missing ones are created, once all names are known to be legal.
async fn topics_of(
    broker: &Inner,
    output: &Output,
    settings: &TopicSettings,
) -> Result<HashMap<Arc<str>, Arc<Topic>>, BrokerError> {
    let names = {
        let frame = output.batch.frame();
        let mut seen = vec![false; frame.topic_partition_count() + 1];
        let mut names: Vec<Arc<str>> = Vec::new();
        for (index, record) in frame.records().enumerate() {
            let Some(seen) = seen.get_mut(slot(&record)).filter(|seen| !**seen) else { continue };
            *seen = true;
            let name = topic_name(&record, output);
            catalog::check_name(name).map_err(|why| errors::rejected(index, name, why))?;
            if !names.iter().any(|known| **known == *name) {
                names.push(name.into());
            }
        }
        names
    };
    let mut topics = HashMap::with_capacity(names.len());
    for name in names {
        let topic = match broker.shared.catalog.get(&name) {
            Some(topic) => topic,
            None => broker.create_topic(&name, settings).await?.1,
        };
        topics.insert(name, topic);
    }
    Ok(topics)
}

/// Where all records of one topic-partition entry of the frame go.
struct Route<'a> {
    topic: &'a Topic,
    partition: Option<i32>,
}

fn place(output: &Output, topics: &HashMap<Arc<str>, Arc<Topic>>, turn: usize) -> Result<Staged, BrokerError> {
    let frame = output.batch.frame();
    let routes = routes(&frame, output, topics);
    let mut targets: Vec<Arc<Partition>> = Vec::new();
    let mut slots = Vec::with_capacity(frame.len());
    let mut known: HashMap<i64, u32> = HashMap::new();
    for (index, record) in frame.records().enumerate() {
        let rejected = |why: String| errors::rejected(index, topic_name(&record, output), why);
        let Some(Route { topic, partition }) = routes.get(slot(&record)).and_then(Option::as_ref) else {
            return Err(rejected("no such topic".to_owned()));
        };
        if record.key.is_none() && topic.cleanup_policy != CleanupPolicy::Delete {
            return Err(rejected("a compacted topic takes no record without a key".to_owned()));
        }
        let count = topic.partition_count();
        let number = match (partition, record.key) {
            (Some(partition), _) => *partition,
            (None, Some(key)) => partition_of_key(key, count),
            (None, None) => turn.checked_rem(topic.partitions.len()).and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        };
        let Some(target) = topic.partition(number) else {
            return Err(rejected(format!("no partition {number}, there are {count}")));
        };
        let slot = *known.entry(target.id).or_insert_with(|| {
            targets.push(Arc::clone(target));
            u32::try_from(targets.len() - 1).unwrap_or(u32::MAX)
        });
        slots.push(slot);
    }
    Ok(Staged { batch: output.batch.clone(), targets, slots, now_ms: now_ms() })
}

/// The route of each topic-partition entry, and first that of records without one.
fn routes<'a>(frame: &Frame<'_>, output: &Output, topics: &'a HashMap<Arc<str>, Arc<Topic>>) -> Vec<Option<Route<'a>>> {
    let route = |topic: Option<&str>, partition| {
        let topic = topics.get(topic.unwrap_or(&output.topic))?;
        Some(Route { topic, partition })
    };
    let named = (0..frame.topic_partition_count()).map(|index| {
        let place = frame.topic_partition(index)?;
        route(place.topic, place.partition)
    });
    std::iter::once(route(None, None)).chain(named).collect()
}

/// The index of a record's route.
fn slot(record: &Record<'_>) -> usize {
    record.topic_partition_index.map_or(0, |index| index as usize + 1)
}

fn topic_name<'a>(record: &Record<'a>, output: &'a Output) -> &'a str {
    record.topic_partition.and_then(|place| place.topic).unwrap_or(&output.topic)
}
