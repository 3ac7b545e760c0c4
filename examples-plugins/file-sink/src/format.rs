//! What a record looks like as a line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbar_plugin::serde_json;
use sandbar_plugin::{InputRecord, Result};
use serde::{Deserialize, Serialize, Serializer};

/// What a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The value as it is.
    #[default]
    Value,
    /// The whole record.
    Json,
}

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<i64>,
    key: Option<Bytes<'a>>,
    value: Option<Bytes<'a>>,
    headers: Vec<Header<'a>>,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: Option<Bytes<'a>>,
}

/// Bytes, as text where they are text.
struct Bytes<'a>(&'a [u8]);

impl Format {
    /// Appends a record's line; `false` where it has none.
    pub(crate) fn write(self, out: &mut Vec<u8>, record: &InputRecord<'_>) -> Result<bool> {
        match self {
            Self::Value => {
                let Some(value) = record.value else { return Ok(false) };
                out.extend_from_slice(value);
            }
            Self::Json => {
                let line = Line {
                    topic: record.topic(),
                    partition: record.partition(),
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(Bytes),
                    value: record.value.map(Bytes),
                    headers: record.headers.map(|(name, value)| Header { name, value: value.map(Bytes) }).collect(),
                };
                serde_json::to_writer(&mut *out, &line)?;
            }
        }
        out.push(b'\n');
        Ok(true)
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Encoded {
            base64: String,
        }

        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Encoded { base64: STANDARD.encode(self.0) }.serialize(serializer),
        }
    }
}
