//! Which server this is, and whether it is well.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::app::App;
use crate::api::health::{Health, judge};

/// Which server this is.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ServerInfo {
    /// Sandbar's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit it was built from, where that is known.
    commit: &'static str,
    /// Which cluster it works with; null: it has not answered yet.
    kafka_cluster_id: Option<String>,
}

/// Whether it is well.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct HealthInfo {
    /// `healthy`, `starting` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// Why.
    message: String,
}

/// Which server this is.
#[utoipa::path(get, path = "/", tag = "connect", responses((status = 200, body = ServerInfo)))]
pub(in crate::api) async fn root(State(app): State<App>) -> Json<ServerInfo> {
    Json(ServerInfo {
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("SANDBAR_COMMIT").unwrap_or("unknown"),
        kafka_cluster_id: app.cluster_id().await,
    })
}

/// Whether it is well: whether it can be asked to do something.
#[utoipa::path(get, path = "/health", tag = "connect", responses(
    (status = 200, body = HealthInfo, description = "It is healthy"),
    (status = 500, body = HealthInfo, description = "It is unhealthy"),
    (status = 503, body = HealthInfo, description = "It is starting"),
))]
pub(in crate::api) async fn health(State(app): State<App>) -> Response {
    let (code, status, message) = match judge(&app.status().borrow()) {
        Health::Healthy => {
            let message = "Worker has completed startup and is ready to handle requests.".to_owned();
            (StatusCode::OK, "healthy", message)
        }
        Health::Starting(why) => (StatusCode::SERVICE_UNAVAILABLE, "starting", why),
        Health::Unhealthy(why) => (StatusCode::INTERNAL_SERVER_ERROR, "unhealthy", why),
    };
    (code, Json(HealthInfo { status, message })).into_response()
}
