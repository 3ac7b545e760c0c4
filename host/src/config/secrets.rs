//! Secrets: references to them in values (`${env:VAR}`, `${file:/path:key}`), resolved when a task starts and not
//! before, and text that is never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{ConfigError, ErrorKind, Origin};
use super::properties;

/// What is shown instead of a secret.
pub const HIDDEN: &str = "[hidden]";
/// The largest file of secrets that is read, in bytes; it is read again for each reference.
pub const MAX_SECRET_FILE_BYTES: u64 = 1 << 20;

/// Parts of the names of keys whose values are secrets.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "sasl.jaas",
    "oauthbearer.config",
    "ssl.key.pem",
    "private.key",
    "private_key",
    "privatekey",
    "api.key",
    "api_key",
    "apikey",
    "access.key",
    "access_key",
];

/// Whether a key by this name holds a secret.
#[must_use]
pub fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever needs it to log in.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The value of one key, references unresolved. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue {
    file: PathBuf,
    key: String,
    text: String,
}

impl SecretValue {
    /// The value of a key, if its references are written as they must be.
    pub(super) fn new(origin: &Origin, key: &str, text: String) -> Result<Self, String> {
        check(&text)?;
        Ok(Self { file: origin.file.clone(), key: key.to_owned(), text })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value with its references resolved.
    pub fn resolve(&self, source: &dyn SecretSource) -> Result<Secret, ConfigError> {
        let origin = Origin { file: self.file.clone(), ..Origin::default() };
        let resolved = substitute(&self.text, source);
        resolved.map(Secret::new).map_err(|message| origin.error(ErrorKind::Secret, &self.key, message))
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Where references lead to.
pub trait SecretSource {
    /// An environment variable of the worker.
    fn env(&self, name: &str) -> Option<String>;
    /// The text of a file of properties, or why it cannot be had.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// The worker's own environment and files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSecrets;

impl SecretSource for SystemSecrets {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        file.take(MAX_SECRET_FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_SECRET_FILE_BYTES {
            return Err(format!("is larger than {MAX_SECRET_FILE_BYTES} bytes"));
        }
        Ok(text)
    }
}

/// Properties for a client of Kafka, references unresolved. It shows no value whose key looks secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties {
    file: PathBuf,
    prefix: String,
    entries: BTreeMap<String, String>,
}

impl Properties {
    /// The entries that follow a prefix, under the rest of their names.
    pub(super) fn new(origin: &Origin, prefix: &str, entries: BTreeMap<String, String>) -> Self {
        Self { file: origin.file.clone(), prefix: prefix.to_owned(), entries }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The same with one property more, in place of any it had by that name.
    #[must_use]
    pub fn with(mut self, key: &str, text: &str) -> Self {
        self.entries.insert(key.to_owned(), text.to_owned());
        self
    }

    /// A value as it was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// The properties with their references resolved. What comes out is no longer hidden.
    pub fn resolve(&self, source: &dyn SecretSource) -> Result<BTreeMap<String, String>, Vec<ConfigError>> {
        let origin = Origin { file: self.file.clone(), ..Origin::default() };
        let (mut resolved, mut errors) = (BTreeMap::new(), Vec::new());
        for (key, text) in &self.entries {
            match substitute(text, source) {
                Ok(text) => drop(resolved.insert(key.clone(), text)),
                Err(message) => {
                    errors.push(origin.error(ErrorKind::Secret, &format!("{}{key}", self.prefix), message));
                }
            }
        }
        if errors.is_empty() { Ok(resolved) } else { Err(errors) }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, text): (&'_ String, &'_ String)| {
            let text = if looks_secret(key) { HIDDEN.to_owned() } else { text.clone() };
            (key.clone(), text)
        };
        f.debug_map().entries(self.entries.iter().map(shown)).finish()
    }
}

/// The items of a list with commas, trimmed, empty ones left out.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A reference, and what stands around it.
enum Piece<'a> {
    Plain(&'a str),
    Env(&'a str),
    File { path: &'a Path, key: &'a str },
}

/// Whether a text has references.
pub(super) fn has_reference(text: &str) -> bool {
    text.contains("${env:") || text.contains("${file:")
}

/// Whether there are references anywhere in a value.
pub(super) fn value_has_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => has_reference(text),
        Value::Array(items) => items.iter().any(value_has_reference),
        Value::Object(fields) => fields.values().any(value_has_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Says what is wrong with how the references in a text are written.
pub(super) fn check(text: &str) -> Result<(), String> {
    pieces(text).map(drop)
}

/// The text with its references resolved.
pub fn substitute(text: &str, source: &dyn SecretSource) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    for piece in pieces(text)? {
        match piece {
            Piece::Plain(text) => resolved.push_str(text),
            Piece::Env(name) => {
                let value = source.env(name).ok_or_else(|| format!("environment variable {name} is not set"))?;
                resolved.push_str(&value);
            }
            Piece::File { path, key } => {
                let text = source.file(path).map_err(|error| format!("secret file {}: {error}", path.display()))?;
                let value = properties::find(&text, key)
                    .ok_or_else(|| format!("secret file {} has no key \"{key}\"", path.display()))?;
                resolved.push_str(&value);
            }
        }
    }
    Ok(resolved)
}

/// The value with the references in all its texts resolved.
pub fn substitute_value(value: &Value, source: &dyn SecretSource) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(substitute(text, source)?),
        Value::Array(items) => items.iter().map(|item| substitute_value(item, source)).collect::<Result<_, _>>()?,
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| Ok((key.clone(), substitute_value(value, source)?));
            fields.iter().map(field).collect::<Result<_, String>>()?
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain.clone(),
    })
}

/// Cuts a text into references and what stands between. `${` of any other sort is plain text, as in Kafka Connect.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(start) = [rest.find("${env:"), rest.find("${file:")].into_iter().flatten().min() {
        let (plain, reference) = rest.split_at(start);
        let Some((inner, after)) = reference.trim_start_matches("${").split_once('}') else {
            return Err("a reference to a secret has no closing \"}\"".to_owned());
        };
        pieces.push(Piece::Plain(plain));
        pieces.push(piece(inner)?);
        rest = after;
    }
    pieces.push(Piece::Plain(rest));
    Ok(pieces)
}

