//! Whether the host is well, and whether it is ready: what probes ask.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::error::{ApiError, ErrorBody};
use crate::control::Status;

/// How the host is.
pub(super) enum Health {
    /// It takes requests, and runs what it was told to.
    Healthy,
    /// It has not seen everything yet.
    Starting(String),
    /// It cannot do what it is there for.
    Unhealthy(String),
}

/// Looks at what the host says of itself. What single connectors do is not the host's health.
pub(super) fn judge(status: &Status) -> Health {
    if let Some(why) = &status.storage {
        return Health::Unhealthy(format!("what operators want of connectors cannot be read: {why}"));
    }
    if let Some(why) = status.worker.as_ref().and_then(|worker| worker.reason.as_ref()) {
        return Health::Unhealthy(format!("the worker is in no worker group: {why}"));
    }
    if !status.ready {
        return Health::Starting("Worker is still starting up.".to_owned());
    }
    if !status.joined {
        return Health::Starting("Worker is waiting for the plugins of its worker group.".to_owned());
    }
    Health::Healthy
}

/// Whether it is worth while to send requests here.
#[utoipa::path(get, path = "/ready", tag = "operations", responses(
    (status = 200, description = "Everything in the folder that can start was started, once", body = String),
    (status = 503, description = "Not yet, or not any more", body = ErrorBody),
))]
pub(super) async fn ready(State(app): State<App>) -> Response {
    match judge(&app.status().borrow()) {
        Health::Healthy => (StatusCode::OK, "ready\n").into_response(),
        Health::Starting(why) | Health::Unhealthy(why) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}
