//! One entry of the topic of states: how it is written as key and value, and read back.
//!
//! | key | value |
//! |---|---|
//! | `status-connector-<connector>` | `{"state","trace","worker_id","generation","version","sandbar.worker"}`; null: it is gone |
//! | `status-task-<connector>-<task>` | the same |
//! | `sandbar-worker-<worker>` | `{"worker_id","at"}`: where it answers, and when it said so |
//! | `sandbar-ask-<id>` | `{"to","what"}`: a worker asks another one; null: it is over |
//! | `sandbar-answer-<id>-<part>` | `{"of","text"}`: a part of the answer, of so many; null: it was read |
//!
//! The first two are Kafka Connect's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

const CONNECTOR: &str = "status-connector-";
const TASK: &str = "status-task-";
const WORKER: &str = "sandbar-worker-";
const ASK: &str = "sandbar-ask-";
const ANSWER: &str = "sandbar-answer-";

/// A state, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The state, in Kafka Connect's words.
    pub state: String,
    /// Why.
    pub trace: Option<String>,
    /// Who says so: where its worker answers.
    pub worker_id: String,
    /// Kafka Connect counts rebalances; nobody here does.
    #[serde(default)]
    pub generation: i64,
    /// The version of the plugin.
    #[serde(default)]
    pub version: Option<String>,
    /// The worker's name in its group, which is its own; many may answer on the same address, each on its machine.
    #[serde(default, rename = "sandbar.worker")]
    pub worker: String,
}

/// That a worker lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Where it answers.
    pub worker_id: String,
    /// When it said so, in milliseconds since 1970 by its own clock: only that it changes matters.
    pub at: i64,
}

/// What a worker asks another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The other one's name.
    pub to: String,
    /// What.
    pub what: Value,
}

/// A part of an answer, which may be longer than a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerPart {
    /// How many there are.
    pub of: u32,
    /// Its text.
    pub text: String,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusEntry {
    /// A connector's state.
    Connector {
        /// The connector.
        name: String,
        /// Its state; `None`: it is gone.
        said: Option<Said>,
    },
    /// A task's state.
    Task {
        /// The connector.
        name: String,
        /// The task's number.
        task: u32,
        /// Its state; `None`: it is gone.
        said: Option<Said>,
    },
    /// A worker says that it lives.
    Worker {
        /// The worker.
        name: String,
        /// Where; `None`: it has ended.
        alive: Option<Alive>,
    },
    /// A worker asks another one for something.
    Ask {
        /// Which question.
        id: String,
        /// What; `None`: it is over.
        asked: Option<Asked>,
    },
    /// The answer, or a part of it.
    Answer {
        /// To which question.
        id: String,
        /// Which part, from 0.
        part: u32,
        /// What; `None`: it was read.
        answer: Option<AnswerPart>,
    },
}

impl StatusEntry {
    /// Key and value of the record.
    #[must_use]
    pub fn encode(&self) -> (String, Option<String>) {
        match self {
            Self::Connector { name, said } => (format!("{CONNECTOR}{name}"), said.as_ref().and_then(text)),
            Self::Task { name, task, said } => (format!("{TASK}{name}-{task}"), said.as_ref().and_then(text)),
            Self::Worker { name, alive } => (format!("{WORKER}{name}"), alive.as_ref().and_then(text)),
            Self::Ask { id, asked } => (format!("{ASK}{id}"), asked.as_ref().and_then(text)),
            Self::Answer { id, part, answer } => (format!("{ANSWER}{id}-{part}"), answer.as_ref().and_then(text)),
        }
    }

    /// Reads a record; `None`: it says nothing to Sandbar.
    #[must_use]
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let key = std::str::from_utf8(key).ok()?;
        if let Some(name) = key.strip_prefix(CONNECTOR) {
            return Some(Self::Connector { name: name.to_owned(), said: read(value)? });
        }
        if let Some(rest) = key.strip_prefix(TASK) {
            let (name, task) = rest.rsplit_once('-')?;
            return Some(Self::Task { name: name.to_owned(), task: task.parse().ok()?, said: read(value)? });
        }
        if let Some(id) = key.strip_prefix(ASK) {
            return Some(Self::Ask { id: id.to_owned(), asked: read(value)? });
        }
        if let Some(rest) = key.strip_prefix(ANSWER) {
            let (id, part) = rest.rsplit_once('-')?;
            return Some(Self::Answer { id: id.to_owned(), part: part.parse().ok()?, answer: read(value)? });
        }
        let name = key.strip_prefix(WORKER)?;
        Some(Self::Worker { name: name.to_owned(), alive: read(value)? })
    }
}

/// What is made of text and numbers can be written.
fn text(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// A value that cannot be read says nothing; null says something.
fn read<'v, T: Deserialize<'v>>(value: Option<&'v [u8]>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => serde_json::from_slice(value).ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were_written() {
        let said = Said {
            state: "RUNNING".to_owned(),
            trace: None,
            worker_id: "127.0.0.1:8083".to_owned(),
            generation: 0,
            version: Some("1.0.0".to_owned()),
            worker: "w".to_owned(),
        };
        let alive = Alive { worker_id: "127.0.0.1:8083".to_owned(), at: 7 };
        for entry in [
            StatusEntry::Connector { name: "a-b".to_owned(), said: Some(said.clone()) },
            StatusEntry::Connector { name: "a".to_owned(), said: None },
            StatusEntry::Task { name: "a-b-1".to_owned(), task: 12, said: Some(said) },
            StatusEntry::Task { name: "a".to_owned(), task: 0, said: None },
            StatusEntry::Worker { name: "w".to_owned(), alive: Some(alive) },
            StatusEntry::Worker { name: "w".to_owned(), alive: None },
            StatusEntry::Ask { id: "w-1".to_owned(), asked: Some(Asked { to: "v".to_owned(), what: Value::Null }) },
            StatusEntry::Ask { id: "w-1".to_owned(), asked: None },
            StatusEntry::Answer {
                id: "w-1".to_owned(),
                part: 3,
                answer: Some(AnswerPart { of: 4, text: "{}".to_owned() }),
            },
            StatusEntry::Answer { id: "w-1".to_owned(), part: 0, answer: None },
        ] {
            let (key, value) = entry.encode();
            assert_eq!(StatusEntry::decode(key.as_bytes(), value.as_deref().map(str::as_bytes)), Some(entry));
        }
    }

    #[test]
    fn what_kafka_connect_wrote_is_understood_and_the_rest_passed_over() {
        let value = br#"{"state":"FAILED","trace":"why","worker_id":"a:1","generation":5}"#;
        let read = StatusEntry::decode(b"status-task-c-0", Some(value));
        assert!(
            matches!(read, Some(StatusEntry::Task { task: 0, said: Some(Said { generation: 5, .. }), .. })),
            "{read:?}"
        );
        for (key, value) in [("status-topic-t:connector-c", "{}"), ("status-task-c", "{}"), ("status-connector-c", "{")]
        {
            assert_eq!(StatusEntry::decode(key.as_bytes(), Some(value.as_bytes())), None, "{key}");
        }
    }
}
