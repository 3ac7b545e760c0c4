//! The plugins a connector can be made of, and what each can be told.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use sandbar_abi::manifest::Kind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::validate::definitions;
use crate::api::app::App;
use crate::api::connect::validate::KeyInfo;
use crate::api::error::{ApiError, ErrorBody, Path, Query, flag};

/// A plugin.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(in crate::api) struct PluginInfo {
    /// What `connector.class`, or `transforms.<alias>.type`, calls it.
    #[schema(example = "datagen")]
    class: String,
    /// What it is used as: `source`, `sink` or `transformation`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: String,
}

/// Which plugins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Which {
    /// Whether those that can only be part of a connector are left out: `true` in either case, or nothing; whatever else
    /// is not.
    #[serde(default = "yes", rename = "connectorsOnly", deserialize_with = "flag")]
    #[param(rename = "connectorsOnly", value_type = String, required = false, example = "false")]
    connectors_only: bool,
}

fn yes() -> bool {
    true
}

/// The plugins that are there, every version of each. A transform is listed as a sink, which it is to clients when it runs
/// by itself, and as a transformation.
#[utoipa::path(get, path = "/connector-plugins", tag = "connect", params(Which),
    responses((status = 200, body = Vec<PluginInfo>), (status = 400, body = ErrorBody)))]
pub(in crate::api) async fn list(
    State(app): State<App>,
    Query(which): Query<Which>,
) -> Result<Json<BTreeSet<PluginInfo>>, ApiError> {
    let world = app.status().borrow().world.clone();
    let mut plugins = BTreeSet::new();
    for (_, plugin) in world.registry.iter() {
        let manifest = plugin.manifest();
        let kinds = manifest.kinds.iter().flat_map(|kind| match kind {
            Kind::Source => &["source"][..],
            Kind::Sink => &["sink"],
            Kind::Transform if which.connectors_only => &["sink"],
            Kind::Transform => &["sink", "transformation"],
        });
        for kind in kinds {
            plugins.insert(PluginInfo { class: manifest.name.clone(), kind, version: manifest.version.to_string() });
        }
    }
    Ok(Json(plugins))
}

/// The keys a connector of a plugin can be told.
#[utoipa::path(get, path = "/connector-plugins/{plugin}/config", tag = "connect",
    params(("plugin" = String, Path)), responses(
        (status = 200, body = Vec<KeyInfo>),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn config(
    State(app): State<App>,
    Path(class): Path<String>,
) -> Result<Json<Vec<KeyInfo>>, ApiError> {
    let world = app.status().borrow().world.clone();
    let plugin = world.find(&class, None);
    let plugin = plugin.ok_or_else(|| ApiError::not_found(format!("Unknown plugin {class}.")))?;
    Ok(Json(definitions(plugin.manifest(), None)))
}
