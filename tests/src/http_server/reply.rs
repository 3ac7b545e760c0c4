//! What a scripted server answers: a response, one that never ends, or none.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};

/// The body of a reply.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The server ends the connection without an answer.
#[derive(Debug)]
pub(super) struct HungUp;

impl std::error::Error for HungUp {}

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server hangs up")
    }
}

/// An answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Script,
}

#[derive(Clone, Debug)]
enum Script {
    Whole(Bytes),
    Endless(Bytes),
    Never,
    HangUp,
}

impl Reply {
    /// A status and nothing more.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Script::Whole(Bytes::new()) }
    }

    /// 200 and a body.
    #[must_use]
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::status(200).body(body)
    }

    /// 200 and a body of JSON.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self::ok(value.to_string()).header("content-type", "application/json")
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::status(status).header("location", to)
    }

    /// 200 and the chunk, again and again, for as long as the client reads.
    #[must_use]
    pub fn endless(chunk: impl Into<Bytes>) -> Self {
        Self { body: Script::Endless(chunk.into()), ..Self::status(200) }
    }

    /// No answer, for as long as the client waits.
    #[must_use]
    pub fn never() -> Self {
        Self { body: Script::Never, ..Self::status(200) }
    }

    /// No answer: the connection is closed.
    #[must_use]
    pub fn hang_up() -> Self {
        Self { body: Script::HangUp, ..Self::status(200) }
    }

    /// One header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Script::Whole(body.into());
        self
    }

    pub(super) async fn into_response(self) -> Result<Response<Body>, HungUp> {
        let body = match self.body {
            Script::Whole(bytes) => Full::new(bytes).boxed_unsync(),
            Script::Endless(chunk) => {
                StreamBody::new(stream::repeat_with(move || Ok(Frame::data(chunk.clone())))).boxed_unsync()
            }
            Script::Never => pending().await,
            Script::HangUp => return Err(HungUp),
        };
        let mut response = Response::new(body);
        // A status or a header that cannot be is a fault of the test, which sees that no answer comes.
        *response.status_mut() = StatusCode::from_u16(self.status).map_err(|_| HungUp)?;
        for (name, value) in self.headers {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| HungUp)?;
            response.headers_mut().append(name, value.parse().map_err(|_| HungUp)?);
        }
        Ok(response)
    }
}
