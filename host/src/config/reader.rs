//! Typed look-ups of keys in a flat map: a value that is wrong is noted and its default taken, so that one reading
//! finds every fault.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::error::{ConfigError, ErrorKind, Origin, Warning};
use super::keys::Key;
use super::secrets;

/// Reads keys, and collects what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) origin: &'a Origin,
    pub(super) entries: &'a BTreeMap<String, Value>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(origin: &'a Origin, entries: &'a BTreeMap<String, Value>) -> Self {
        Self { origin, entries, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.entries.contains_key(key.name)
    }

    /// The value, or its default.
    pub(super) fn text(&mut self, key: &Key) -> Option<String> {
        self.given(key, key.name).or_else(|| key.default.map(str::to_owned))
    }

    /// The value of a key whose name the file chooses, as in `transforms.<alias>.type`.
    pub(super) fn text_of(&mut self, key: &Key, name: &str) -> Option<String> {
        self.given(key, name)
    }

    /// The value, which must be there.
    pub(super) fn required(&mut self, key: &Key, name: &str) -> Option<String> {
        let found = self.errors.len();
        let text = self.given(key, name);
        if text.is_none() && self.errors.len() == found {
            self.error(ErrorKind::Missing, name, "is required");
        }
        text
    }

    /// The items of a list; none if the key is not there.
    pub(super) fn list(&mut self, key: &Key) -> Vec<String> {
        let text = self.text(key).unwrap_or_default();
        secrets::items(&text).map(str::to_owned).collect()
    }

    /// A whole number, or its default; zero if there is no default.
    pub(super) fn integer<T: TryFrom<i64> + Default>(&mut self, key: &Key) -> T {
        self.integer_given(key).unwrap_or_default()
    }

    /// A whole number, its default, or nothing.
    pub(super) fn integer_given<T: TryFrom<i64>>(&mut self, key: &Key) -> Option<T> {
        let number: i64 = self.text(key)?.parse().ok()?;
        T::try_from(number).ok()
    }

    /// A time.
    pub(super) fn millis(&mut self, key: &Key) -> Duration {
        Duration::from_millis(self.integer(key))
    }

    /// A time; nothing is forever.
    pub(super) fn millis_or_forever(&mut self, key: &Key) -> Option<Duration> {
        self.integer_given(key).map(Duration::from_millis)
    }

    /// A flag.
    pub(super) fn flag(&mut self, key: &Key) -> bool {
        self.text(key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// A path; relative ones start at the folder of the file.
    pub(super) fn path(&mut self, key: &Key) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(key)?);
        Some(self.origin.file.parent().map_or_else(|| path.clone(), |folder| folder.join(&path)))
    }

    /// Whether something wrong with the key has been told already, so that what follows from it need not be.
    pub(super) fn told(&self, key: &Key) -> bool {
        self.errors.iter().any(|error| error.key.as_deref() == Some(key.name))
    }

    /// Notes an error.
    pub(super) fn error(&mut self, kind: ErrorKind, key: &str, message: impl Into<String>) {
        self.errors.push(self.origin.error(kind, key, message));
    }

    /// Notes a warning.
    pub(super) fn warning(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(self.origin.warning(key, message));
    }

    /// What the file says, if it says something, and if that is right.
    fn given(&mut self, key: &Key, name: &str) -> Option<String> {
        match checked(key, self.entries.get(name)?) {
            Ok(text) => text,
            Err(message) => {
                self.error(ErrorKind::Invalid, name, message);
                None
            }
        }
    }
}

/// The text of a value, once it is what the key wants. Empty text stands for no value where any text would do.
fn checked(key: &Key, value: &Value) -> Result<Option<String>, String> {
    let Some(text) = text(value) else {
        return Err("must be a single value, or a list of them".to_owned());
    };
    if secrets::has_reference(&text) {
        let places = "a plugin's own keys, in overrides and in sandbox.http.inject.<alias>.value only";
        return Err(format!("references to secrets are resolved in {places}"));
    }
    let text = text.trim();
    if key.kind.is_list() {
        secrets::items(text).try_for_each(|item| key.kind.check(item))?;
    } else if text.is_empty() && key.kind.is_absent_when_empty() {
        return Ok(None);
    } else {
        key.kind.check(text)?;
    }
    Ok(Some(text.to_owned()))
}

/// A value as Kafka Connect would have it: text, and lists with commas. Nothing for values with an inner structure.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let scalar = |item| if matches!(item, &Value::Array(_)) { None } else { text(item) };
            items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        Value::Object(_) => None,
    }
}
