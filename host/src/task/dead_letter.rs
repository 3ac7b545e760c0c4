//! What a dead letter looks like: the original record, and why it is here, in Kafka Connect's own headers.

use sandbar_abi::{FrameBuilder, Record};

use super::plan::Plan;

/// The prefix of all context headers.
const PREFIX: &str = "__connect.errors.";

/// A record that failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Its index in the input batch.
    pub(super) input: usize,
    /// The stage, in Kafka Connect's words.
    pub(super) stage: &'static str,
    /// The plugin that failed.
    pub(super) plugin: String,
    /// A name for the kind of failure.
    pub(super) class: &'static str,
    /// Why.
    pub(super) message: String,
}

/// The context headers of a dead letter.
pub(super) fn headers(plan: &Plan, record: &Record<'_>, failure: &Failure) -> Vec<(String, String)> {
    let topic = record.topic_partition.and_then(|tp| tp.topic).or(plan.output_topic.as_deref());
    let partition = record.topic_partition.and_then(|tp| tp.partition);
    let mut headers = Vec::with_capacity(10);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            headers.push((format!("{PREFIX}{name}"), value));
        }
    };
    add("topic", topic.map(str::to_owned));
    add("partition", partition.map(|p| p.to_string()));
    add("offset", record.offset.map(|o| o.to_string()));
    add("connector.name", Some(plan.connector.clone()));
    add("task.id", Some(plan.task.to_string()));
    add("stage", Some(failure.stage.to_owned()));
    add("class.name", Some(failure.plugin.clone()));
    add("exception.class.name", Some(failure.class.to_owned()));
    add("exception.message", Some(failure.message.clone()));
    add("exception.stacktrace", Some(format!("{}: {}", failure.class, failure.message)));
    headers
}

/// Appends the original record with the headers. It goes to the queue's topic, wherever it came from.
pub(super) fn write(letters: &mut FrameBuilder, record: &Record<'_>, headers: Vec<(String, String)>) {
    let mut letter = letters.record(record.key, record.value);
    if let Some(timestamp) = record.timestamp {
        letter.timestamp(timestamp);
    }
    for (name, value) in record.headers {
        letter.header(name, value);
    }
    for (name, value) in headers {
        letter.header(&name, Some(value.as_bytes()));
    }
}
