//! Looks a batch over before any of its records is handed to librdkafka, so that a refused batch leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbar_abi::Record;

use super::admin::{Admin, is_legal_name};
use crate::broker::{BrokerError, BrokerErrorKind, Output, TopicSettings};

/// What librdkafka adds to a record at most when it compares with `message.max.bytes`, headers left out.
const RECORD_OVERHEAD: usize = 40;
/// What it adds to a header at most.
const HEADER_OVERHEAD: usize = 20;
/// librdkafka's default of `message.max.bytes`.
pub(super) const MESSAGE_MAX_BYTES: u64 = 1_000_000;

/// Refuses a batch that cannot be produced, and creates the topics it needs.
pub(super) async fn prepare(
    admin: &Arc<Admin>,
    output: &Output,
    settings: &TopicSettings,
    max_bytes: usize,
) -> Result<(), BrokerError> {
    for (index, record) in output.batch.frame().records().enumerate() {
        let size = size(&record);
        if size > max_bytes {
            let why = format!("it has {size} bytes, message.max.bytes is {max_bytes}");
            return Err(rejected(output, index, why));
        }
    }
    for (topic, first) in topics(output) {
        if !is_legal_name(topic) {
            return Err(rejected(output, first, format!("{topic:?} is not a topic name")));
        }
        if admin.known(topic).is_none() {
            admin.ensure(topic, settings).await?;
        }
    }
    if let Some((topic, index, _)) = beyond(admin, output) {
        // The topic may have grown since it was last looked at.
        admin.forget(&[topic.to_owned()]);
        admin.ensure(topic, settings).await?;
        if let Some((topic, index, why)) = beyond(admin, output) {
            return Err(rejected(output, index, format!("{topic} {why}")));
        }
        tracing::debug!(topic, index, "a topic has grown");
    }
    Ok(())
}

/// The first record that names a partition its topic is not known to have.
fn beyond<'a>(admin: &Admin, output: &'a Output) -> Option<(&'a str, usize, String)> {
    let mut counts = BTreeMap::new();
    output.batch.frame().records().enumerate().find_map(|(index, record)| {
        let partition = record.topic_partition.and_then(|place| place.partition)?;
        let topic = topic(output, &record);
        let count = *counts.entry(topic).or_insert_with(|| admin.known(topic).unwrap_or(0));
        (partition >= count).then(|| (topic, index, format!("has {count} partitions, there is no {partition}")))
    })
}

/// The topics of a batch, each with the first record that goes there.
fn topics(output: &Output) -> BTreeMap<&str, usize> {
    let mut topics = BTreeMap::new();
    let mut last = None;
    for (index, record) in output.batch.frame().records().enumerate() {
        // Most records go where the one before went.
        if index == 0 || record.topic_partition_index != last {
            topics.entry(topic(output, &record)).or_insert(index);
            last = record.topic_partition_index;
        }
    }
    topics
}

fn topic<'a>(output: &'a Output, record: &Record<'a>) -> &'a str {
    record.topic_partition.and_then(|place| place.topic).unwrap_or(&output.topic)
}

fn size(record: &Record<'_>) -> usize {
    let headers: usize =
        record.headers.map(|(name, value)| HEADER_OVERHEAD + name.len() + value.map_or(0, <[u8]>::len)).sum();
    RECORD_OVERHEAD + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers
}

fn rejected(output: &Output, record: usize, why: String) -> BrokerError {
    let operation = format!("stage record {record} of a batch for {}", output.topic);
    BrokerError::new(BrokerErrorKind::Rejected { record }, operation, why)
}
