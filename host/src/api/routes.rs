//! What can be asked and told: the status as JSON, and commands for connectors and tasks.

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::control::{Command, CommandError, Handle, Status};

/// All routes.
pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/connectors/{connector}/pause", post(pause))
        .route("/v1/connectors/{connector}/resume", post(resume))
        .route("/v1/connectors/{connector}/stop", post(stop))
        .route("/v1/connectors/{connector}/restart", post(restart))
        .route("/v1/connectors/{connector}/tasks/{task}/restart", post(restart_task))
        .fallback(async || Refused(StatusCode::NOT_FOUND, "there is no such resource".to_owned()))
        .method_not_allowed_fallback(async || Refused(StatusCode::METHOD_NOT_ALLOWED, "not this method".to_owned()))
        .with_state(handle)
}

/// An answer in Kafka Connect's shape that says why not.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"error_code": self.0.as_u16(), "message": self.1});
        (self.0, Json(body)).into_response()
    }
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        let code = match error {
            CommandError::UnknownConnector(_) | CommandError::UnknownTask { .. } => StatusCode::NOT_FOUND,
            CommandError::NotRunning { .. } | CommandError::Elsewhere { .. } => StatusCode::CONFLICT,
            CommandError::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
            CommandError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(code, error.to_string())
    }
}

type Done = Result<StatusCode, Refused>;

async fn status(State(handle): State<Handle>) -> Json<Status> {
    Json(handle.status().borrow().clone())
}

async fn pause(State(handle): State<Handle>, Path(connector): Path<String>) -> Done {
    tell(&handle, &connector, Command::Pause).await
}

async fn resume(State(handle): State<Handle>, Path(connector): Path<String>) -> Done {
    tell(&handle, &connector, Command::Resume).await
}

async fn stop(State(handle): State<Handle>, Path(connector): Path<String>) -> Done {
    tell(&handle, &connector, Command::Stop).await
}

#[derive(Deserialize)]
struct Restart {
    #[serde(default)]
    only_failed: bool,
}

async fn restart(State(handle): State<Handle>, Path(connector): Path<String>, Query(how): Query<Restart>) -> Done {
    tell(&handle, &connector, Command::Restart { only_failed: how.only_failed }).await
}

async fn restart_task(State(handle): State<Handle>, Path((connector, task)): Path<(String, u32)>) -> Done {
    tell(&handle, &connector, Command::RestartTask(task)).await
}

async fn tell(handle: &Handle, connector: &str, command: Command) -> Done {
    handle.tell(connector, command).await?;
    Ok(StatusCode::NO_CONTENT)
}
