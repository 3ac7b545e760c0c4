//! Answers that say why not, all in Kafka Connect's shape: `{"error_code": 403, "message": "..."}`.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The most of a plain text that becomes a message, in bytes; what axum says of a request it cannot read is shorter.
const MAX_TEXT_BYTES: usize = 8 << 10;
/// What can be shown instead of credentials. A browser asks for a password when it reads the second.
const CHALLENGES: [HeaderValue; 2] = [
    HeaderValue::from_static("Bearer realm=\"sandbar\""),
    HeaderValue::from_static("Basic realm=\"sandbar\", charset=\"UTF-8\""),
];
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Why a request is not answered as was hoped.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, and what would be right. It holds nothing that was sent.
    pub message: Cow<'static, str>,
    then: Then,
}

/// What the client may do then.
#[derive(Clone, Copy, Debug)]
enum Then {
    GoOn,
    ShowCredentials,
    Wait(Duration),
}

impl Refused {
    /// An answer with this status and message.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), then: Then::GoOn }
    }

    /// 401: the credentials are missing or wrong. The connection is closed: it is not worth a place.
    pub(super) fn unknown(message: &'static str) -> Self {
        Self { then: Then::ShowCredentials, ..Self::new(StatusCode::UNAUTHORIZED, message) }
    }

    /// 429 or 503: later, perhaps. The connection is closed.
    pub(super) fn later(status: StatusCode, message: &'static str, wait: Duration) -> Self {
        Self { then: Then::Wait(wait), ..Self::new(status, message) }
    }

    /// The answer's body.
    pub(super) fn body(&self) -> String {
        json!({"error_code": self.status.as_u16(), "message": self.message}).to_string()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(CONTENT_TYPE, JSON)], self.body()).into_response();
        let headers = response.headers_mut();
        match self.then {
            Then::GoOn => return response,
            Then::ShowCredentials => {
                for challenge in CHALLENGES {
                    headers.append(WWW_AUTHENTICATE, challenge);
                }
            }
            Then::Wait(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(RETRY_AFTER, seconds.max(1).into());
            }
        }
        headers.insert(CONNECTION, CLOSE);
        response
    }
}

/// The answer, in the shape if it says why not and is plain text or nothing: what the framework says by itself is.
pub(super) async fn in_shape(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || !is_plain(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_TEXT_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let message = match text.trim() {
        // As Kafka Connect says it.
        "" => format!("HTTP {} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error")),
        text => text.to_owned(),
    };
    let body = Refused::new(status, message).body();
    parts.headers.insert(CONTENT_TYPE, JSON);
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Response::from_parts(parts, Body::from(body))
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// A header's value, if there is one and it is text.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shaped(response: impl IntoResponse) -> (Option<String>, String) {
        let response = in_shape(response.into_response()).await;
        let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_says_why_not_has_the_shape() {
        let json = Some("application/json".to_owned());
        let (kind, body) = shaped((StatusCode::BAD_REQUEST, "not \"json\"\n")).await;
        assert_eq!((kind, body.as_str()), (json.clone(), r#"{"error_code":400,"message":"not \"json\""}"#));
        let (kind, body) = shaped(StatusCode::NOT_FOUND).await;
        assert_eq!((kind, body.as_str()), (json.clone(), r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#));
        let (kind, body) = shaped(Refused::new(StatusCode::CONFLICT, "no")).await;
        assert_eq!((kind, body.as_str()), (json, r#"{"error_code":409,"message":"no"}"#));
        let (_, body) = shaped((StatusCode::BAD_REQUEST, "x".repeat(MAX_TEXT_BYTES + 1))).await;
        assert_eq!(body, r#"{"error_code":400,"message":"HTTP 400 Bad Request"}"#);
    }

    #[tokio::test]
    async fn what_is_fine_or_a_page_stays_as_it_is() {
        assert_eq!(shaped("fine").await.1, "fine");
        let page = (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/html")], "<p>gone</p>");
        assert_eq!(shaped(page).await.1, "<p>gone</p>");
    }

    #[test]
    fn seconds_to_wait_are_whole_and_never_none() {
        for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let refused = Refused::later(StatusCode::TOO_MANY_REQUESTS, "", Duration::from_millis(millis));
            assert_eq!(refused.into_response().headers()[RETRY_AFTER], expected);
        }
    }
}
