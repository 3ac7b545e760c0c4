//! Kafka Connect's REST interface: what its clients ask for, answered as it does. Where an answer differs, on purpose,
//! `tests/tests/rest/contract/differences.md` says how and why.

mod change;
mod connectors;
mod lifecycle;
mod loggers;
mod offsets;
mod plugins;
mod root;
pub(super) mod shapes;
mod tasks;
mod topics;
mod validate;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::ApiError;

/// All of it.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(root::root))
        .routes(routes!(root::health))
        .routes(routes!(connectors::list, connectors::create))
        .routes(routes!(connectors::get, connectors::delete))
        .routes(routes!(connectors::config, connectors::put, connectors::patch))
        .routes(routes!(connectors::status))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::status))
        .routes(routes!(tasks::restart))
        .routes(routes!(lifecycle::pause))
        .routes(routes!(lifecycle::resume))
        .routes(routes!(lifecycle::stop))
        .routes(routes!(lifecycle::restart))
        .routes(routes!(topics::get))
        .routes(routes!(topics::reset))
        .routes(routes!(offsets::get, offsets::alter, offsets::reset))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::config))
        .routes(routes!(validate::validate))
        .routes(routes!(loggers::list))
        .routes(routes!(loggers::get, loggers::set))
        .layer(middleware::from_fn(wants_json))
}

/// Who wants something else than JSON gets nothing.
async fn wants_json(request: Request, next: Next) -> Response {
    let wanted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wanted = wanted.collect::<Vec<_>>().join(",").to_ascii_lowercase();
    let will_do = |kind: &str| {
        matches!(kind.split(';').next().unwrap_or_default().trim(), "*/*" | "application/*" | "application/json")
    };
    if wanted.trim().is_empty() || wanted.split(',').any(will_do) {
        return next.run(request).await;
    }
    ApiError::plain(StatusCode::NOT_ACCEPTABLE).into_response()
}
