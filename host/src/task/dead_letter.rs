//! What a dead letter looks like: the original record, and why it is here, in Kafka Connect's own headers.

use std::sync::Arc;

use sandbar_abi::{Frame, FrameBuilder, FrameError, Record};

use super::plan::{DeadLetterPlan, Plan};
use crate::batch::Batch;
use crate::broker::Output;

/// The prefix of all context headers.
pub const CONTEXT_PREFIX: &str = "__connect.errors.";
/// How large a batch of dead letters grows before the next one begins: their headers may hold far more than the records
/// did, and all of a call's together might not fit one frame.
const BATCH_BYTES: usize = 8 << 20;

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

/// The dead letters of records that failed, in batches.
pub(super) fn outputs(
    plan: &Plan,
    queue: &DeadLetterPlan,
    input: &Frame<'_>,
    failures: &[Failure],
) -> Result<Vec<Output>, FrameError> {
    let (mut outputs, mut letters) = (Vec::new(), FrameBuilder::new());
    for (index, failure) in failures.iter().enumerate() {
        if let Some(record) = input.record(failure.input) {
            let why = queue.context_headers.then(|| headers(plan, &record, failure));
            write(&mut letters, &record, why.unwrap_or_default());
        }
        if letters.encoded_len() >= BATCH_BYTES || index + 1 == failures.len() {
            outputs.push(Output { topic: Arc::clone(&queue.topic), batch: Batch::build(&letters)? });
            letters.clear();
        }
    }
    Ok(outputs)
}

/// The same dead letters, of which one has lost its context headers; `None` if it has none.
pub(super) fn without_headers(letters: &Batch, index: usize) -> Result<Option<Batch>, FrameError> {
    let frame = letters.frame();
    if !frame.record(index).is_some_and(|mut letter| letter.headers.any(|(name, _)| is_context(name))) {
        return Ok(None);
    }
    let mut rewritten = FrameBuilder::new();
    for (other, letter) in frame.records().enumerate() {
        let mut to = rewritten.record(letter.key, letter.value);
        if let Some(timestamp) = letter.timestamp {
            to.timestamp(timestamp);
        }
        for (name, value) in letter.headers.filter(|(name, _)| other != index || !is_context(name)) {
            to.header(name, value);
        }
    }
    Batch::build(&rewritten).map(Some)
}

/// The context headers of a dead letter.
fn headers(plan: &Plan, record: &Record<'_>, failure: &Failure) -> Vec<(String, String)> {
    let topic = record.topic_partition.and_then(|tp| tp.topic).or(plan.output_topic.as_deref());
    let partition = record.topic_partition.and_then(|tp| tp.partition);
    let mut headers = Vec::with_capacity(10);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            headers.push((format!("{CONTEXT_PREFIX}{name}"), value));
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

/// Whether a header is one of those that say why.
fn is_context(name: &str) -> bool {
    name.starts_with(CONTEXT_PREFIX)
}

/// Appends the original record with the headers. It goes to the queue's topic, wherever it came from. Only the host
/// says why: whoever wrote the record could else say whose letter it is, and where it came from.
fn write(letters: &mut FrameBuilder, record: &Record<'_>, headers: Vec<(String, String)>) {
    let mut letter = letters.record(record.key, record.value);
    if let Some(timestamp) = record.timestamp {
        letter.timestamp(timestamp);
    }
    for (name, value) in record.headers.filter(|(name, _)| !is_context(name)) {
        letter.header(name, value);
    }
    for (name, value) in headers {
        letter.header(&name, Some(value.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    //! Who says what in a letter.

    use super::*;

    /// The letter of a record that looks like one already, with these headers that say why.
    fn letter(why: &[&str]) -> Batch {
        let mut frame = FrameBuilder::new();
        let mut record = frame.record(Some(b"key"), Some(b"value"));
        for name in ["from", "__connect.errors.topic", "__connect.errors.connector.name", "__connect.errors"] {
            record.header(name, Some(b"its own"));
        }
        let input = Batch::build(&frame).unwrap();
        let why = why.iter().map(|name| (format!("{CONTEXT_PREFIX}{name}"), "ours".to_owned())).collect();
        let mut letters = FrameBuilder::new();
        write(&mut letters, &input.frame().record(0).unwrap(), why);
        Batch::build(&letters).unwrap()
    }

    fn headers_of(letter: &Batch) -> Vec<String> {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        let record = letter.frame().record(0).unwrap();
        record.headers.map(|(name, value)| format!("{name}={}", text(value))).collect()
    }

    #[test]
    fn a_record_does_not_say_where_it_failed_or_whose_letter_it_is() {
        assert_eq!(headers_of(&letter(&[])), ["from=its own", "__connect.errors=its own"]);
        let expected = ["from=its own", "__connect.errors=its own", "__connect.errors.topic=ours"];
        assert_eq!(headers_of(&letter(&["topic"])), expected);
    }

    #[test]
    fn a_letter_that_has_lost_its_context_headers_keeps_its_own() {
        let bare = without_headers(&letter(&["topic", "stage"]), 0).unwrap().unwrap();
        assert_eq!(headers_of(&bare), ["from=its own", "__connect.errors=its own"]);
        assert!(without_headers(&bare, 0).unwrap().is_none());
    }
}
