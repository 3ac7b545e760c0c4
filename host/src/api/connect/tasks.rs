//! Tasks: list, look at, restart.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::lifecycle::tell_restart;
use super::shapes::{TaskId, TaskInfo, TaskState};
use crate::api::app::App;
use crate::api::error::{ApiError, ErrorBody, Path};
use crate::storage::Restart;

/// A connector's tasks, each with what it runs with.
#[utoipa::path(get, path = "/connectors/{connector}/tasks", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = Vec<TaskInfo>),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn list(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Vec<TaskInfo>>, ApiError> {
    let connector = app.known(&name)?;
    let world = app.status().borrow().world.clone();
    let config = connector.definition.shown(&*world);
    let info = |task: u32| TaskInfo { id: TaskId { connector: name.clone(), task }, config: config.clone() };
    Ok(Json(connector.tasks.iter().map(|task| info(task.id)).collect()))
}

/// A task: what it is at present.
#[utoipa::path(get, path = "/connectors/{connector}/tasks/{task}/status", tag = "connect",
    params(("connector" = String, Path), ("task" = i32, Path)), responses(
        (status = 200, body = TaskState),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn status(
    State(app): State<App>,
    Path((name, number)): Path<(String, i32)>,
) -> Result<Json<TaskState>, ApiError> {
    let unknown = || ApiError::not_found(format!("No status found for task {name}-{number}"));
    let connector = app.connector(&name).ok_or_else(unknown)?;
    let task = connector.tasks.iter().find(|task| i64::from(task.id) == i64::from(number)).ok_or_else(unknown)?;
    Ok(Json(TaskState::of(task, &connector, &app)))
}

/// Restarts a task: it finishes what it has taken up, and begins anew there.
#[utoipa::path(post, path = "/connectors/{connector}/tasks/{task}/restart", tag = "connect",
    params(("connector" = String, Path), ("task" = i32, Path)), responses(
        (status = 204, description = "It begins anew"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Its connector does not run"),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn restart(
    State(app): State<App>,
    Path((name, number)): Path<(String, i32)>,
) -> Result<StatusCode, ApiError> {
    let Ok(task) = u32::try_from(number) else {
        app.known(&name)?;
        return Err(ApiError::not_found(format!("Unknown task: {name}-{number}")));
    };
    tell_restart(&app, &name, Restart::Task(task)).await?;
    Ok(StatusCode::NO_CONTENT)
}
