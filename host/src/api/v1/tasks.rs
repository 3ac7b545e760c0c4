//! What a task logged, and why it failed.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::app::App;
use crate::api::error::{ApiError, ErrorBody, Path, Query};
use crate::api::logs::LogLine;

/// How many lines are answered where nobody says.
const LINES: usize = 200;

/// How much.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Limit {
    /// The most lines, the newest.
    #[param(default = 200)]
    limit: Option<u32>,
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

/// What a task and its plugins logged lately on this worker. Lines that the worker does not log are not kept either.
#[utoipa::path(get, path = "/v1/connectors/{connector}/tasks/{task}/logs", tag = "sandbar",
    params(("connector" = String, Path), ("task" = u32, Path), Limit), responses(
        (status = 200, body = LogLines),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn logs(
    State(app): State<App>,
    Path((name, task)): Path<(String, u32)>,
    Query(Limit { limit }): Query<Limit>,
) -> Result<Json<LogLines>, ApiError> {
    let connector = app.known(&name)?;
    let logged = app.logs.of(&name, u64::from(task), limit.map_or(LINES, |limit| limit as usize));
    // One that is gone may have left lines.
    if logged.is_empty() && !connector.tasks.iter().any(|known| known.id == task) {
        return Err(ApiError::not_found(format!("No status found for task {name}-{task}")));
    }
    Ok(Json(LogLines { lines: logged }))
}

/// Why a task is in its state.
#[utoipa::path(get, path = "/v1/connectors/{connector}/tasks/{task}/trace", tag = "sandbar",
    params(("connector" = String, Path), ("task" = u32, Path)), responses(
        (status = 200, body = Trace),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn trace(
    State(app): State<App>,
    Path((name, number)): Path<(String, u32)>,
) -> Result<Json<Trace>, ApiError> {
    let connector = app.known(&name)?;
    let task = connector.tasks.into_iter().find(|task| task.id == number);
    let task = task.ok_or_else(|| ApiError::not_found(format!("No status found for task {name}-{number}")))?;
    Ok(Json(Trace { state: task.state.to_string(), trace: task.trace, backtrace: task.progress.backtrace() }))
}
