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
    // One that nobody defined has used none, as in Kafka Connect; the others need not be asked.
    let topics: BTreeSet<_> = match app.connector(&name) {
        Some(connector) => {
            let others = app.ask_all(&Ask::Topics { connector: name.clone() }).await.into_iter();
            let others = others.filter_map(|told| serde_json::from_value::<Vec<String>>(told).ok()).flatten();
            topics(&connector).into_iter().chain(others).collect()
        }
        None => BTreeSet::new(),
    };
    Json(BTreeMap::from([(name, ActiveTopics { topics })]))
}

/// Forgets which topics a connector has used, on this worker and those that answer it.
#[utoipa::path(put, path = "/connectors/{connector}/topics/reset", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 202, description = "They are forgotten"),
    ))]
pub(in crate::api) async fn reset(State(app): State<App>, Path(name): Path<String>) -> StatusCode {
    if app.connector(&name).is_some() {
        forget_topics(&app, &name);
        app.ask_all(&Ask::ForgetTopics { connector: name }).await;
    }
    StatusCode::ACCEPTED
}
