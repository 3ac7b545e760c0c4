//! What a task logged, and why it failed.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::api::app::App;
use crate::api::asking::Ask;
use crate::api::error::{ApiError, ErrorBody, Path, Query, count};
use crate::api::logs::LogLine;
use crate::control::TaskStatus;

/// How many lines are answered where nobody says.
const LINES: usize = 200;

/// How much.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Limit {
    /// The most lines, the newest.
    #[serde(default, deserialize_with = "count")]
    #[param(value_type = u64, required = false, default = 200)]
    limit: Option<u64>,
}

/// Lines.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LogLines {
    /// The oldest first.
    lines: Vec<LogLine>,
}

/// Why a task is in its state.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Trace {
    /// Its state.
    #[schema(example = "FAILED")]
    state: String,
    /// Why.
    trace: Option<String>,
    /// Where one of its plugins was when it trapped last, the innermost function first.
    backtrace: Option<String>,
}

impl Trace {
    /// That of a task of this worker.
    pub(in crate::api) fn of(task: &TaskStatus) -> Self {
        Self { state: task.state.to_string(), trace: task.trace.clone(), backtrace: task.progress.backtrace() }
    }
}

/// What a task and its plugins logged lately on the worker that runs it. Lines that the worker does not log are not kept either.
#[utoipa::path(get, path = "/v1/connectors/{connector}/tasks/{task}/logs", tag = "sandbar",
    params(("connector" = String, Path), ("task" = i32, Path), Limit), responses(
        (status = 200, body = LogLines),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "The worker that runs it does not answer"),
    ))]
pub(in crate::api) async fn logs(
    State(app): State<App>,
    Path((name, number)): Path<(String, i32)>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<Value>, ApiError> {
    let connector = app.known(&name)?;
    let unknown = || ApiError::not_found(format!("No status found for task {name}-{number}"));
    let task = u32::try_from(number).map_err(|_| unknown())?;
    let limit = limit.map_or(LINES, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let known = connector.tasks.iter().find(|known| known.id == task);
    if let Some(worker) = app.runs_elsewhere(&name, known) {
        return Ok(Json(app.ask(&worker, &Ask::Logs { connector: name, task, limit }).await?));
    }
    let lines = app.logs.of(&name, u64::from(task), limit);
    // One that is gone may have left lines.
    if lines.is_empty() && known.is_none() {
        return Err(unknown());
    }
    Ok(Json(json!(LogLines { lines })))
}

/// Why a task is in its state.
#[utoipa::path(get, path = "/v1/connectors/{connector}/tasks/{task}/trace", tag = "sandbar",
    params(("connector" = String, Path), ("task" = i32, Path)), responses(
        (status = 200, body = Trace),
        (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "The worker that runs it does not answer"),
    ))]
pub(in crate::api) async fn trace(
    State(app): State<App>,
    Path((name, number)): Path<(String, i32)>,
) -> Result<Json<Value>, ApiError> {
    let connector = app.known(&name)?;
    let task = connector.tasks.iter().find(|task| i64::from(task.id) == i64::from(number));
    let task = task.ok_or_else(|| ApiError::not_found(format!("No status found for task {name}-{number}")))?;
    match app.runs_elsewhere(&name, Some(task)) {
        Some(worker) => Ok(Json(app.ask(&worker, &Ask::Trace { task: task.id, connector: name }).await?)),
        None => Ok(Json(json!(Trace::of(task)))),
    }
}
