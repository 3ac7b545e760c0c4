//! The OpenAPI document: made of the handlers themselves, so that it cannot speak of others.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

use super::app::App;

mod door;
mod names;

/// Where it is served.
const PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sandbar",
        description = "Kafka connectors as WebAssembly. The calls outside of `/v1` are Kafka Connect's.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "connect", description = "Kafka Connect's own calls"),
        (name = "sandbar", description = "What Kafka Connect has no call for"),
        (name = "operations", description = "For probes and monitoring"),
    ),
)]
struct Head;

/// The document before the handlers have been added.
pub(super) fn document() -> Document {
    Head::openapi()
}

/// Serves it, with what is the same for all handlers.
pub(super) fn routes(mut document: Document) -> Router<App> {
    door::add(&mut document);
    names::add(&mut document);
    // What it is made of can be written.
    let text = Bytes::from(document.to_json().unwrap_or_default());
    Router::new().route(PATH, get(async move || ([(header::CONTENT_TYPE, "application/json")], text)))
}
