//! What is wrong in a file, and where: one error for each fault, in words for the person who wrote the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// A place in a text, counted from 1. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A fault in a file. It shows as `file:line:column: key: message`, and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The file, or the name of whatever else the text came from.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// The line, from 1, where the file was text that could be read that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The key it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// What sort of fault it is.
    #[serde(flatten)]
    pub kind: ErrorKind,
}

/// What sort of fault a [`ConfigError`] is, for callers that act on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ErrorKind {
    /// The file could not be read, is too large, or is not text.
    Unreadable,
    /// The text is not the JSON or TOML it claims to be.
    Syntax,
    /// Nobody knows the key.
    UnknownKey,
    /// A key that must be there is not.
    Missing,
    /// The value cannot be used.
    Invalid,
    /// Kafka Connect knows it, Sandbar does not do it.
    Unsupported,
    /// The plugin is not there (yet): the connector waits for it.
    PluginMissing {
        /// The plugin's name.
        class: String,
    },
    /// A reference to a secret leads nowhere.
    Secret,
}

/// Something in a file that is odd, but does not stand in the way. It shows as an error does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The file, or the name of whatever else the text came from.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// Where in the file.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The key it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is odd.
    pub message: String,
}

/// The plugins that are waited for, if missing plugins are all that is wrong.
#[must_use]
pub fn missing_plugins(errors: &[ConfigError]) -> Option<Vec<&str>> {
    let class = |error| match error {
        &ConfigError { kind: ErrorKind::PluginMissing { ref class }, .. } => Some(class.as_str()),
        _ => None,
    };
    if errors.is_empty() { None } else { errors.iter().map(class).collect() }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.line.zip(self.column).map(|(line, column)| Place { line, column });
        show(f, &self.file, place, self.key.as_deref(), &self.message)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.file, self.place, self.key.as_deref(), &self.message)
    }
}

fn show(
    f: &mut fmt::Formatter<'_>,
    file: &Path,
    place: Option<Place>,
    key: Option<&str>,
    message: &str,
) -> fmt::Result {
    write!(f, "{}: ", At { file, place })?;
    match key {
        Some(key) => write!(f, "{key}: {message}"),
        None => f.write_str(message),
    }
}

struct At<'a> {
    file: &'a Path,
    place: Option<Place>,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column }) => write!(f, "{}:{line}:{column}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Where keys come from: what it takes to say where a fault is.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) file: PathBuf,
    pub(super) places: BTreeMap<String, Place>,
}

impl Origin {
    /// A fault of a key.
    pub(super) fn error(&self, kind: ErrorKind, key: &str, message: impl Into<String>) -> ConfigError {
        let error = self.error_at(kind, self.places.get(key).copied(), message);
        ConfigError { key: Some(key.to_owned()), ..error }
    }

    /// A fault at a place that is not a key's.
    pub(super) fn error_at(&self, kind: ErrorKind, place: Option<Place>, message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            key: None,
            message: message.into(),
            kind,
        }
    }

    /// Something odd about a key.
    pub(super) fn warning(&self, key: &str, message: impl Into<String>) -> Warning {
        let place = self.places.get(key).copied();
        Warning { file: self.file.clone(), place, key: Some(key.to_owned()), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    //! How errors show, to people and to programs.

    use super::*;

    fn origin() -> Origin {
        let place = Place { line: 3, column: 5 };
        Origin { file: "c.json".into(), places: BTreeMap::from([("tasks.max".to_owned(), place)]) }
    }

    #[test]
    fn an_error_shows_file_place_key_and_message() {
        let error = origin().error(ErrorKind::Invalid, "tasks.max", "must be a whole number");
        assert_eq!(error.to_string(), "c.json:3:5: tasks.max: must be a whole number");
        let error = origin().error(ErrorKind::Missing, "topics", "is required");
        assert_eq!(error.to_string(), "c.json: topics: is required");
    }

    #[test]
    fn an_error_is_one_flat_json_object() {
        let class = "Upper".to_owned();
        let error = origin().error(ErrorKind::PluginMissing { class }, "tasks.max", "no");
        let json = serde_json::to_value(error).unwrap();
        let expected = serde_json::json!({"file": "c.json", "line": 3, "column": 5, "key": "tasks.max",
            "message": "no", "kind": "plugin_missing", "class": "Upper"});
        assert_eq!(json, expected);
    }

    #[test]
    fn a_connector_waits_only_where_nothing_else_is_wrong() {
        let missing = origin().error(ErrorKind::PluginMissing { class: "Upper".into() }, "connector.class", "no");
        let other = origin().error(ErrorKind::Missing, "topics", "is required");
        assert_eq!(missing_plugins(std::slice::from_ref(&missing)), Some(vec!["Upper"]));
        assert_eq!(missing_plugins(&[missing, other]), None);
        assert_eq!(missing_plugins(&[]), None);
    }
}
