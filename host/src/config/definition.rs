//! A connector's definition: the file, or the request, that says which plugin runs with what configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{ConfigError, ErrorKind, Origin};
use super::tree::{self, Fault, Field, Tree};
use super::{keys, read_json, read_toml, reader, suggest};

/// The largest definition, in bytes. Configuration is small; a larger file is something else.
pub const MAX_DEFINITION_BYTES: usize = 1 << 20;
/// The most keys of a definition: each is compared with all known ones when it is unknown.
pub const MAX_DEFINITION_KEYS: usize = 1000;
/// The longest name of a connector, in bytes: it becomes part of group and transactional ids.
const MAX_NAME_BYTES: usize = 200;
/// The keys beside `config`.
const TOP_KEYS: [&str; 3] = ["name", "config", "initial_state"];

/// What a connector shall be. It shows keys, never values: any of them may be a secret.
#[derive(Clone)]
pub struct Definition {
    /// The connector's name.
    pub name: String,
    /// Its configuration, flat: scalars as text, arrays as they were. `name` is always among them.
    pub entries: BTreeMap<String, Value>,
    /// The file it comes from, or the name of whatever else it comes from.
    pub source: PathBuf,
    /// The state a connector that is new starts in.
    pub initial_state: InitialState,
    origin: Origin,
}

/// The state a new connector starts in, or an operator wants it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialState {
    /// It runs.
    #[default]
    Running,
    /// Its tasks wait.
    Paused,
    /// It has no tasks.
    Stopped,
}

impl InitialState {
    /// As Kafka Connect spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }

    /// Reads Kafka Connect's spelling, in either case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Stopped].into_iter().find(|state| state.name().eq_ignore_ascii_case(name))
    }
}

impl Definition {
    /// Whether a file by this name is a definition.
    #[must_use]
    pub fn is_definition(path: &Path) -> bool {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json") || extension.eq_ignore_ascii_case("toml"))
    }

    /// Reads the bytes of a file: TOML if its name ends so, else JSON.
    pub fn parse(source: &Path, bytes: &[u8]) -> Result<Self, Vec<ConfigError>> {
        let origin = Origin { file: source.to_owned(), ..Origin::default() };
        let text = tree::text(&origin, bytes, MAX_DEFINITION_BYTES).map_err(|error| vec![error])?;
        let toml = source.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let parsed = if toml { read_toml::parse(text).map(Tree::Table) } else { read_json::parse(text) };
        match parsed.map_err(|faults| tree::syntax(&origin, faults))? {
            Tree::Table(fields) => Builder::new(origin).build(&fields, toml),
            other => {
                let message = format!("must be an object with \"name\" and \"config\", not {}", other.type_name());
                Err(vec![origin.error_at(ErrorKind::Syntax, None, message)])
            }
        }
    }

    /// Takes a configuration that was never a file, as the REST interface gets it. `source` says in errors where it
    /// comes from.
    pub fn from_config(
        name: &str,
        config: &BTreeMap<String, String>,
        source: impl Into<PathBuf>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut builder = Builder::new(Origin { file: source.into(), ..Origin::default() });
        builder.entries = config.iter().map(|(key, text)| (key.clone(), Value::String(text.clone()))).collect();
        builder.finish(Some(name.to_owned()), InitialState::default())
    }

    /// The configuration as Kafka Connect shows it: every value is text, arrays have commas. Secrets that are written
    /// out are written out here too; references stay references.
    #[must_use]
    pub fn config(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| reader::text(value).unwrap_or_else(|| value.to_string());
        self.entries.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// Two definitions are equal if they ask for the same; where they come from does not matter.
impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.entries == other.entries && self.initial_state == other.initial_state
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("initial_state", &self.initial_state)
            .field("keys", &self.entries.keys())
            .finish_non_exhaustive()
    }
}

struct Builder {
    origin: Origin,
    entries: BTreeMap<String, Value>,
    errors: Vec<ConfigError>,
}

impl Builder {
    fn new(origin: Origin) -> Self {
        Self { origin, entries: BTreeMap::new(), errors: Vec::new() }
    }

