//! What reads files and messages: any bytes are taken or refused with a reason, and what is taken survives a round.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use sandbar::config::{ConnectorSettings, Definition, ManifestLookup, WorkerConfig};
use sandbar::plugins::inspect;
use sandbar_abi::{Manifest, http};
use serde_json::json;

/// How long a message about a file may become: it is shown on a terminal, and logged.
const MAX_MESSAGE: usize = 1 << 20;

/// Reads a manifest, as JSON and as a section, writes it, and reads it again.
pub fn manifest(data: &[u8]) {
    for read in [Manifest::from_section(data), Manifest::from_json(data)] {
        match read {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(manifest) => {
                // One that only just fits may outgrow its limit when every field is written.
                let Ok(section) = manifest.to_section() else { continue };
                let again = Manifest::from_section(&section);
                assert!(again.is_ok_and(|again| again == manifest), "{manifest:?} is not read back");
            }
        }
    }
}

/// Reads a definition, as JSON and as TOML, and makes settings of it.
pub fn definition(data: &[u8]) {
    for file in ["c.json", "c.toml"] {
        let definition = match Definition::parse(Path::new(file), data) {
            Ok(definition) => definition,
            Err(errors) => {
                assert_reasons(&errors);
                continue;
            }
        };
        assert!(!definition.name.is_empty());
        match ConnectorSettings::resolve(&definition, plugins(), &WorkerConfig::default()) {
            Ok((settings, warnings)) => {
                assert_eq!(settings.name, definition.name);
                assert!(settings.tasks_max > 0 && settings.batch_max_records > 0);
                warnings.iter().for_each(|warning| assert!(!warning.to_string().is_empty()));
            }
            Err(errors) => assert_reasons(&errors),
        }
        // What Kafka Connect's clients would see is a definition too.
        let config = definition.config();
        assert!(!config.keys().any(String::is_empty) || Definition::from_config("again", &config, "rest").is_err());
    }
}

/// Judges a module: what is no plugin is refused with reasons, which are few and short.
pub fn module(data: &[u8]) {
    match inspect(data) {
        Ok(inspection) => {
            assert_eq!(inspection.size, data.len() as u64);
            assert!(serde_json::to_vec(&inspection).is_ok(), "a plugin can be described");
        }
        Err(errors) => {
            assert_reasons(&errors);
            assert!(errors.len() <= 65, "{} reasons", errors.len());
        }
    }
}

/// Reads a message of `http_send`, from either side, and writes it again.
pub fn http_message(data: &[u8]) {
    round::<http::Request>(data);
    round::<http::Answer>(data);
}

fn round<H: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    match http::decode::<H>(data) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok((head, body)) => {
            let Ok(message) = http::encode(&head, body) else { unreachable!("it was encoded before") };
            let Ok((again, rest)) = http::decode::<H>(&message) else { unreachable!("{head:?} is not read back") };
            assert_eq!((&again, rest), (&head, body));
        }
    }
}

fn assert_reasons<E: std::fmt::Display>(errors: &[E]) {
    assert!(!errors.is_empty(), "a refusal says why");
    for error in errors {
        let message = error.to_string();
        assert!(!message.is_empty() && message.len() <= MAX_MESSAGE, "a message of {} bytes", message.len());
    }
}

/// Plugins of every kind, with schemas and capabilities, for definitions to meet.
struct Plugins(BTreeMap<String, Manifest>);

impl ManifestLookup for Plugins {
    fn manifest(&self, class: &str) -> Option<&Manifest> {
        self.0.get(class)
    }
}

fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Plugins> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let schema = json!({
            "type": "object",
            "required": ["url"],
            "properties": {
                "url": {"type": "string"},
                "size": {"type": "integer", "minimum": 1, "default": 10},
                "login": {"type": "string", "format": "password"},
                "columns": {"type": "array", "items": {"type": "string"}},
                "nested": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
            }
        });
        let asks = json!({"fs": ["read", "write"], "env": ["HOME"], "http": ["example.com"]});
        let of = |name: &str, kinds: &[&str], config: Option<&serde_json::Value>, asks: Option<&serde_json::Value>| {
            let mut manifest = json!({"name": name, "version": "1.2.3", "kinds": kinds, "abi": 1});
            for (field, value) in [("config", config), ("capabilities", asks)] {
                if let Some(value) = value {
                    manifest[field] = value.clone();
                }
            }
            Manifest::from_json(manifest.to_string().as_bytes()).ok().map(|manifest| (name.to_owned(), manifest))
        };
        let all = [
            of("Db", &["sink"], Some(&schema), None),
            of("Src", &["source"], None, Some(&asks)),
            of("Map", &["transform"], Some(&json!({"properties": {"field": {"type": "string"}}})), None),
            of("Any", &["source", "sink", "transform"], None, None),
        ];
        Plugins(all.into_iter().flatten().collect())
    })
}
