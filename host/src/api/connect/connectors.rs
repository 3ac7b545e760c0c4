//! Connectors: list, look at, create, change, delete.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::change;
use super::shapes::{Changed, Config, ConnectorInfo, ConnectorStateInfo, Given};
use crate::api::app::App;
use crate::api::error::{ApiError, Body, ErrorBody, Path};
use crate::config::InitialState;

/// A new connector.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CreateConnector {
    /// Its name.
    #[schema(example = "orders")]
    name: Option<String>,
    /// Its configuration.
    #[schema(required, value_type = BTreeMap<String, Given>)]
    config: Option<BTreeMap<String, Value>>,
    /// What it shall do at first: `RUNNING`, `PAUSED` or `STOPPED`.
    #[schema(example = "RUNNING")]
    initial_state: Option<String>,
}

/// A connector in a list, with what was asked for.
#[derive(Default, Serialize, ToSchema)]
pub(in crate::api) struct Expanded {
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<ConnectorInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ConnectorStateInfo>,
}

/// The connectors: their names, or with `expand` what is known of each.
#[utoipa::path(get, path = "/connectors", tag = "connect",
    params(("expand" = Option<Vec<String>>, Query, description = "`info`, `status`, or both, each as a parameter of its own; others are passed over")),
    responses((status = 200, description = "Names, or an object of them", body = Value)))]
pub(in crate::api) async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let expand: Vec<_> =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "expand").map(|(_, what)| what).collect();
    let status = app.status().borrow().clone();
    if expand.is_empty() {
        let names: Vec<_> = status.defined().map(|connector| &connector.name).collect();
        return Json(names).into_response();
    }
    let wanted = |what: &str| expand.iter().any(|asked| asked == what);
    let (info, state) = (wanted("info"), wanted("status"));
    let all: BTreeMap<_, _> = status
        .defined()
        .map(|connector| {
            let info = info.then(|| ConnectorInfo::of(connector, &status.world));
            let state = state.then(|| ConnectorStateInfo::of(connector, &app));
            (connector.name.clone(), Expanded { info, status: state })
        })
        .collect();
    Json(all).into_response()
}

/// Creates a connector.
#[utoipa::path(post, path = "/connectors", tag = "connect", request_body = CreateConnector, responses(
    (status = 201, body = ConnectorInfo, description = "It was created"),
    (status = 400, body = ErrorBody, description = "The configuration is wrong"),
    (status = 409, body = ErrorBody, description = "There is one of that name"),
    (status = 503, body = ErrorBody, description = "It could not be kept"),
))]
pub(in crate::api) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    Body(request): Body<CreateConnector>,
) -> Result<Response, ApiError> {
    let config = flat(request.config.ok_or_else(|| ApiError::bad_request("config: is required"))?)?;
    let name = request.name.or_else(|| config.get("name").cloned()).unwrap_or_default();
    let state = request.initial_state.map(|name| {
        let known = InitialState::from_name(&name);
        known.ok_or_else(|| {
            ApiError::bad_request(format!("initial_state: must be RUNNING, PAUSED or STOPPED, not {name}"))
        })
    });
    let info = change::create(&app, name.trim(), config, state.transpose()?).await?;
    let location = location(&app, &headers, &info.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(info)).into_response())
}

/// A connector: what it was told to be.
#[utoipa::path(get, path = "/connectors/{connector}", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = ConnectorInfo),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<ConnectorInfo>, ApiError> {
    let connector = app.known(&name)?;
    let world = app.status().borrow().world.clone();
    Ok(Json(ConnectorInfo::of(&connector, &world)))
}

/// Its configuration. Secrets that are written out in it are hidden; sent back they are what they were.
#[utoipa::path(get, path = "/connectors/{connector}/config", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = BTreeMap<String, String>),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn config(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Config>, ApiError> {
    let connector = app.known(&name)?;
    let world = app.status().borrow().world.clone();
    Ok(Json(connector.definition.shown(&*world)))
}

/// Creates a connector, or replaces its configuration.
#[utoipa::path(put, path = "/connectors/{connector}/config", tag = "connect",
    params(("connector" = String, Path)), request_body = BTreeMap<String, Given>, responses(
        (status = 200, body = ConnectorInfo, description = "It was changed"),
        (status = 201, body = ConnectorInfo, description = "It was created"),
        (status = 400, body = ErrorBody, description = "The configuration is wrong"),
        (status = 409, body = ErrorBody, description = "A file defines it"),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(config): Body<BTreeMap<String, Value>>,
) -> Result<Response, ApiError> {
    let (created, info) = change::put(&app, &name, flat(config)?).await?;
    if created {
        let location = location(&app, &headers, &info.name);
        return Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(info)).into_response());
    }
    Ok(Json(info).into_response())
}

/// Changes single keys of a configuration; null takes one out.
#[utoipa::path(patch, path = "/connectors/{connector}/config", tag = "connect",
    params(("connector" = String, Path)), request_body = BTreeMap<String, Changed>, responses(
        (status = 200, body = ConnectorInfo, description = "It was changed"),
        (status = 400, body = ErrorBody, description = "The configuration would be wrong"),
        (status = 404, body = ErrorBody, description = "There is no such connector"),
        (status = 409, body = ErrorBody, description = "A file defines it"),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    Body(changes): Body<BTreeMap<String, Value>>,
) -> Result<Json<ConnectorInfo>, ApiError> {
    let changes = changes.into_iter().map(|(key, value)| {
        let value = if value.is_null() { None } else { Some(text(&key, value)?) };
        Ok((key, value))
    });
    let changes = changes.collect::<Result<_, ApiError>>()?;
    Ok(Json(change::patch(&app, &name, changes).await?))
}

/// Deletes a connector. Its offsets stay.
#[utoipa::path(delete, path = "/connectors/{connector}", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ErrorBody, description = "There is no such connector"),
        (status = 409, body = ErrorBody, description = "A file defines it"),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    change::delete(&app, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A connector and its tasks: what they are at present.
#[utoipa::path(get, path = "/connectors/{connector}/status", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = ConnectorStateInfo),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn status(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<ConnectorStateInfo>, ApiError> {
    let found = app.connector(&name);
    let connector = found.ok_or_else(|| ApiError::not_found(format!("No status found for connector {name}")))?;
    Ok(Json(ConnectorStateInfo::of(&connector, &app)))
}

/// Values are text; numbers and flags are taken for what they look like.
pub(super) fn flat(config: BTreeMap<String, Value>) -> Result<Config, ApiError> {
    config.into_iter().map(|(key, value)| text(&key, value).map(|text| (key, text))).collect()
}

fn text(key: &str, value: Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Err(ApiError::bad_request(format!(
            "config: {key}: Null value can not be supplied as the configuration value."
        ))),
        Value::Array(_) | Value::Object(_) => {
            Err(ApiError::bad_request(format!("config: {key}: must be a string; write lists with commas")))
        }
        scalar => Ok(scalar.to_string()),
    }
}

/// Where a connector is found, as whoever asks knows this server.
fn location(app: &App, headers: &HeaderMap, name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
    match headers.get(header::HOST).and_then(|host| host.to_str().ok()) {
        Some(host) => format!("{}://{host}/connectors/{name}", if app.is_secure { "https" } else { "http" }),
        None => format!("/connectors/{name}"),
    }
}
