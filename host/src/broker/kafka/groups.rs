//! Where consumer groups stand, looked at and set from outside: a client that names the group and never joins it.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::admin::{ASK_WITHIN, Admin, Probe, blocking};
use super::config::{KafkaOptions, Properties};
use super::context::{Context, Owner};
use super::errors::broker_error;
use super::subscribe::matching;
use crate::broker::{BrokerError, TopicPartition, TopicPartitionOffset, Topics};

/// The next offset to read of each partition of topics for which a group has committed one. Blocks.
pub(super) fn committed(
    options: &KafkaOptions,
    admin: &Arc<Admin>,
    group: &str,
    topics: &Topics,
) -> Result<Vec<TopicPartitionOffset>, BrokerError> {
    let operation = format!("look up where group {group} stands");
    let mut list = TopicPartitionList::new();
    for name in &names(admin, topics)? {
        if let Some(count) = admin.partitions_now(name)?.filter(|count| *count > 0) {
            list.add_partition_range(name, 0, count - 1);
        }
    }
    if list.count() == 0 {
        return Ok(Vec::new());
    }
    let client = client(options, group, &operation)?;
    let found = client.committed_offsets(list, ASK_WITHIN).map_err(|error| broker_error(operation.as_str(), &error))?;
    let mut committed = Vec::new();
    for element in found.elements() {
        element.error().map_err(|error| broker_error(operation.as_str(), &error))?;
        if let Offset::Offset(offset) = element.offset() {
            let partition = TopicPartition::new(element.topic(), element.partition());
            committed.push(TopicPartitionOffset { partition, offset });
        }
    }
    Ok(committed)
}

/// The names of topics. Blocks.
pub(super) fn names(admin: &Admin, topics: &Topics) -> Result<Vec<String>, BrokerError> {
    match topics {
        Topics::Names(names) => Ok(names.clone()),
        Topics::Pattern(pattern) => matching(admin, pattern, Instant::now()),
    }
}

/// Sets where a group stands. Kafka refuses it while the group has members.
pub(super) async fn set(
    options: &Arc<KafkaOptions>,
    admin: &Arc<Admin>,
    group: &str,
    topics: &Topics,
    offsets: Vec<(TopicPartition, Option<i64>)>,
) -> Result<(), BrokerError> {
    let mut new: Vec<TopicPartitionOffset> = Vec::new();
    if offsets.iter().any(|(_, offset)| offset.is_none()) {
        // A single partition cannot be forgotten by way of librdkafka: the group is, and gets back what is to stay.
        let (options, admin_too, name, topics) =
            (Arc::clone(options), Arc::clone(admin), group.to_owned(), topics.clone());
        let all = blocking(move || committed(&options, &admin_too, &name, &topics)).await?;
        new.extend(all.into_iter().filter(|kept| !offsets.iter().any(|(changed, _)| *changed == kept.partition)));
        admin.delete_group(group).await?;
    }
    new.extend(
        offsets.into_iter().filter_map(|(partition, offset)| Some(TopicPartitionOffset { partition, offset: offset? })),
    );
    if new.is_empty() {
        return Ok(());
    }
    let (options, group) = (Arc::clone(options), group.to_owned());
    blocking(move || commit(&options, &group, &new)).await
}

fn commit(options: &KafkaOptions, group: &str, offsets: &[TopicPartitionOffset]) -> Result<(), BrokerError> {
    let operation = format!("set where group {group} stands");
    let failed = |error: &KafkaError| match error.rdkafka_error_code() {
        // What Kafka says of an outsider that commits for a group with members.
        Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress) => {
            BrokerError::fatal(operation.as_str(), "the group has members")
        }
        _ => broker_error(operation.as_str(), error),
    };
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for TopicPartitionOffset { partition, offset } in offsets {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
            .map_err(|error| failed(&error))?;
    }
    client(options, group, &operation)?.commit(&list, CommitMode::Sync).map_err(|error| failed(&error))
}

fn client(options: &KafkaOptions, group: &str, operation: &str) -> Result<Probe, BrokerError> {
    let mut properties = Properties::worker(options);
    properties.set("group.id", group);
    properties.set("enable.auto.commit", "false");
    properties.set("allow.auto.create.topics", "false");
    let context = Context::new(Owner::worker("group"), ());
    properties.build().create_with_context(context).map_err(|error| broker_error(operation, &error))
}
