//! Whose a key is: the host's, the plugin's, Kafka Connect's, or a mistake.

use std::collections::BTreeMap;

use sandbar_abi::Manifest;
use serde_json::Value;

use crate::config::error::ErrorKind;
use crate::config::keys::connect::{self, Verdict};
use crate::config::keys::{KEYS, Key};
use crate::config::reader::Reader;
use crate::config::schema::Schema;
use crate::config::suggest;

/// What comes before keys that can only be the host's: an unknown one is a mistake, whatever the plugin is.
const HOST_PREFIXES: &[&str] = &[
    "connector.",
    "consumer.",
    "errors.",
    "exactly.once.",
    "predicates.",
    "producer.",
    "sandbox.",
    "tasks.",
    "topic.creation.",
    "topics.",
    "transforms.",
];
/// How near to one of the host's keys a key must be to pass for that key mistyped, where no schema says whose it is.
const TYPO_EDITS: usize = 2;
/// Shorter keys are too easily near to one another by chance.
const TYPO_MIN_BYTES: usize = 6;

/// The keys that are the plugin's. All others are judged here, but for values of the host's keys.
pub(super) fn plugin(reader: &mut Reader<'_>, manifest: Option<&Manifest>, missing: bool) -> BTreeMap<String, Value> {
    let schema = manifest.and_then(|manifest| manifest.config.as_ref()).map(Schema::new);
    let (entries, mut keys) = (reader.entries, BTreeMap::new());
    for (name, value) in entries {
        let listed = schema.as_ref().is_some_and(|schema| schema.lists(name));
        let known = KEYS.iter().any(|key| key.matches(name)) || name.starts_with("transforms.");
        if listed {
            // A plugin may ask to see keys of the host too: a sink its topics.
            keys.insert(name.clone(), value.clone());
        } else if known {
            continue;
        } else if let Some(verdict) = connect::verdict(name) {
            judge(reader, name, value, verdict);
        } else if takes(reader, name, schema.as_ref(), missing) {
            keys.insert(name.clone(), value.clone());
        }
    }
    keys
}

fn judge(reader: &mut Reader<'_>, name: &str, value: &Value, verdict: Verdict) {
    match verdict {
        Verdict::Converter if value.as_str() == Some(connect::BYTES_CONVERTER) => {}
        Verdict::Converter => {
            let message = format!("has no effect: records pass as bytes, as with {}", connect::BYTES_CONVERTER);
            reader.warning(name, message);
        }
        Verdict::Ignored(message) => reader.warning(name, message),
        Verdict::Refused(message) => reader.error(ErrorKind::Unsupported, name, message),
    }
}

/// Whether a key that nobody lists is passed on; if not, the error is noted.
fn takes(reader: &mut Reader<'_>, name: &str, schema: Option<&Schema<'_>>, missing: bool) -> bool {
    let host = || KEYS.iter().filter(|key: &&Key| !key.is_pattern()).map(|key| key.name);
    if HOST_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        reader.error(ErrorKind::UnknownKey, name, format!("is not known{}", suggest::hint(name, host())));
        return false;
    }
    match schema {
        Some(schema) if schema.is_open_to(name) => true,
        Some(schema) => {
            let hint = suggest::hint(name, host().chain(schema.names()));
            reader.error(ErrorKind::UnknownKey, name, format!("is known neither to the host nor to the plugin{hint}"));
            false
        }
        // The plugin that is missing may list it.
        None if missing => false,
        None => match suggest::nearest(name, host()) {
            Some((known, edits)) if edits <= TYPO_EDITS && name.len() >= TYPO_MIN_BYTES => {
                reader.error(ErrorKind::UnknownKey, name, format!("is not known, did you mean \"{known}\"?"));
                false
            }
            _ => true,
        },
    }
}
