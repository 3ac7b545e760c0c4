//! Answers that say why not, in Kafka Connect's shape; and bodies of requests, which are the first thing to go wrong.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::broker::BrokerError;
use crate::control::CommandError;
use crate::storage::StorageError;

/// An answer that says why not.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

/// How it is written.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// The status once more.
    #[schema(example = 404)]
    error_code: u16,
    /// Why not.
    #[schema(example = "Connector orders not found")]
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// What the server says where no handler was asked.
    pub(super) fn plain(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("Error");
        Self::new(status, format!("HTTP {} {reason}", status.as_u16()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error_code: self.status.as_u16(), message: self.message };
        (self.status, Json(body)).into_response()
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let status = match error {
            CommandError::UnknownConnector(_) | CommandError::UnknownTask { .. } => StatusCode::NOT_FOUND,
            CommandError::NotRunning { .. } => StatusCode::CONFLICT,
            CommandError::NotKept(error) => return error.into(),
            CommandError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        let status = match error {
            StorageError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<BrokerError> for ApiError {
    fn from(error: BrokerError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            Err(rejection) if rejection.status().is_client_error() && !is_syntax(&rejection) => {
                Err(ApiError::new(rejection.status(), rejection.body_text()))
            }
            Err(rejection) => Err(ApiError::bad_request(rejection.body_text())),
        }
    }
}

/// That a body is no JSON, or not the right one, is 400 in either case.
fn is_syntax(rejection: &JsonRejection) -> bool {
    matches!(rejection, JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_))
}

/// The parts of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        // What is no number is no task.
        read.map(|axum::extract::Path(read)| Self(read))
            .map_err(|_: PathRejection| ApiError::plain(StatusCode::NOT_FOUND))
    }
}

/// A flag of a query, as Kafka Connect reads it: `true` in either case is one, whatever else is not.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(from)?.eq_ignore_ascii_case("true"))
}

/// How many, in a query: at most what a signed number of 64 bits holds, as the document says.
pub(super) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = i64::deserialize(from)?;
    u64::try_from(number).map(Some).map_err(|_| D::Error::custom("must be a whole number from 0 on"))
}

/// The query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(read)| Self(read))
            .map_err(|rejection: QueryRejection| ApiError::bad_request(rejection.body_text()))
    }
}
