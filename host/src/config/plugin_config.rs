//! A plugin's part of a configuration: typed and validated by its schema, secrets still references.
//!
//! It is validated twice: when the definition is read, as far as that goes without secrets, and when a task starts, with
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::error::{ConfigError, ErrorKind, Origin};
use super::schema::Schema;
use super::secrets::{self, HIDDEN, SecretSource};

/// The longest message about a value that is kept, in characters: a value may be long.
const MAX_MESSAGE_CHARS: usize = 400;

/// A plugin's configuration. It shows no secret.
#[derive(Clone, PartialEq, Default)]
pub struct PluginConfig {
    file: PathBuf,
    /// What comes before its keys in the definition: nothing, or `transforms.<alias>.`.
    prefix: String,
    entries: BTreeMap<String, Value>,
    schema: Option<Value>,
    hidden: BTreeSet<String>,
}

impl PluginConfig {
    /// Takes a plugin's keys, and finds what is wrong with them. All of them are known to the schema.
    pub(super) fn new(
        origin: &Origin,
        prefix: &str,
        entries: BTreeMap<String, Value>,
        schema: Option<&Value>,
    ) -> (Self, Vec<ConfigError>) {
        let read = schema.map(Schema::new);
        let marked =
            |key: &&String| secrets::looks_secret(key) || read.as_ref().is_some_and(|schema| schema.is_secret(key));
        let hidden = entries.keys().filter(marked).cloned().collect();
        let schema = schema.cloned();
        let config = Self { file: origin.file.clone(), prefix: prefix.to_owned(), entries, schema, hidden };
        let mut errors = Vec::new();
        for (key, value) in &config.entries {
            if let Some(message) = badly_written_reference(value) {
                errors.push(origin.error(ErrorKind::Secret, &config.full(key), message));
            }
        }
        let open = config.referring();
        let (_, faults) = config.typed(config.entries.clone(), &open, true);
        errors.extend(faults.into_iter().map(|fault| config.error(origin, fault)));
        (config, errors)
    }

    /// Its keys, without the prefix.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The configuration as the plugin gets it: references resolved, typed by the schema, defaults filled in, and valid.
    /// What comes out is no longer hidden.
    pub fn resolve(&self, source: &dyn SecretSource) -> Result<Value, Vec<ConfigError>> {
        let origin = Origin { file: self.file.clone(), ..Origin::default() };
        let (mut entries, mut errors) = (BTreeMap::new(), Vec::new());
        for (key, value) in &self.entries {
            match secrets::substitute_value(value, source) {
                Ok(value) => drop(entries.insert(key.clone(), value)),
                Err(message) => errors.push(origin.error(ErrorKind::Secret, &self.full(key), message)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let (value, faults) = self.typed(entries, &self.referring(), false);
        if faults.is_empty() {
            return Ok(value);
        }
        Err(faults.into_iter().map(|fault| self.error(&origin, fault)).collect())
    }

    /// The keys whose values refer to secrets.
    fn referring(&self) -> BTreeSet<&str> {
        let refers = self.entries.iter().filter(|(_, value)| secrets::value_has_reference(value));
        refers.map(|(key, _)| key.as_str()).collect()
    }

    /// Types the entries, fills defaults in and validates. Values that refer to secrets are never shown in a fault, and
    /// where they are not resolved yet (`open`) they are not judged either.
    fn typed(&self, entries: BTreeMap<String, Value>, referring: &BTreeSet<&str>, open: bool) -> (Value, Vec<Fault>) {
        let Some(root) = &self.schema else { return (entries.into_iter().collect(), Vec::new()) };
        let schema = Schema::new(root);
        let typed = entries.into_iter().map(|(key, value)| {
            let value = if open && referring.contains(key.as_str()) { value } else { schema.coerce(&key, value) };
            (key, value)
        });
        let mut typed: Map<String, Value> = typed.collect();
        for (key, default) in schema.defaults() {
            if !typed.contains_key(key) {
                typed.insert(key.clone(), default.clone());
            }
        }
        let typed = Value::Object(typed);
        let validator = match schema.validator() {
            Ok(validator) => validator,
            Err(message) => return (typed, vec![Fault::of_schema(&message)]),
        };
        let faults = validator.iter_errors(&typed).filter_map(|error| self.fault(&error, referring, open)).collect();
        (typed, faults)
    }

    fn fault(&self, error: &ValidationError<'_>, referring: &BTreeSet<&str>, open: bool) -> Option<Fault> {
        let path = error.instance_path().as_str();
        let mut segments = path.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"));
        let key = segments.next();
        // Which branch of a condition applies may hang on a value that is not resolved yet.
        let branch = error.schema_path().as_str();
        if open && !referring.is_empty() && (branch.contains("/then/") || branch.contains("/else/")) {
            return None;
        }
        if let ValidationErrorKind::Required { property } = error.kind() {
            let property = property.as_str().unwrap_or_default();
            return Some(match key {
                None => {
                    Fault { key: Some(property.to_owned()), kind: ErrorKind::Missing, message: "is required".into() }
                }
                Some(_) => Fault::invalid(key, format!("\"{property}\" is missing in {path}")),
            });
        }
        let unresolved = match &key {
            Some(key) => referring.contains(key.as_str()),
            None => !referring.is_empty(),
        };
        if open && unresolved {
            return None;
        }
        let hidden = unresolved || key.as_ref().is_none_or(|key| self.hidden.contains(key));
        let message = if hidden { error.masked_with("the value").to_string() } else { error.to_string() };
        Some(Fault::invalid(key, message))
    }

    fn error(&self, origin: &Origin, fault: Fault) -> ConfigError {
        match fault.key {
            Some(key) => origin.error(fault.kind, &self.full(&key), fault.message),
            None => origin.error_at(fault.kind, None, format!("{}{}", self.stage(), fault.message)),
        }
    }

    fn stage(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}*: ", self.prefix) }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl fmt::Debug for PluginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = Value::String(HIDDEN.to_owned());
        let shown = self.entries.iter().map(|(key, value)| {
            let value = if self.hidden.contains(key) { &hidden } else { value };
            (key, value.to_string())
        });
        f.debug_map().entries(shown).finish()
    }
}

/// What is wrong with a plugin's configuration, before it has a place.
struct Fault {
    key: Option<String>,
    kind: ErrorKind,
    message: String,
}

impl Fault {
    fn invalid(key: Option<String>, message: String) -> Self {
        let message = match message.char_indices().nth(MAX_MESSAGE_CHARS) {
            Some((end, _)) => format!("{}...", message.get(..end).unwrap_or_default()),
            None => message,
        };
        Self { key, kind: ErrorKind::Invalid, message }
    }

    fn of_schema(message: &str) -> Self {
        Self::invalid(None, format!("the plugin's configuration schema is not valid: {message}"))
    }
}

/// What is wrong with how references in a value are written.
fn badly_written_reference(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => secrets::check(text).err(),
        Value::Array(items) => items.iter().find_map(badly_written_reference),
        Value::Object(fields) => fields.values().find_map(badly_written_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    //! Typing, defaults, faults and what stays hidden.

    use std::path::Path;

    use serde_json::json;

    use super::*;

    struct Fake;

    impl SecretSource for Fake {
        fn env(&self, name: &str) -> Option<String> {
            match name {
                "PORT" => Some("5432".to_owned()),
                "PASS" => Some("s3cret".to_owned()),
                _ => None,
            }
        }

        fn file(&self, _: &Path) -> Result<String, String> {
            Err("no files".to_owned())
        }
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["host"],
            "properties": {
                "host": {"type": "string", "minLength": 1},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80},
                "auth": {"type": "string", "format": "password", "maxLength": 6}
            }
        })
    }