fn piece(inner: &str) -> Result<Piece<'_>, String> {
    if let Some(name) = inner.strip_prefix("env:") {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err("${env:...} must name an environment variable".to_owned());
        }
        return Ok(Piece::Env(name));
    }
    match inner.trim_start_matches("file:").rsplit_once(':') {
        Some((path, key)) if Path::new(path).is_absolute() && !key.is_empty() => {
            Ok(Piece::File { path: Path::new(path), key })
        }
        _ => Err("${file:...} must be an absolute path, a colon and a key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    //! What references resolve to, and what stays hidden.

    use super::*;

    struct Fake;

    impl SecretSource for Fake {
        fn env(&self, name: &str) -> Option<String> {
            (name == "PORT").then(|| "5432".to_owned())
        }

        fn file(&self, path: &Path) -> Result<String, String> {
            if path == Path::new("/run/db") { Ok("user=me\npass=s3".to_owned()) } else { Err("not found".to_owned()) }
        }
    }

    #[track_caller]
    fn resolves(text: &str, expected: &str) {
        assert_eq!(substitute(text, &Fake).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let error = substitute(text, &Fake).unwrap_err();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn references_are_resolved_and_nothing_else_is() {
        resolves("", "");
        resolves("${env:PORT}", "5432");
        resolves("${file:/run/db:user}:${file:/run/db:pass}@h:${env:PORT}", "me:s3@h:5432");
        resolves("$ {x} ${other:y} ${env", "$ {x} ${other:y} ${env");
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        refused("${env:NOPE}", "environment variable NOPE is not set");
        refused("${file:/run/db:nope}", "secret file /run/db has no key \"nope\"");
        refused("${file:/run/no:k}", "secret file /run/no: not found");
        refused("${file:run/db:user}", "absolute path");
        refused("${file:/run/db}", "a colon and a key");
        refused("${env:}", "must name");
        refused("x ${env:PORT", "closing");
    }

    #[test]
    fn secrets_do_not_show() {
        assert_eq!(format!("{0} {0:?}", Secret::new("s3")), "[hidden] [hidden]");
        let value = SecretValue::new(&Origin::default(), "k", "s3${env:PORT}".to_owned()).unwrap();
        assert_eq!(format!("{value:?} {:?}", value.resolve(&Fake).unwrap()), "[hidden] [hidden]");
        assert_eq!(value.resolve(&Fake).unwrap().expose(), "s35432");
        let entries = [("sasl.jaas.config", "s3"), ("acks", "all")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let properties = Properties::new(&Origin::default(), "kafka.", BTreeMap::from(entries));
        assert_eq!(format!("{properties:?}"), r#"{"acks": "all", "sasl.jaas.config": "[hidden]"}"#);
    }

    #[test]
    fn properties_name_the_key_that_does_not_resolve() {
        let entries = BTreeMap::from([("sasl.password".to_owned(), "${env:NOPE}".to_owned())]);
        let origin = Origin { file: "c.json".into(), ..Origin::default() };
        let errors = Properties::new(&origin, "producer.override.", entries).resolve(&Fake).unwrap_err();
        let expected = "c.json: producer.override.sasl.password: environment variable NOPE is not set";
        assert_eq!(errors[0].to_string(), expected);
    }
}
