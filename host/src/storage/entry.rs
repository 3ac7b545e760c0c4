//! One entry of the topic: how it is written as key and value, and read back.
//!
//! | key | value |
//! |---|---|
//! | `connector-<connector>` | `{"properties":{..}}`; null: it is gone |
//! | `target-state-<connector>` | `{"state":"PAUSED","state.v2":"STOPPED"}`; null: nothing is wanted |
//! | `restart-connector-<connector>` | `{"include-tasks":true,"only-failed":false}`, with `"task":0` for one task |
//! | `logger-cluster-<logger>` | `{"level":"DEBUG"}` |
//! | `sandbar-promoted-<plugin>` | `{"version":"1.2.0"}`; null: none is |
//!
//! All but the last are Kafka Connect's. It also keeps what it made of a configuration (`task-`, `commit-`); here each
//! worker plans for itself.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::InitialState;

const CONNECTOR: &str = "connector-";
const TARGET: &str = "target-state-";
const RESTART: &str = "restart-connector-";
const LOGGER: &str = "logger-cluster-";
const PROMOTED: &str = "sandbar-promoted-";

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A connector's configuration.
    Connector {
        /// Its name.
        name: String,
        /// Its configuration; `None`: it is gone.
        config: Option<BTreeMap<String, String>>,
    },
    /// What operators want a connector to be.
    Target {
        /// The connector.
        name: String,
        /// What; `None`: nothing in particular.
        state: Option<InitialState>,
    },
    /// A connector, or a part of it, begins anew.
    Restart {
        /// The connector.
        name: String,
        /// Which part.
        what: Restart,
    },
    /// How much a logger says, on all workers.
    Logger {
        /// Its name.
        name: String,
        /// The least severe messages.
        level: String,
    },
    /// The version of a plugin that runs where none is asked for.
    Promoted {
        /// The plugin.
        plugin: String,
        /// The version; `None`: the newest.
        version: Option<Version>,
    },
}

/// Which part of a connector begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The connector itself: what could not be started is tried again. Its tasks go on.
    Connector {
        /// Only if it could not be started.
        only_failed: bool,
    },
    /// All tasks, or those that failed.
    Tasks {
        /// Leave alone those that run.
        only_failed: bool,
    },
    /// One task.
    Task(u32),
}

#[derive(Deserialize)]
struct Properties {
    properties: BTreeMap<String, Option<Scalar>>,
}

/// Kafka Connect writes text; others may write what JSON has.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Other(Value),
}

#[derive(Deserialize)]
struct Target {
    state: String,
    #[serde(rename = "state.v2")]
    v2: Option<String>,
}

#[derive(Deserialize)]
struct Restarted {
    #[serde(rename = "include-tasks")]
    include_tasks: bool,
    #[serde(rename = "only-failed")]
    only_failed: bool,
    task: Option<u32>,
}

#[derive(Deserialize)]
struct Level {
    level: String,
}

#[derive(Deserialize)]
struct Promoted {
    version: Version,
}

impl fmt::Debug for Entry {
    /// A configuration may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = self.encode();
        match self {
            Self::Connector { config: Some(_), .. } => write!(f, "{key}"),
            _ => write!(f, "{key} {value:?}"),
        }
    }
}

impl Entry {
    /// Key and value of the record.
    #[must_use]
    pub fn encode(&self) -> (String, Option<String>) {
        match self {
            Self::Connector { name, config } => {
                (format!("{CONNECTOR}{name}"), config.as_ref().map(|config| json!({"properties": config}).to_string()))
            }
            Self::Target { name, state } => (format!("{TARGET}{name}"), state.map(target)),
            Self::Restart { name, what } => (format!("{RESTART}{name}"), Some(what.encode())),
            Self::Logger { name, level } => (format!("{LOGGER}{name}"), Some(json!({"level": level}).to_string())),
            Self::Promoted { plugin, version } => (
                format!("{PROMOTED}{plugin}"),
                version.as_ref().map(|version| json!({"version": version.to_string()}).to_string()),
            ),
        }
    }

    /// Reads a record. `None`: the key is of a kind that says nothing to Sandbar. An error says what is wrong with a
    /// record of the other kinds.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, String> {
        let Ok(key) = std::str::from_utf8(key) else { return Ok(None) };
        // Of a key that begins as another does the longer one counts.
        let entry = if let Some(name) = key.strip_prefix(TARGET) {
            let state = value.map(|value| state(&parse(value)?)).transpose()?;
            Self::Target { name: name.to_owned(), state }
        } else if let Some(name) = key.strip_prefix(RESTART) {
            // Nobody takes an order back.
            let Some(value) = value else { return Ok(None) };
            Self::Restart { name: name.to_owned(), what: Restart::of(&parse(value)?) }
        } else if let Some(name) = key.strip_prefix(CONNECTOR) {
            let config = value.map(|value| parse::<Properties>(value).map(flat)).transpose()?;
            Self::Connector { name: name.to_owned(), config }
        } else if let Some(name) = key.strip_prefix(LOGGER) {
            let Some(value) = value else { return Ok(None) };
            Self::Logger { name: name.to_owned(), level: parse::<Level>(value)?.level }
        } else if let Some(plugin) = key.strip_prefix(PROMOTED) {
            let version = value.map(|value| parse::<Promoted>(value).map(|told| told.version)).transpose()?;
            Self::Promoted { plugin: plugin.to_owned(), version }
        } else {
            return Ok(None);
        };
        Ok(Some(entry))
    }
}

