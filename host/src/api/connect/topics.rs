//! The topics that a connector's tasks have used since they were last forgotten.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::app::App;
use crate::api::error::Path;

/// Topics.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ActiveTopics {
    /// By name.
    topics: BTreeSet<String>,
}

/// The topics that a connector has read or written on this worker since it was started last, or since they were reset.
#[utoipa::path(get, path = "/connectors/{connector}/topics", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = BTreeMap<String, ActiveTopics>),
    ))]
pub(in crate::api) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Json<BTreeMap<String, ActiveTopics>> {
    let tasks = app.connector(&name).map(|connector| connector.tasks).unwrap_or_default();
    let topics = tasks.iter().flat_map(|task| task.progress.topics()).map(|topic| topic.to_string()).collect();
    Json(BTreeMap::from([(name, ActiveTopics { topics })]))
}

/// Forgets which topics a connector has used.
#[utoipa::path(put, path = "/connectors/{connector}/topics/reset", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 202, description = "They are forgotten"),
    ))]
pub(in crate::api) async fn reset(State(app): State<App>, Path(name): Path<String>) -> StatusCode {
    if let Some(connector) = app.connector(&name) {
        connector.tasks.iter().for_each(|task| task.progress.forget_topics());
    }
    StatusCode::ACCEPTED
}
