//! The whole status, as this worker knows it and the others tell it: what `sandbar status` and the page show.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::api::app::App;
use crate::control::{ConnectorState, ConnectorStatus, RefusedPlugin, Status, TaskStatus, WorkerShare};

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
    connectors: Vec<Value>,
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

/// Everything that runs, here or on other workers: connectors, tasks with their counters and what they have used. Files that
/// are not used are those of the worker that is asked.
#[utoipa::path(get, path = "/v1/status", tag = "sandbar", responses((status = 200, body = WorkerStatus)))]
pub(in crate::api) async fn get(State(app): State<App>) -> Json<WorkerStatus> {
    let others = app.running_elsewhere().await;
    let Status { ready, storage, worker, connectors, refused, .. } = app.status().borrow().clone();
    let connectors = connectors.iter().map(|status| connector(&app, status, &others)).collect();
    Json(WorkerStatus {
        version: env!("CARGO_PKG_VERSION"),
        worker_id: app.worker_id.clone(),
        connectors,
        status: Rest { ready, storage, worker, refused },
    })
}

/// A task and the worker that runs it.
pub(in crate::api) fn task(task: &TaskStatus, worker_id: &str) -> Value {
    let mut told = json!(task);
    if let Some(fields) = told.as_object_mut() {
        fields.insert("worker_id".to_owned(), worker_id.into());
    }
    told
}

fn connector(app: &App, status: &ConnectorStatus, others: &[Value]) -> Value {
    let letters = status.settings.as_ref().and_then(|settings| settings.errors.dead_letters.as_ref());
    let mut told = json!(status);
    let Some(fields) = told.as_object_mut() else { return told };
    // Records that are still to be consumed; null where that is not known, or there is nothing to consume.
    fields.insert("lag".to_owned(), json!(app.lags.of(&status.name)));
    fields.insert("dead_letter_topic".to_owned(), json!(letters.map(|letters| &letters.topic)));
    let tasks: Vec<_> = status.tasks.iter().map(|known| task(known, &app.worker_id)).collect();
    fields.insert("tasks".to_owned(), tasks.into());
    let others: Vec<_> = others.iter().filter_map(|other| other.get(&status.name)).collect();
    merge(fields, status, &others);
    told
}

/// Takes in what other workers say of a connector: of their tasks, and where one of them speaks for it, of itself.
fn merge(fields: &mut Map<String, Value>, status: &ConnectorStatus, others: &[&Value]) {
    if others.is_empty() {
        return;
    }
    let theirs = || others.iter().filter_map(|other| other["tasks"].as_array()).flatten();
    let told = |id: u32| theirs().find(|task| task["id"] == id).cloned();
    // Why a task is nobody's here is no news where another worker runs it.
    let is_elsewhere = |reason: &Value| {
        let mut unknown = status.tasks.iter().filter(|task| !task.ours);
        unknown.any(|task| task.trace.as_deref() == reason.as_str() && task.trace.is_some())
    };
    let mut tasks = fields.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
    for (task, own) in tasks.iter_mut().zip(&status.tasks).filter(|(_, own)| !own.ours) {
        if let Some(told) = told(own.id) {
            *task = told;
        }
    }
    let own = others.iter().map(|other| &other["own"]).find(|own| !own.is_null() && !status.ours);
    let (own_state, own_reason) = match own {
        Some(own) => (own["state"].clone(), own["reason"].clone()),
        None => (json!(status.state), json!(status.reason)),
    };
    let worst = ConnectorState::BY_SEVERITY
        .into_iter()
        .find_map(|state| tasks.iter().find(|task| task["state"] == json!(state)));
    let state = worst.map_or(own_state, |task| task["state"].clone());
    let reason = Some(own_reason).filter(|reason| !reason.is_null() && !is_elsewhere(reason));
    let reason = reason.or_else(|| worst.and_then(|task| task.get("trace").cloned()));
    fields.insert("state".to_owned(), state);
    match reason {
        Some(reason) => drop(fields.insert("reason".to_owned(), reason)),
        None => drop(fields.remove("reason")),
    }
    fields.insert("tasks".to_owned(), tasks.into());
}
