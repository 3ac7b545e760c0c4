//! A configuration held against its plugin's JSON Schema and the host's own keys, told key by key.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use sandbar_abi::Manifest;
use sandbar_abi::manifest::Kind as Plugin;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::change::told;
use super::connectors::flat;
use super::shapes::{Config, Given};
use crate::api::app::App;
use crate::api::error::{ApiError, Body, ErrorBody, Path};
use crate::config::keys::{KEYS, Key, Kind};
use crate::config::{ConfigError, ConnectorSettings, Definition, PropertyInfo, properties_of};

/// The group of keys that the host takes.
const HOST: &str = "Sandbar";

/// What is wrong with a configuration.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Validation {
    /// The plugin.
    name: String,
    /// How many values are wrong.
    error_count: usize,
    /// The groups of keys.
    groups: Vec<String>,
    /// The keys, one after the other.
    configs: Vec<KeyAndValue>,
}

/// A key and its value.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct KeyAndValue {
    /// The key.
    definition: KeyInfo,
    /// The value.
    value: ValueInfo,
}

/// A key.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::api) struct KeyInfo {
    /// Its name.
    name: String,
    /// What its value is: `STRING`, `INT`, `LONG`, `DOUBLE`, `BOOLEAN`, `LIST` or `PASSWORD`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether there has to be one.
    required: bool,
    /// The value it has where none is given.
    default_value: Option<String>,
    /// `HIGH`, `MEDIUM` or `LOW`.
    importance: &'static str,
    /// What it does.
    documentation: String,
    /// The group it belongs to.
    group: Option<String>,
    /// How much room its value needs.
    width: &'static str,
    /// What it is called to people.
    display_name: String,
    /// Keys that hang on it.
    dependents: Vec<String>,
    /// Where it stands in its group.
    order_in_group: i32,
}

/// A value.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ValueInfo {
    /// The key.
    name: String,
    /// The value; a secret is hidden.
    value: Option<String>,
    /// Values that would do.
    recommended_values: Vec<String>,
    /// What is wrong with it.
    errors: Vec<String>,
    /// Whether it is worth while to show it.
    visible: bool,
}

/// Says what is wrong with a configuration, key by key. Nothing is kept.
#[utoipa::path(put, path = "/connector-plugins/{plugin}/config/validate", tag = "connect",
    params(("plugin" = String, Path)), request_body = BTreeMap<String, Given>, responses(
        (status = 200, body = Validation, description = "What was found, errors too"),
        (status = 400, body = ErrorBody, description = "The configuration names another plugin"),
        (status = 404, body = ErrorBody, description = "There is no such plugin"),
    ))]
pub(in crate::api) async fn validate(
    State(app): State<App>,
    Path(class): Path<String>,
    Body(config): Body<BTreeMap<String, Value>>,
) -> Result<Json<Validation>, ApiError> {
    let config = flat(config)?;
    match config.get("connector.class") {
        Some(included) if *included == class => {}
        Some(included) => {
            let message = format!("Included connector type {included} does not match request type {class}");
            return Err(ApiError::bad_request(message));
        }
        None => return Err(ApiError::bad_request("Connector config contains no connector type")),
    }
    let world = app.status().borrow().world.clone();
    let plugin = world.find(&class, None);
    let plugin = plugin.ok_or_else(|| {
        ApiError::not_found(format!(
            "Failed to find any class that implements Connector and which name matches {class}"
        ))
    })?;
    // A name is not what is judged here, and may come later.
    let name = config.get("name").cloned().unwrap_or_else(|| "unnamed".to_owned());
    let definition = Definition::from_config(&name, &config, "REST");
    let (shown, mut errors) = match definition {
        Ok(definition) => {
            let judged = ConnectorSettings::resolve(&definition, &*world, &app.worker);
            (definition.shown(&*world), judged.map(drop).err().unwrap_or_default())
        }
        Err(errors) => (Config::new(), errors),
    };
    let keys = definitions(plugin.manifest(), Some(&config));
    let count = errors.len();
    let mut configs: Vec<_> = keys.into_iter().map(|key| value(key, &config, &shown, &mut errors)).collect();
    // What is wrong with keys that nobody knows, or with all of it.
    for error in errors {
        let name = error.key.clone().unwrap_or_else(|| "connector.class".to_owned());
        if let Some(known) = configs.iter_mut().find(|known| known.definition.name == name) {
            known.value.errors.push(told(&error));
            continue;
        }
        let value = ValueInfo {
            name: name.clone(),
            value: shown.get(&name).cloned(),
            recommended_values: Vec::new(),
            errors: vec![told(&error)],
            visible: true,
        };
        configs.push(KeyAndValue { definition: unknown(name), value });
    }
    let mut groups: Vec<String> = Vec::new();
    for group in configs.iter().filter_map(|known| known.definition.group.clone()) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(Json(Validation { name: class, error_count: count, groups, configs }))
}

