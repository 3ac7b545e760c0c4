//! Plugins and their versions: list, upload, promote, roll back, delete. They lie in the watched folder, where everybody
//! can see them; an upload puts a file there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use sandbar_abi::Manifest;
use semver::Version;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::api::app::App;
use crate::api::error::{ApiError, ErrorBody, Path};
use crate::control::sharing::folder::file_name;
use crate::control::{RefusedPlugin, Status, World};
use crate::digest::Digest;
use crate::plugins::{Plugin, inspect};
use crate::storage::{Entry, PluginKey};
use crate::text::one_line;
use crate::trust::Signer;
use crate::whole_file;

/// How long an upload may take to be loaded: the folder is looked through, and the plugin compiled.
const LOADED_WITHIN: Duration = Duration::from_secs(60);

/// A module of WebAssembly.
pub(in crate::api) enum Module {}

impl PartialSchema for Module {
    fn schema() -> RefOr<Schema> {
        let bytes = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(bytes))
            .description(Some("A module, as it is"))
            .into()
    }
}

impl ToSchema for Module {}

/// All plugins.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Plugins {
    /// Those that can be used.
    plugins: Vec<PluginVersions>,
    /// Files that cannot, and why.
    #[schema(value_type = Vec<Object>)]
    refused: Vec<RefusedPlugin>,
}

/// A plugin and its versions.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct PluginVersions {
    /// Its name.
    #[schema(example = "datagen")]
    name: String,
    /// The version that connectors run that ask for none; null: the newest.
    promoted: Option<String>,
    /// The newest first.
    versions: Vec<PluginVersion>,
}

/// A version of a plugin.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct PluginVersion {
    /// Its version.
    #[schema(example = "0.1.0")]
    version: String,
    /// What it can be: `source`, `sink`, `transform`.
    kinds: Vec<&'static str>,
    /// Its content.
    sha256: String,
    /// Its size.
    bytes: usize,
    /// The file that holds it.
    file: String,
    /// The key that signed it; null: none that counts.
    signed_by: Option<String>,
    /// The connectors that run it.
    used_by: Vec<String>,
}

/// The plugins that are there.
#[utoipa::path(get, path = "/v1/plugins", tag = "sandbar", responses((status = 200, body = Plugins)))]
pub(in crate::api) async fn list(State(app): State<App>) -> Json<Plugins> {
    let status = app.status().borrow().clone();
    let mut names: Vec<_> = status.world.registry.iter().map(|(_, plugin)| plugin.manifest().name.clone()).collect();
    names.sort();
    names.dedup();
    let plugins = names.iter().map(|name| versions(&status, name)).collect();
    Json(Plugins { plugins, refused: status.refused })
}

/// Puts a plugin into the folder, where it is found like any other. What is no plugin, or must not be loaded, is refused
/// and leaves nothing behind.
#[utoipa::path(post, path = "/v1/plugins", tag = "sandbar",
    request_body(content = Module, content_type = "application/wasm"), responses(
        (status = 201, body = PluginVersions, description = "It is there, and can be used"),
        (status = 400, body = ErrorBody, description = "It is no plugin that can be loaded here"),
        (status = 409, body = ErrorBody, description = "That version is there, with other content"),
        (status = 413, body = ErrorBody, description = "It is too large"),
        (status = 503, body = ErrorBody, description = "It could not be kept, or is not loaded yet"),
    ))]
