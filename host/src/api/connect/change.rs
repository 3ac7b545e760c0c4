//! Changes of connectors: judged here, by the plugins that are there, then written where every worker follows.

use std::collections::BTreeMap;

use super::shapes::{Config, ConnectorInfo, ConnectorType};
use crate::api::app::App;
use crate::api::error::ApiError;
use crate::config::secrets::HIDDEN;
use crate::config::{ConfigError, ConnectorSettings, Definition, ErrorKind, InitialState, reveal};
use crate::control::World;
use crate::storage::{Configs, Entry};

type Decided<T> = (Vec<Entry>, Result<T, ApiError>);

/// Creates a connector.
pub(super) async fn create(
    app: &App,
    name: &str,
    config: Config,
    state: Option<InitialState>,
) -> Result<ConnectorInfo, ApiError> {
    let exists = |by: &str| ApiError::conflict(format!("Connector {name} already exists{by}"));
    let config = checked(app, name, config)?;
    if let Some(file) = owned_by_file(app, name) {
        return Err(exists(&format!(", defined by the file {file}")));
    }
    let decide = |configs: &Configs| -> Decided<()> {
        if configs.connector(name).is_some() {
            return (Vec::new(), Err(exists("")));
        }
        let connector = Entry::Connector { name: name.to_owned(), config: Some(config.clone()) };
        // What was wanted of one that had the name before says nothing of this one.
        let target = Entry::Target { name: name.to_owned(), state };
        (vec![target, connector], Ok(()))
    };
    app.handle.storage().change(decide).await??;
    Ok(as_new(info(app, name, &config)))
}

/// Creates a connector, or replaces its configuration. Says whether it is new.
pub(super) async fn put(app: &App, name: &str, config: Config) -> Result<(bool, ConnectorInfo), ApiError> {
    refuse_file(app, name)?;
    let decide = |configs: &Configs| -> Decided<(bool, Config)> {
        let before = configs.connector(name);
        let mut config = config.clone();
        if let Some(before) = before {
            reveal(&mut config, before);
        }
        written(app, name, config, before.is_none())
    };
    let (created, config) = app.handle.storage().change(decide).await??;
    let info = info(app, name, &config);
    Ok((created, if created { as_new(info) } else { info }))
}

/// Changes single keys of a configuration.
pub(super) async fn patch(
    app: &App,
    name: &str,
    changes: BTreeMap<String, Option<String>>,
) -> Result<ConnectorInfo, ApiError> {
    app.known(name)?;
    refuse_file(app, name)?;
    let decide = |configs: &Configs| -> Decided<(bool, Config)> {
        let Some(before) = configs.connector(name) else {
            return (Vec::new(), Err(ApiError::not_found(format!("Connector {name} not found"))));
        };
        let mut config = before.clone();
        for (key, value) in changes.clone() {
            match value {
                Some(value) => drop(config.insert(key, value)),
                None => drop(config.remove(&key)),
            }
        }
        reveal(&mut config, before);
        written(app, name, config, false)
    };
    let (_, config) = app.handle.storage().change(decide).await??;
    Ok(info(app, name, &config))
}

/// Deletes a connector.
pub(super) async fn delete(app: &App, name: &str) -> Result<(), ApiError> {
    refuse_file(app, name)?;
    let decide = |configs: &Configs| -> Decided<()> {
        if configs.connector(name).is_none() {
            return (Vec::new(), Err(ApiError::not_found(format!("Connector {name} not found"))));
        }
        let gone = [
            Entry::Connector { name: name.to_owned(), config: None },
            Entry::Target { name: name.to_owned(), state: None },
        ];
        (gone.into(), Ok(()))
    };
    app.handle.storage().change(decide).await?
}

fn written(app: &App, name: &str, config: Config, is_new: bool) -> Decided<(bool, Config)> {
    match checked(app, name, config) {
        Ok(config) => {
            let connector = Entry::Connector { name: name.to_owned(), config: Some(config.clone()) };
            (vec![connector], Ok((is_new, config)))
        }
        Err(error) => (Vec::new(), Err(error)),
    }
}

/// Judges a configuration, and completes it with the connector's name.
fn checked(app: &App, name: &str, mut config: Config) -> Result<Config, ApiError> {
    if let Some(inner) = config.get("name").filter(|inner| *inner != name) {
        let message =
            format!("Connector name configuration ({inner}) doesn't match connector name in the URL ({name})");
        return Err(ApiError::bad_request(message));
    }
    config.insert("name".to_owned(), name.to_owned());
    if let Some((key, _)) = config.iter().find(|(_, text)| *text == HIDDEN) {
        return Err(ApiError::bad_request(format!(
            "{key}: {HIDDEN} stands for a secret that is not known here; write it out, or a reference to it"
        )));
    }
    let world = app.status().borrow().world.clone();
    if config.get("connector.class").is_none_or(String::is_empty) {
        return Err(ApiError::bad_request("Connector config contains no connector type"));
    }
    let judged = Definition::from_config(name, &config, "REST")
        .and_then(|definition| ConnectorSettings::resolve(&definition, &*world, &app.worker));
    match judged {
        Ok(_) => Ok(config),
        Err(errors) => Err(refused(&errors, &world)),
    }
}

fn refused(errors: &[ConfigError], world: &World) -> ApiError {
    let own_class = errors.iter().find_map(|error| match &error.kind {
        ErrorKind::PluginMissing { class } if error.key.as_deref() == Some("connector.class") => Some(class),
        _ => None,
    });
    if let Some(class) = own_class {
        let known: Vec<_> = world
            .registry
            .iter()
            .map(|(_, plugin)| format!("{} {}", plugin.manifest().name, plugin.manifest().version))
            .collect();
        return ApiError::bad_request(format!(
            "Failed to find any class that implements Connector and which name matches {class}, available connectors are: {}",
            known.join(", ")
        ));
    }
    let lines: Vec<_> = errors.iter().map(told).collect();
    ApiError::bad_request(format!(
        "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
        lines.len(),
        lines.join("\n"),
    ))
}

/// An error of a configuration that has no lines.
pub(super) fn told(error: &ConfigError) -> String {
    match &error.key {
        Some(key) => format!("{key}: {}", error.message),
        None => error.message.clone(),
    }
}

fn owned_by_file(app: &App, name: &str) -> Option<String> {
    Some(app.connector(name)?.file?.display().to_string())
}

/// What a file defines is changed there.
fn refuse_file(app: &App, name: &str) -> Result<(), ApiError> {
    let Some(file) = owned_by_file(app, name) else { return Ok(()) };
    Err(ApiError::conflict(format!("Connector {name} is defined by the file {file}; change or remove that file")))
}

/// A connector that was just created: as in Kafka Connect it has no tasks yet, whether some were quick to come or not.
fn as_new(info: ConnectorInfo) -> ConnectorInfo {
    ConnectorInfo { tasks: Vec::new(), ..info }
}

/// The connector as it was taken in.
fn info(app: &App, name: &str, config: &Config) -> ConnectorInfo {
    let world = app.status().borrow().world.clone();
    if let Some(connector) = app.connector(name) {
        return ConnectorInfo::of(&connector, &world);
    }
    // It is gone again already.
    let shown = Definition::from_config(name, config, "REST").map(|definition| definition.shown(&*world));
    let config = shown.unwrap_or_default();
    ConnectorInfo { name: name.to_owned(), config, tasks: Vec::new(), kind: ConnectorType::of(None) }
}