fn value(key: KeyInfo, config: &Config, shown: &Config, errors: &mut Vec<ConfigError>) -> KeyAndValue {
    let own = errors.extract_if(.., |error| error.key.as_deref() == Some(key.name.as_str()));
    let value = ValueInfo {
        name: key.name.clone(),
        value: if config.contains_key(&key.name) { shown.get(&key.name) } else { key.default_value.as_ref() }.cloned(),
        recommended_values: Vec::new(),
        errors: own.map(|error| told(&error)).collect(),
        visible: true,
    };
    KeyAndValue { definition: key, value }
}

/// The keys that a connector of a plugin can be told: the plugin's own, then the host's. Those that the file names itself
/// are there only where a configuration names them.
pub(super) fn definitions(manifest: &Manifest, config: Option<&Config>) -> Vec<KeyInfo> {
    let own = properties_of(manifest);
    let (mut all, mut order) = (Vec::new(), 0);
    for key in KEYS.iter().filter(|key| key.applies.iter().any(|kind| manifest.is(*kind))) {
        if own.iter().any(|property| property.name == key.name) {
            continue;
        }
        if !key.is_pattern() {
            order += 1;
            all.push(host_key(key, key.name.to_owned(), manifest, order));
            continue;
        }
        for name in config.into_iter().flat_map(BTreeMap::keys).filter(|name| key.matches(name)) {
            // What a transform's own key is, its plugin says; here it is text.
            if !all.iter().any(|known: &KeyInfo| known.name == *name) {
                order += 1;
                all.push(host_key(key, name.clone(), manifest, order));
            }
        }
    }
    let plugins = own.into_iter().zip(1..).map(|(property, order)| plugin_key(property, &manifest.name, order));
    all.extend(plugins);
    all
}

fn host_key(key: &Key, name: String, manifest: &Manifest, order: i32) -> KeyInfo {
    let kind = match key.kind {
        Kind::Flag => "BOOLEAN",
        Kind::Integer(_, max) if max <= i64::from(i32::MAX) => "INT",
        Kind::Integer(..) | Kind::Millis(..) | Kind::Bytes(..) => "LONG",
        Kind::Replicas => "INT",
        kind if kind.is_list() => "LIST",
        _ => "STRING",
    };
    let required = matches!(key.name, "name" | "connector.class") || key.name == "topic" && !manifest.is(Plugin::Sink);
    KeyInfo {
        display_name: name.clone(),
        name,
        kind,
        required,
        default_value: key.default.map(str::to_owned),
        importance: if required || key.name.starts_with("topic") { "HIGH" } else { "LOW" },
        documentation: key.doc().to_owned(),
        group: Some(HOST.to_owned()),
        width: "MEDIUM",
        dependents: Vec::new(),
        order_in_group: order,
    }
}

fn plugin_key(property: PropertyInfo, plugin: &str, order: i32) -> KeyInfo {
    KeyInfo {
        display_name: property.title.unwrap_or_else(|| property.name.clone()),
        name: property.name,
        kind: property.kind,
        required: property.required,
        default_value: property.default,
        importance: if property.required { "HIGH" } else { "MEDIUM" },
        documentation: property.description,
        group: Some(plugin.to_owned()),
        width: "MEDIUM",
        dependents: Vec::new(),
        order_in_group: order,
    }
}

fn unknown(name: String) -> KeyInfo {
    KeyInfo {
        display_name: name.clone(),
        name,
        kind: "STRING",
        required: false,
        default_value: None,
        importance: "LOW",
        documentation: String::new(),
        group: None,
        width: "NONE",
        dependents: Vec::new(),
        order_in_group: -1,
    }
}