pub(in crate::api) async fn upload(
    State(app): State<App>,
    body: Bytes,
) -> Result<(StatusCode, Json<PluginVersions>), ApiError> {
    let bytes = body.clone();
    let inspected = spawn_blocking(move || inspect(&bytes)).await;
    let inspected = inspected.map_err(|error| ApiError::bad_request(format!("it cannot be inspected: {error}")))?;
    let inspection = inspected.map_err(|errors| ApiError::bad_request(one_line(&errors)))?;
    let Manifest { name, version, .. } = inspection.manifest;
    let world = app.status().borrow().world.clone();
    if let Some(known) = exact(&world, &name, &version) {
        if known.inspection.sha256 == inspection.sha256 {
            let status = app.status().borrow().clone();
            return Ok((StatusCode::CREATED, Json(versions(&status, &name))));
        }
        let message = format!("plugin {name} {version} is there with other content; raise the version");
        return Err(ApiError::conflict(message));
    }
    let file = file_of(&app, &name, &version);
    if file.exists() {
        let message = format!("{} is there already and holds something else", file.display());
        return Err(ApiError::conflict(message));
    }
    let to = file.clone();
    let written = spawn_blocking(move || whole_file::create(&to, &body)).await;
    let wrong = |why: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("{}: {why}", file.display()));
    written.map_err(|error| wrong(error.to_string()))?.map_err(|error| wrong(error.to_string()))?;
    // Whoever asked may be gone before it is known whether the file is of use.
    let judged = tokio::spawn(async move { loaded(&app, &file, &name, &version, inspection.sha256).await }).await;
    judged.map_err(|error| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?
}

/// Waits until the folder's new file was judged.
async fn loaded(
    app: &App,
    file: &PathBuf,
    name: &str,
    version: &Version,
    sha256: Digest,
) -> Result<(StatusCode, Json<PluginVersions>), ApiError> {
    let mut status = app.status();
    let is_it = |status: &Status| {
        exact(&status.world, name, version).is_some() || status.refused.iter().any(|refused| refused.file == *file)
    };
    let judged = tokio::time::timeout(LOADED_WITHIN, status.wait_for(is_it)).await;
    let Ok(Ok(now)) = judged.map(|judged| judged.map(|now| now.clone())) else {
        let message = format!("{} was written, and is not loaded yet", file.display());
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    };
    if exact(&now.world, name, version).is_some_and(|plugin| plugin.inspection.sha256 != sha256) {
        let message = format!("plugin {name} {version} is there by now with other content; raise the version");
        return Err(ApiError::conflict(message));
    }
    match now.refused.iter().find(|refused| refused.file == *file) {
        None => Ok((StatusCode::CREATED, Json(versions(&now, name)))),
        Some(refused) => {
            // It was not there before, and is of no use.
            let _ = std::fs::remove_file(file);
            Err(ApiError::bad_request(refused.reason.clone()))
        }
    }
}

