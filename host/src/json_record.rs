//! A record as JSON, one object a line: what `topic read --json` prints and `topic write --json` takes, and how dead letters
//! are answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbar_abi::{FrameBuilder, Record};
use serde::{Deserialize, Serialize};

use crate::broker::TopicPartition;

/// A record. Where it was read from is told, and passed over where it is written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonRecord {
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    offset: Option<i64>,
    /// Milliseconds since 1970.
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default)]
    key: Option<Content>,
    #[serde(default)]
    value: Option<Content>,
    #[serde(default)]
    headers: Vec<JsonHeader>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonHeader {
    key: String,
    #[serde(default)]
    value: Option<Content>,
}

/// Bytes: text where they are UTF-8.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "keys and values are a string, null, or {\"base64\": \"..\"}")]
pub(crate) enum Content {
    Text(String),
    Bytes(Base64),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base64 {
    base64: String,
}

impl JsonHeader {
    pub(crate) fn of(key: &str, value: Option<&[u8]>) -> Self {
        Self { key: key.to_owned(), value: value.map(Content::of) }
    }
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(Base64 { base64: STANDARD.encode(bytes) }),
        }
    }

    fn bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Bytes(Base64 { base64 }) => STANDARD.decode(base64).map_err(|error| format!("base64: {error}")),
        }
    }
}

impl JsonRecord {
    /// A record that was read from a partition.
    pub(crate) fn of(record: &Record<'_>, place: &TopicPartition) -> Self {
        let header = |(key, value): (&str, Option<&[u8]>)| JsonHeader::of(key, value);
        Self {
            topic: Some(place.topic.as_ref().to_owned()),
            partition: Some(place.partition),
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(Content::of),
            value: record.value.map(Content::of),
            headers: record.headers.map(header).collect(),
        }
    }

    /// Reads a line.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// Appends it to a frame, for a partition if one is given.
    pub(crate) fn append(self, to: &mut FrameBuilder, topic_partition: Option<u32>) -> Result<(), String> {
        let (key, value) = (bytes(self.key)?, bytes(self.value)?);
        let headers: Result<Vec<_>, String> =
            self.headers.into_iter().map(|header| Ok((header.key, bytes(header.value)?))).collect();
        let headers = headers?;
        let mut record = to.record(key.as_deref(), value.as_deref());
        for (name, value) in &headers {
            record.header(name, value.as_deref());
        }
        if let Some(timestamp) = self.timestamp {
            record.timestamp(timestamp);
        }
        if let Some(index) = topic_partition {
            record.topic_partition(index);
        }
        Ok(())
    }
}

fn bytes(content: Option<Content>) -> Result<Option<Vec<u8>>, String> {
    content.map(Content::bytes).transpose()
}

#[cfg(test)]
mod tests {
    //! Records survive the way through JSON.

    use super::*;
    use crate::batch::Batch;

    #[test]
    fn what_is_read_can_be_written() {
        let mut builder = FrameBuilder::new();
        builder.record(Some(b"k"), Some(b"\xff\x00")).offset(7).timestamp(99).header("a", Some(b"1")).header("a", None);
        builder.record(None, Some(b""));
        let first = Batch::build(&builder).unwrap();
        let place = TopicPartition::new("t", 3);
        let lines: Vec<_> = first
            .frame()
            .records()
            .map(|record| serde_json::to_string(&JsonRecord::of(&record, &place)).unwrap())
            .collect();
        let expected = r#"{"topic":"t","partition":3,"offset":7,"timestamp":99,"key":"k","value":{"base64":"/wA="},"headers":[{"key":"a","value":"1"},{"key":"a","value":null}]}"#;
        assert_eq!(lines[0], expected);

        let mut builder = FrameBuilder::new();
        for line in &lines {
            JsonRecord::parse(line.as_bytes()).unwrap().append(&mut builder, None).unwrap();
        }
        let second = Batch::build(&builder).unwrap();
        for (a, b) in first.frame().records().zip(second.frame().records()) {
            assert_eq!((a.key, a.value, a.timestamp), (b.key, b.value, b.timestamp));
            assert!(a.headers.eq(b.headers));
            assert_eq!((b.offset, b.topic_partition), (None, None));
        }
    }

    #[test]
    fn a_line_that_is_no_record_is_refused_with_the_reason() {
        #[track_caller]
        fn refused(line: &str, reason: &str) {
            let result = JsonRecord::parse(line.as_bytes()).and_then(|r| r.append(&mut FrameBuilder::new(), None));
            assert!(result.as_ref().is_err_and(|error| error.contains(reason)), "{result:?}");
        }
        refused("", "EOF");
        refused(r#"{"valeu":"a"}"#, "valeu");
        refused(r#"{"value":{"a":1}}"#, "base64");
        refused(r#"{"value":{"base64":"?"}}"#, "base64: ");
        refused(r#"{"headers":[{"value":"a"}]}"#, "key");
    }
}