    fn config(entries: Value) -> (PluginConfig, Vec<String>) {
        let entries = serde_json::from_value(entries).unwrap();
        let origin = Origin { file: "c.json".into(), ..Origin::default() };
        let (config, errors) = PluginConfig::new(&origin, "", entries, Some(&schema()));
        (config, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_are_typed_and_defaults_filled_in() {
        let (good, errors) = config(json!({"host": "db", "port": "5432"}));
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(good.resolve(&Fake), Ok(json!({"host": "db", "port": 5432})));
        let (good, _) = config(json!({"host": "db"}));
        assert_eq!(good.resolve(&Fake), Ok(json!({"host": "db", "port": 80})));
    }

    #[test]
    fn every_fault_names_its_key() {
        let (_, errors) = config(json!({"port": "99999", "host": ""}));
        assert_eq!(
            errors,
            [
                "c.json: host: \"\" is shorter than 1 character",
                "c.json: port: 99999 is greater than the maximum of 65535"
            ]
        );
        let (_, errors) = config(json!({"port": "many"}));
        assert!(errors.contains(&"c.json: host: is required".to_owned()), "{errors:?}");
        assert!(errors.contains(&"c.json: port: \"many\" is not of type \"integer\"".to_owned()), "{errors:?}");
    }

    #[test]
    fn a_reference_is_judged_when_it_is_resolved() {
        let (good, errors) = config(json!({"host": "db", "port": "${env:PORT}", "auth": "${env:PASS}"}));
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(good.resolve(&Fake).unwrap(), json!({"host": "db", "port": 5432, "auth": "s3cret"}));
        let (bad, _) = config(json!({"host": "db", "port": "${env:PASS}"}));
        let errors = bad.resolve(&Fake).unwrap_err();
        assert_eq!(errors[0].to_string(), "c.json: port: the value is not of type \"integer\"");
        let (bad, _) = config(json!({"host": "${env:NOPE}"}));
        let errors = bad.resolve(&Fake).unwrap_err();
        assert_eq!(errors[0].to_string(), "c.json: host: environment variable NOPE is not set");
        let (_, errors) = config(json!({"host": "${env:"}));
        assert_eq!(errors, ["c.json: host: a reference to a secret has no closing \"}\""]);
    }

    #[test]
    fn secrets_show_neither_in_debug_nor_in_faults() {
        let (config, errors) = config(json!({"host": "db", "auth": "far too long"}));
        assert_eq!(errors, ["c.json: auth: the value is longer than 6 characters"]);
        let shown = format!("{config:?}");
        assert!(shown.contains("db") && shown.contains(HIDDEN) && !shown.contains("far"), "{shown}");
    }

    #[test]
    fn without_a_schema_text_passes_as_it_is() {
        let entries = BTreeMap::from([("a".to_owned(), json!("1"))]);
        let (config, errors) = PluginConfig::new(&Origin::default(), "", entries, None);
        assert!(errors.is_empty());
        assert_eq!(config.resolve(&Fake), Ok(json!({"a": "1"})));
    }
}
