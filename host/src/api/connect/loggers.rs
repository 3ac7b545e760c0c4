//! How much loggers say.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::api::app::App;
use crate::api::error::{ApiError, Body, ErrorBody, Path, Query};
use crate::api::loggers::{Level, known};
use crate::storage::Entry;

/// How much a logger says.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LoggerLevel {
    /// The least severe messages.
    #[schema(example = "INFO")]
    level: &'static str,
    /// When that was set, in milliseconds since 1970.
    last_modified: Option<i64>,
}

/// How much a logger shall say.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct NewLevel {
    /// `OFF`, `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    #[schema(required, value_type = String, example = "DEBUG")]
    level: Option<Value>,
}

/// Whose loggers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Scope {
    /// `cluster`: those of all workers; else this worker's.
    #[serde(default)]
    #[param(required = false)]
    scope: String,
}

impl From<Level> for LoggerLevel {
    fn from(Level { level, last_modified }: Level) -> Self {
        Self { level, last_modified }
    }
}

/// All loggers that are known.
#[utoipa::path(get, path = "/admin/loggers", tag = "connect",
    responses((status = 200, body = BTreeMap<String, LoggerLevel>)))]
pub(in crate::api) async fn list(State(app): State<App>) -> Json<BTreeMap<String, LoggerLevel>> {
    Json(app.loggers.all().into_iter().map(|(name, level)| (name, level.into())).collect())
}

/// A logger.
#[utoipa::path(get, path = "/admin/loggers/{logger}", tag = "connect",
    params(("logger" = String, Path)), responses(
        (status = 200, body = LoggerLevel),
        (status = 404, body = ErrorBody),
    ))]
pub(in crate::api) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<LoggerLevel>, ApiError> {
    let level = app.loggers.get(&name);
    let level = level.ok_or_else(|| ApiError::not_found(format!("Logger {name} not found.")))?;
    Ok(Json(level.into()))
}

/// Sets how much a logger says, and all that are part of it.
#[utoipa::path(put, path = "/admin/loggers/{logger}", tag = "connect",
    params(("logger" = String, Path), Scope), request_body = NewLevel, responses(
        (status = 200, body = Vec<String>, description = "The loggers that say something else now"),
        (status = 204, description = "All workers will"),
        (status = 400, body = ErrorBody, description = "There is no level in the request"),
        (status = 404, body = ErrorBody, description = "There is no such level"),
        (status = 503, body = ErrorBody, description = "It could not be kept"),
    ))]
pub(in crate::api) async fn set(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(Scope { scope }): Query<Scope>,
    Body(NewLevel { level }): Body<NewLevel>,
) -> Result<Response, ApiError> {
    let asked = match level {
        None | Some(Value::Null) => {
            return Err(ApiError::bad_request("Desired 'level' parameter was not specified in request."));
        }
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    let level = known(&asked).ok_or_else(|| ApiError::not_found(format!("invalid log level '{asked}'.")))?;
    let wrong = |why| ApiError::bad_request(format!("Logger {name}: {why}"));
    if scope.eq_ignore_ascii_case("cluster") {
        // No other worker could tell whoever asked.
        app.loggers.check(&name, level).map_err(wrong)?;
        let entry = Entry::Logger { name, level: level.to_owned() };
        app.handle.storage().change(|_| (vec![entry.clone()], ())).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let changed = app.loggers.set(&name, level).map_err(wrong)?;
    Ok(Json(changed).into_response())
}
