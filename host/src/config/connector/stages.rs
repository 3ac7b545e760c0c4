//! The plugins of a connector: its own and those of its transforms, each with its part of the configuration.

use std::collections::BTreeMap;

use sandbar_abi::Manifest;
use sandbar_abi::manifest::Kind;
use semver::VersionReq;
use serde_json::Value;

use super::sandbox::Granted;
use super::{ManifestLookup, PluginSettings, TransformSettings};
use crate::config::error::ErrorKind;
use crate::config::keys::{self, Key, connect};
use crate::config::plugin_config::PluginConfig;
use crate::config::reader::Reader;
use crate::config::schema::Schema;
use crate::config::suggest;

/// The most transforms of a connector: each is an instance with its own memory in every task.
const MAX_TRANSFORMS: usize = 32;

/// A plugin that was asked for.
pub(super) struct Found<'a> {
    class: String,
    version: Option<VersionReq>,
    /// Nothing while the plugin is missing.
    pub(super) manifest: Option<&'a Manifest>,
}

/// Finds the plugin that a key names. `prefix` is what comes before the keys of a transform.
pub(super) fn find<'a>(
    reader: &mut Reader<'_>,
    manifests: &'a dyn ManifestLookup,
    class: &Key,
    version: &Key,
    prefix: &str,
) -> Option<Found<'a>> {
    let name_of = |key: &Key| key.name.replace("transforms.<alias>.", prefix);
    let (class_key, version_key) = (name_of(class), name_of(version));
    let requirement = reader.text_of(version, &version_key);
    let requirement = requirement.and_then(|text| VersionReq::parse(&text).ok());
    let class = reader.required(class, &class_key)?;
    let manifest = match &requirement {
        Some(requirement) => manifests.manifest_matching(&class, requirement),
        None => manifests.manifest(&class),
    };
    if manifest.is_none() {
        let message = match (&requirement, manifests.manifest(&class)) {
            (Some(wanted), Some(other)) => {
                format!("plugin {class} is there in version {}, not {wanted}", other.version)
            }
            _ => format!("plugin {class} is not there (yet)"),
        };
        reader.error(ErrorKind::PluginMissing { class: class.clone() }, &class_key, message);
    }
    Some(Found { class, version: requirement, manifest })
}

/// Finds the plugins of the transforms, in order. Keys of transforms that are not in the list are errors.
pub(super) fn find_transforms<'a>(
    reader: &mut Reader<'_>,
    manifests: &'a dyn ManifestLookup,
) -> Vec<(String, Found<'a>)> {
    let aliases = reader.list(&keys::TRANSFORMS);
    if aliases.len() > MAX_TRANSFORMS {
        let message = format!("names {} transforms, the limit is {MAX_TRANSFORMS}", aliases.len());
        reader.error(ErrorKind::Invalid, keys::TRANSFORMS.name, message);
        return Vec::new();
    }
    let entries = reader.entries;
    let of_any = |name: &str| aliases.iter().any(|alias| name.starts_with(&prefix(alias)));
    for name in entries.keys().filter(|name| name.starts_with("transforms.") && !of_any(name)) {
        let alias = name.split('.').nth(1).unwrap_or_default();
        let hint = suggest::hint(alias, aliases.iter().map(String::as_str));
        reader.error(ErrorKind::UnknownKey, name, format!("\"{alias}\" is not one of the transforms{hint}"));
    }
    let mut found: Vec<(String, Found<'a>)> = Vec::new();
    for alias in &aliases {
        if found.iter().any(|(other, _)| other == alias) {
            reader.error(ErrorKind::Invalid, keys::TRANSFORMS.name, format!("names \"{alias}\" twice"));
            continue;
        }
        let plugin = find(reader, manifests, &keys::TRANSFORM_TYPE, &keys::TRANSFORM_VERSION, &prefix(alias));
        let Some(plugin) = plugin else { continue };
        if let Some(manifest) = plugin.manifest.filter(|manifest| !manifest.is(Kind::Transform)) {
            let key = format!("{}type", prefix(alias));
            reader.error(ErrorKind::Invalid, &key, format!("plugin {} is no transform", manifest.name));
        }
        found.push((alias.clone(), plugin));
    }
    found
}

/// The settings of a plugin that is there.
pub(super) fn settings(
    reader: &mut Reader<'_>,
    found: Option<Found<'_>>,
    entries: BTreeMap<String, Value>,
    prefix: &str,
    granted: &Granted,
) -> Option<PluginSettings> {
    let Found { class, version, manifest } = found?;
    let manifest = manifest?;
    let (config, errors) = PluginConfig::new(reader.origin, prefix, entries, manifest.config.as_ref());
    reader.errors.extend(errors);
    let sandbox = granted.sandbox(reader, manifest);
    Some(PluginSettings { class, version, config, sandbox })
}

/// The settings of the transforms that are there.
pub(super) fn transform_settings(
    reader: &mut Reader<'_>,
    transforms: Vec<(String, Found<'_>)>,
    granted: &Granted,
) -> Vec<TransformSettings> {
    let mut settings_of_all = Vec::new();
    for (alias, found) in transforms {
        let prefix = prefix(&alias);
        let entries = transform_keys(reader, &prefix, found.manifest);
        let plugin = settings(reader, Some(found), entries, &prefix, granted);
        settings_of_all.extend(plugin.map(|plugin| TransformSettings { alias, plugin }));
    }
    settings_of_all
}

fn prefix(alias: &str) -> String {
    format!("transforms.{alias}.")
}

/// The keys of one transform that are its plugin's.
fn transform_keys(reader: &mut Reader<'_>, prefix: &str, manifest: Option<&Manifest>) -> BTreeMap<String, Value> {
    let schema = manifest.and_then(|manifest| manifest.config.as_ref()).map(Schema::new);
    let (entries, mut keys) = (reader.entries, BTreeMap::new());
    for (name, value) in entries {
        let Some(key) = name.strip_prefix(prefix) else { continue };
        if matches!(key, "type" | "plugin.version") {
            continue;
        }
        if connect::TRANSFORM_PREDICATE_KEYS.contains(&key) {
            reader.error(ErrorKind::Unsupported, name, connect::NO_PREDICATES);
            continue;
        }
        if let Some(schema) = schema.as_ref().filter(|schema| !schema.lists(key) && !schema.is_open_to(key)) {
            let hint = suggest::hint(key, schema.names().into_iter().chain(["type"]));
            reader.error(ErrorKind::UnknownKey, name, format!("is not known to the plugin{hint}"));
            continue;
        }
        keys.insert(key.to_owned(), value.clone());
    }
    keys
}
