//! The whole status of the worker: what `sandbar status` and the page show.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::app::App;
use crate::control::{ConnectorStatus, RefusedPlugin, Status, WorkerShare};

/// What runs.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct WorkerStatus {
    /// Sandbar's version.
    version: &'static str,
    /// What this worker is called to clients.
    worker_id: String,
    /// The rest: whether it is ready, its place in the worker group, files that are not used.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    status: Rest,
    /// The connectors.
    #[schema(value_type = Vec<Object>)]
    connectors: Vec<Connector>,
}

#[derive(Serialize)]
struct Rest {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<WorkerShare>,
    refused: Vec<RefusedPlugin>,
}

#[derive(Serialize)]
struct Connector {
    #[serde(flatten)]
    status: ConnectorStatus,
    /// Records that are still to be consumed; null where that is not known, or there is nothing to consume.
    lag: Option<u64>,
    /// Where records go that fail.
    dead_letter_topic: Option<String>,
}

/// Everything that runs: connectors, tasks with their counters and what they have used, files that are not used.
#[utoipa::path(get, path = "/v1/status", tag = "sandbar", responses((status = 200, body = WorkerStatus)))]
pub(in crate::api) async fn get(State(app): State<App>) -> Json<WorkerStatus> {
    let Status { ready, storage, worker, connectors, refused, world: _ } = app.status().borrow().clone();
    let connectors = connectors.into_iter().map(|status| {
        let letters = status.settings.as_ref().and_then(|settings| settings.errors.dead_letters.as_ref());
        Connector {
            lag: app.lags.of(&status.name),
            dead_letter_topic: letters.map(|letters| letters.topic.clone()),
            status,
        }
    });
    Json(WorkerStatus {
        version: env!("CARGO_PKG_VERSION"),
        worker_id: app.worker_id.clone(),
        connectors: connectors.collect(),
        status: Rest { ready, storage, worker, refused },
    })
}
