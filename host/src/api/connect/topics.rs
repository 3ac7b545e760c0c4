//! The topics that a connector's tasks have used since they were last forgotten.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::app::App;
use crate::api::asking::{Ask, forget_topics, topics};
use crate::api::error::Path;

/// Topics.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ActiveTopics {
    /// By name.
    topics: BTreeSet<String>,
}

/// The topics that a connector has read or written, on any worker that lives, since these were reset.
#[utoipa::path(get, path = "/connectors/{connector}/topics", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = BTreeMap<String, ActiveTopics>),
    ))]
pub(in crate::api) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Json<BTreeMap<String, ActiveTopics>> {
    let own = app.connector(&name).map(|connector| topics(&connector)).unwrap_or_default();
    let others = app.ask_all(&Ask::Topics { connector: name.clone() }).await;
    let others = others.into_iter().filter_map(|told| serde_json::from_value::<Vec<String>>(told).ok()).flatten();
    let topics = own.into_iter().chain(others).collect();
    Json(BTreeMap::from([(name, ActiveTopics { topics })]))
}

/// Forgets which topics a connector has used.
#[utoipa::path(put, path = "/connectors/{connector}/topics/reset", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 202, description = "They are forgotten"),
    ))]
pub(in crate::api) async fn reset(State(app): State<App>, Path(name): Path<String>) -> StatusCode {
    forget_topics(&app, &name);
    app.ask_all(&Ask::ForgetTopics { connector: name }).await;
    StatusCode::ACCEPTED
}