/// Has connectors run this version that ask for none, even if there is a newer one.
#[utoipa::path(post, path = "/v1/plugins/{plugin}/versions/{version}/promote", tag = "sandbar",
    params(("plugin" = String, Path), ("version" = String, Path)), responses(
        (status = 200, body = PluginVersions),
        (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn promote(
    State(app): State<App>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<PluginVersions>, ApiError> {
    let (version, _) = known(&app, &name, &version)?;
    promoted(&app, &name, version).await
}

/// Promotes the version before the one that runs where none is asked for.
#[utoipa::path(post, path = "/v1/plugins/{plugin}/rollback", tag = "sandbar",
    params(("plugin" = String, Path)), responses(
        (status = 200, body = PluginVersions),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "There is no version before it"),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn roll_back(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<PluginVersions>, ApiError> {
    let world = app.status().borrow().world.clone();
    let current = world.find(&name, None).map(|plugin| plugin.manifest().version.clone());
    let current = current.ok_or_else(|| ApiError::not_found(format!("Unknown plugin {name}.")))?;
    let all = world.registry.iter().map(|(_, plugin)| plugin.manifest()).filter(|manifest| manifest.name == name);
    let before = all.map(|manifest| manifest.version.clone()).filter(|version| *version < current).max();
    let before = before.ok_or_else(|| ApiError::conflict(format!("there is no version of {name} before {current}")))?;
    promoted(&app, &name, before).await
}

/// Takes a version out of the folder.
#[utoipa::path(delete, path = "/v1/plugins/{plugin}/versions/{version}", tag = "sandbar",
    params(("plugin" = String, Path), ("version" = String, Path)), responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Connectors run it"),
        (status = 503, body = ErrorBody, description = "It could not be removed"),
    ))]
pub(in crate::api) async fn delete(
    State(app): State<App>,
    Path((name, version)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (version, file) = known(&app, &name, &version)?;
    let status = app.status().borrow().clone();
    let users = used_by(&status, &name, &version.to_string());
    if !users.is_empty() {
        let message = format!("{name} {version} is run by {}; promote another version first", users.join(", "));
        return Err(ApiError::conflict(message));
    }
    let (storage, plugin) = (app.handle.storage(), name.clone());
    storage
        .change(|configs| {
            let was_promoted = configs.promoted(&plugin) == Some(&version);
            let entry = Entry::Promoted { plugin: plugin.clone(), version: None };
            (if was_promoted { vec![entry] } else { Vec::new() }, ())
        })
        .await?;
    let shown = file.display().to_string();
    let removed = spawn_blocking(move || std::fs::remove_file(&file)).await;
    let wrong = |why: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("{shown}: {why}"));
    removed.map_err(|error| wrong(error.to_string()))?.map_err(|error| wrong(error.to_string()))?;
    if let Some(taken_away) = &app.taken_away {
        let key = PluginKey { name: name.clone(), version: version.clone() };
        taken_away.send_if_modified(|keys| keys.insert(key));
    }
    let mut status = app.status();
    // The folder is looked through soon; until then it would still be listed.
    let gone = status.wait_for(|status| exact(&status.world, &name, &version).is_none());
    let _ = tokio::time::timeout(LOADED_WITHIN, gone).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn promoted(app: &App, name: &str, version: Version) -> Result<Json<PluginVersions>, ApiError> {
    let entry = Entry::Promoted { plugin: name.to_owned(), version: Some(version) };
    app.handle.storage().change(|_| (vec![entry.clone()], ())).await?;
    let status = app.status().borrow().clone();
    Ok(Json(versions(&status, name)))
}

fn known(app: &App, name: &str, version: &str) -> Result<(Version, PathBuf), ApiError> {
    let unknown = || ApiError::not_found(format!("Unknown plugin {name} {version}."));
    let version: Version = version.parse().map_err(|_| unknown())?;
    let world = app.status().borrow().world.clone();
    let is_it = |plugin: &Arc<Plugin>| plugin.manifest().name == name && plugin.manifest().version == version;
    let found = world.registry.iter().find(|(_, plugin)| is_it(plugin)).map(|(file, _)| file.to_owned());
    Ok((version.clone(), found.ok_or_else(unknown)?))
}

fn exact<'w>(world: &'w World, name: &str, version: &Version) -> Option<&'w Arc<Plugin>> {
    world.registry.find(name, None, |plugin| plugin.manifest().version == *version)
}

/// Where an upload goes.
fn file_of(app: &App, name: &str, version: &Version) -> PathBuf {
    let key = PluginKey { name: name.to_owned(), version: version.clone() };
    app.worker.plugins.join(file_name(&key))
}

fn versions(status: &Status, name: &str) -> PluginVersions {
    let world = &status.world;
    let mut all: Vec<_> = world.registry.iter().filter(|(_, plugin)| plugin.manifest().name == name).collect();
    all.sort_by(|(_, a), (_, b)| b.manifest().version.cmp(&a.manifest().version));
    let version = |(file, plugin): (&std::path::Path, &Arc<Plugin>)| PluginVersion {
        version: plugin.manifest().version.to_string(),
        kinds: plugin.manifest().kinds.iter().map(|kind| kind.name()).collect(),
        sha256: plugin.inspection.sha256.to_string(),
        bytes: plugin.source.wasm.len(),
        file: file.display().to_string(),
        signed_by: match &plugin.trust.signer {
            Signer::Verified { key, .. } => Some(key.to_string()),
            Signer::Unsigned | Signer::Unverified { .. } => None,
        },
        used_by: used_by(status, name, &plugin.manifest().version.to_string()),
    };
    PluginVersions {
        name: name.to_owned(),
        promoted: world.configs.promoted(name).map(Version::to_string),
        versions: all.into_iter().map(version).collect(),
    }
}

fn used_by(status: &Status, name: &str, version: &str) -> Vec<String> {
    let runs = |connector: &&crate::control::ConnectorStatus| {
        let own = connector.plugin.as_ref().is_some_and(|(plugin, runs)| plugin == name && runs == version);
        own || connector.transforms.iter().any(|(plugin, runs)| plugin == name && runs == version)
    };
    status.connectors.iter().filter(runs).map(|connector| connector.name.clone()).collect()
}
