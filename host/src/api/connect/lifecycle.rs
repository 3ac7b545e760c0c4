//! Pause, resume, stop and restart connectors.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::shapes::{ConnectorStateInfo, State as Shown};
use crate::api::app::App;
use crate::api::error::{ApiError, ErrorBody, Path, Query, flag};
use crate::control::{Command, CommandError};
use crate::storage::Restart;

/// What of a connector begins anew.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct RestartQuery {
    /// Whether its tasks do, too: `true` in either case; whatever else is not.
    #[serde(default, rename = "includeTasks", deserialize_with = "flag")]
    #[param(rename = "includeTasks", value_type = String, required = false, example = "true")]
    include_tasks: bool,
    /// Whether what runs is left alone: `true` in either case; whatever else is not.
    #[serde(default, rename = "onlyFailed", deserialize_with = "flag")]
    #[param(rename = "onlyFailed", value_type = String, required = false, example = "true")]
    only_failed: bool,
}

/// Pauses a connector: it finishes what it has taken up, and waits until it is resumed.
#[utoipa::path(put, path = "/connectors/{connector}/pause", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 202, description = "It will be"),
        (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    app.handle.tell(&name, Command::Pause).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Resumes a connector.
#[utoipa::path(put, path = "/connectors/{connector}/resume", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 202, description = "It will be"),
        (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn resume(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    app.handle.tell(&name, Command::Resume).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Stops a connector: it finishes what it has taken up, and has no tasks until it is resumed.
#[utoipa::path(put, path = "/connectors/{connector}/stop", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 204, description = "It will be"),
        (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn stop(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    app.handle.tell(&name, Command::Stop).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives the order.
pub(super) async fn tell_restart(app: &App, name: &str, what: Restart) -> Result<(), ApiError> {
    app.handle.tell(name, Command::Restart(what)).await.map_err(|error| match error {
        // Kafka Connect words it otherwise than of a pause.
        CommandError::UnknownConnector(name) => ApiError::not_found(format!("Unknown connector: {name}")),
        error => error.into(),
    })
}

/// Restarts a connector, and its tasks if asked to: they finish what they have taken up, and begin anew there.
#[utoipa::path(post, path = "/connectors/{connector}/restart", tag = "connect",
    params(("connector" = String, Path), RestartQuery), responses(
        (status = 202, body = ConnectorStateInfo, description = "What was chosen begins anew"),
        (status = 204, description = "The connector begins anew, its tasks go on"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "It does not run"),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn restart(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(query): Query<RestartQuery>,
) -> Result<Response, ApiError> {
    let RestartQuery { include_tasks, only_failed } = query;
    let before = app.connector(&name).map(|before| ConnectorStateInfo::of(&before, &app));
    let failed = before.as_ref().is_some_and(|before| before.connector.state == Shown::Failed);
    let what = if include_tasks { Restart::Tasks { only_failed } } else { Restart::Connector { only_failed } };
    tell_restart(&app, &name, what).await?;
    if !include_tasks && !only_failed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut plan = before.ok_or_else(|| ApiError::not_found(format!("Connector {name} not found")))?;
    if !only_failed || failed {
        plan.connector.state = Shown::Restarting;
    }
    for task in plan.tasks.iter_mut().filter(|task| include_tasks && (!only_failed || task.state == Shown::Failed)) {
        task.state = Shown::Restarting;
    }
    Ok((StatusCode::ACCEPTED, Json(plan)).into_response())
}
