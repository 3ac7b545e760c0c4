//! All routes in one place, and what answers where there is none.

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tracing::warn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::error::ApiError;
use super::{connect, health, metrics, openapi, page, v1};

/// All routes.
pub(super) fn router(app: App) -> Router {
    let (routes, document) = OpenApiRouter::with_openapi(openapi::document())
        .merge(connect::routes())
        .merge(v1::routes())
        .routes(routes!(health::ready))
        .routes(routes!(metrics::get))
        .split_for_parts();
    let inner = routes
        .merge(openapi::routes(document))
        .merge(page::routes())
        .fallback(async || ApiError::plain(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || ApiError::plain(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(app);
    // A path is looked up only after its last slash is gone: Kafka Connect's clients may write one.
    Router::new().fallback_service(tower::service_fn(move |request: Request| {
        let mut inner = inner.clone();
        async move {
            let answer: Result<Response, _> = tower::Service::call(&mut inner, without_last_slash(request)).await;
            answer
        }
    }))
}

fn without_last_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.len() > 1
        && let Some(shorter) = path.strip_suffix('/')
    {
        let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
        // What was an address without its last slash is one.
        if let Ok(uri) = format!("{shorter}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Has this worker's loggers say what the worker group agreed on.
pub(super) async fn follow_loggers(app: App) {
    let mut status = app.status();
    loop {
        let world = status.borrow_and_update().world.clone();
        let agreed = world.configs.loggers().map(|(name, level)| (name.clone(), level.clone())).collect();
        let wrong = app.loggers.follow(agreed);
        if let Some(first) = wrong.first() {
            warn!(loggers = wrong.len(), "the worker group agreed on what cannot be set here, first {first}");
        }
        if status.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