    fn build(mut self, fields: &[Field], toml: bool) -> Result<Definition, Vec<ConfigError>> {
        let (mut name, mut initial_state, mut has_config) = (None, InitialState::default(), false);
        for field in fields {
            match (field.key.as_str(), &field.value) {
                ("name", Tree::Text(text)) => {
                    name = Some(text.clone());
                    self.origin.places.entry(field.key.clone()).or_insert(field.at);
                }
                ("config", Tree::Table(config)) => {
                    has_config = true;
                    self.config(config, toml);
                }
                ("initial_state", Tree::Text(text)) => match InitialState::from_name(text) {
                    Some(state) => initial_state = state,
                    None => self.at(field, ErrorKind::Invalid, "must be one of RUNNING, PAUSED, STOPPED"),
                },
                ("initial_state", Tree::Null) => {}
                ("name" | "initial_state", other) => {
                    self.at(field, ErrorKind::Invalid, format!("must be a string, not {}", other.type_name()));
                }
                ("config", other) => {
                    self.at(field, ErrorKind::Invalid, format!("must be a table, not {}", other.type_name()));
                }
                (key, _) => {
                    let hint = suggest::hint(key, TOP_KEYS);
                    self.at(field, ErrorKind::UnknownKey, format!("is not known beside \"name\" and \"config\"{hint}"));
                }
            }
        }
        if !has_config && !fields.iter().any(|field| field.key == "config") {
            self.errors.push(self.origin.error(ErrorKind::Missing, "config", "is required"));
        }
        if name.is_none() && fields.iter().any(|field| field.key == "name") {
            return Err(self.errors);
        }
        self.finish(name, initial_state)
    }

    fn config(&mut self, table: &[Field], toml: bool) {
        let (flat, faults) = if toml { tree::flatten(table) } else { (table.to_vec(), Vec::new()) };
        for Fault { at, message } in faults {
            self.errors.push(self.origin.error_at(ErrorKind::Syntax, Some(at), message));
        }
        for field in &flat {
            self.origin.places.insert(field.key.clone(), field.at);
            match &field.value {
                // Kafka Connect reads null as no value.
                Tree::Null => {}
                Tree::Array(_) if toml => drop(self.entries.insert(field.key.clone(), field.value.to_json())),
                Tree::Array(_) | Tree::Table(_) => {
                    let what = field.value.type_name();
                    let message = format!("must be a string, as in Kafka Connect, not {what}: write lists with commas");
                    self.at(field, ErrorKind::Invalid, message);
                }
                scalar => {
                    drop(self.entries.insert(field.key.clone(), scalar.scalar().map_or(Value::Null, Value::String)))
                }
            }
        }
    }

    fn finish(mut self, name: Option<String>, initial_state: InitialState) -> Result<Definition, Vec<ConfigError>> {
        if self.entries.len() > MAX_DEFINITION_KEYS {
            let message = format!("has {} keys, the limit is {MAX_DEFINITION_KEYS}", self.entries.len());
            return Err(vec![self.origin.error(ErrorKind::Invalid, "config", message)]);
        }
        match &name {
            None => self.errors.push(self.origin.error(ErrorKind::Missing, "name", "is required")),
            Some(name) => self.name(name),
        }
        match name {
            Some(name) if self.errors.is_empty() => {
                self.entries.insert(keys::NAME.name.to_owned(), Value::String(name.clone()));
                let (source, entries) = (self.origin.file.clone(), self.entries);
                Ok(Definition { name, entries, source, initial_state, origin: self.origin })
            }
            _ => Err(self.errors),
        }
    }

    fn name(&mut self, name: &str) {
        if name.trim() != name || name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
            let message = format!("must be 1 to {MAX_NAME_BYTES} bytes without control characters or outer spaces");
            self.errors.push(self.origin.error(ErrorKind::Invalid, "name", message));
        }
        let inner = self.entries.get(keys::NAME.name).and_then(Value::as_str);
        if let Some(inner) = inner.filter(|inner| *inner != name) {
            let message = format!("Connector name configuration ({inner}) doesn't match connector name ({name})");
            self.errors.push(self.origin.error(ErrorKind::Invalid, "name", message));
        }
    }

    fn at(&mut self, field: &Field, kind: ErrorKind, message: impl Into<String>) {
        let error = self.origin.error_at(kind, Some(field.at), message);
        self.errors.push(ConfigError { key: Some(field.key.clone()), ..error });
    }
}