impl Restart {
    fn encode(self) -> String {
        let (include_tasks, only_failed) = match self {
            Self::Connector { only_failed } => (false, only_failed),
            Self::Tasks { only_failed } => (true, only_failed),
            Self::Task(_) => (true, false),
        };
        let mut value = json!({"include-tasks": include_tasks, "only-failed": only_failed});
        if let (Self::Task(task), Some(fields)) = (self, value.as_object_mut()) {
            fields.insert("task".to_owned(), task.into());
        }
        value.to_string()
    }

    fn of(told: &Restarted) -> Self {
        match told {
            Restarted { task: Some(task), .. } => Self::Task(*task),
            Restarted { include_tasks: true, only_failed, .. } => Self::Tasks { only_failed: *only_failed },
            Restarted { only_failed, .. } => Self::Connector { only_failed: *only_failed },
        }
    }
}

/// An older Kafka Connect knows no `STOPPED`: to it the connector is paused.
fn target(state: InitialState) -> String {
    let v1 = if state == InitialState::Running { "STARTED" } else { "PAUSED" };
    let v2 = if state == InitialState::Running { "STARTED" } else { state.name() };
    json!({"state": v1, "state.v2": v2}).to_string()
}

fn state(target: &Target) -> Result<InitialState, String> {
    let name = target.v2.as_deref().unwrap_or(&target.state);
    if name == "STARTED" {
        return Ok(InitialState::Running);
    }
    InitialState::from_name(name).ok_or_else(|| format!("{name} is no state"))
}

/// Configurations are text; null is no value.
fn flat(properties: Properties) -> BTreeMap<String, String> {
    let text = |scalar| match scalar {
        Scalar::Text(text) => text,
        Scalar::Other(value) => value.to_string(),
    };
    properties.properties.into_iter().filter_map(|(key, value)| Some((key, text(value?)))).collect()
}

fn parse<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    //! The format is Kafka Connect's, and everything comes back as it was written.

    use super::*;

    fn config(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn entries_come_back_as_they_were_written() {
        let name = || "a b/ä".to_owned();
        let entries = [
            Entry::Connector { name: name(), config: Some(config(&[("connector.class", "datagen"), ("k", "")])) },
            Entry::Connector { name: name(), config: None },
            Entry::Target { name: name(), state: Some(InitialState::Running) },
            Entry::Target { name: name(), state: Some(InitialState::Paused) },
            Entry::Target { name: name(), state: Some(InitialState::Stopped) },
            Entry::Target { name: name(), state: None },
            Entry::Restart { name: name(), what: Restart::Connector { only_failed: true } },
            Entry::Restart { name: name(), what: Restart::Connector { only_failed: false } },
            Entry::Restart { name: name(), what: Restart::Tasks { only_failed: true } },
            Entry::Restart { name: name(), what: Restart::Tasks { only_failed: false } },
            Entry::Restart { name: name(), what: Restart::Task(7) },
            Entry::Logger { name: "sandbar::task".to_owned(), level: "DEBUG".to_owned() },
            Entry::Promoted { plugin: "datagen".to_owned(), version: Some(Version::new(1, 2, 3)) },
            Entry::Promoted { plugin: "datagen".to_owned(), version: None },
        ];
        for entry in entries {
            let (key, value) = entry.encode();
            let read = Entry::decode(key.as_bytes(), value.as_deref().map(str::as_bytes));
            assert_eq!(read, Ok(Some(entry)), "{key} {value:?}");
        }
    }

    #[test]
    fn what_kafka_connect_wrote_is_understood() {
        let read = |key: &str, value: &str| Entry::decode(key.as_bytes(), Some(value.as_bytes()));
        assert_eq!(
            read("connector-c", r#"{"properties":{"a":"1","b":null,"n":2}}"#),
            Ok(Some(Entry::Connector { name: "c".to_owned(), config: Some(config(&[("a", "1"), ("n", "2")])) }))
        );
        assert_eq!(
            read("target-state-c", r#"{"state":"PAUSED","state.v2":"STOPPED"}"#),
            Ok(Some(Entry::Target { name: "c".to_owned(), state: Some(InitialState::Stopped) }))
        );
        assert_eq!(
            read("target-state-c", r#"{"state":"STARTED"}"#),
            Ok(Some(Entry::Target { name: "c".to_owned(), state: Some(InitialState::Running) }))
        );
        for key in ["task-c-0", "commit-c", "session-key", "tasks-fencing-c"] {
            assert_eq!(read(key, "{}"), Ok(None));
        }
    }

    #[test]
    fn what_is_no_entry_says_why() {
        for (key, value) in [
            ("connector-c", "{"),
            ("connector-c", r#"{"properties":[]}"#),
            ("target-state-c", r#"{"state":"ASLEEP"}"#),
            ("restart-connector-c", "{}"),
            ("sandbar-promoted-p", r#"{"version":"one"}"#),
        ] {
            assert!(Entry::decode(key.as_bytes(), Some(value.as_bytes())).is_err(), "{key} {value}");
        }
        assert_eq!(Entry::decode(b"\xff", None), Ok(None));
        assert_eq!(Entry::decode(b"restart-connector-c", None), Ok(None));
    }
}
