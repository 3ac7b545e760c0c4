//! The page at `/ui`: files that are part of the program.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::app::App;
use super::error::ApiError;

/// Name, content type, content.
type Asset = (&'static str, &'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Serves the page.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/ui", get(async || asset("index.html")))
        .route("/ui/{file}", get(async |Path(file): Path<String>| asset(&file)))
        .route("/favicon.ico", get(async || Redirect::permanent("/ui/icon.svg")))
}

fn asset(name: &str) -> Response {
    let Some((_, kind, content)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        return ApiError::plain(StatusCode::NOT_FOUND).into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, *content).into_response()
}
