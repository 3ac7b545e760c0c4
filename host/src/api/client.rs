//! The other end: one request, one answer, by a host's socket or by the address of any worker.

mod connect;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;
use url::Url;

use crate::config::Secret;

/// How long an answer may take. A host under load answers in milliseconds; an upload is compiled first.
const WITHIN: Duration = Duration::from_secs(130);
/// The longest answer, in bytes: a status of some thousands of connectors.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why a host did not do what it was asked to.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No host runs there.
    #[error("no host runs with the data folder {}", .0.display())]
    NoHost(PathBuf),
    /// It is there and cannot be talked to.
    #[error("the host at {at} cannot be reached: {why}")]
    Unreachable {
        /// Its socket, or its address.
        at: String,
        /// Why.
        why: String,
    },
    /// It answered, and said why not.
    #[error("{message}")]
    Refused {
        /// The status.
        status: u16,
        /// Why.
        message: String,
    },
}

/// A host.
#[derive(Debug)]
pub enum Client {
    /// The one with this data folder.
    Local(PathBuf),
    /// The one at an address.
    Remote(Remote),
}

/// A host at an address.
#[derive(Debug)]
pub struct Remote {
    /// `http://host:port` or `https://host:port`.
    pub url: Url,
    /// What it is shown, if it wants to see something: a bearer token.
    pub token: Option<Secret>,
    /// A file of certificates that are trusted besides those of the system.
    pub ca: Option<PathBuf>,
}

/// A request.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: Method,
    /// The parts of the path, which may hold anything.
    pub path: &'a [&'a str],
    /// The query.
    pub query: Option<String>,
    /// The body and its content type.
    pub body: Option<(Bytes, &'static str)>,
}

impl<'a> Asked<'a> {
    /// Asks for something.
    #[must_use]
    pub fn get(path: &'a [&'a str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// Has something done.
    #[must_use]
    pub fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, query: None, body: None }
    }

    /// The same with a query.
    #[must_use]
    pub fn query(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    /// The same with a body of JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        Self { body: Some((body.to_string().into(), "application/json")), ..self }
    }
}

impl Client {
    /// The host with that data folder.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self::Local(data.to_owned())
    }

    /// Sends a request. An answer without a body is null.
    pub async fn ask(&self, asked: Asked<'_>) -> Result<Value, ClientError> {
        let exchanged = timeout(WITHIN, self.exchange(asked)).await;
        let (status, body) = exchanged.map_err(|_| self.unreachable(format!("no answer within {WITHIN:?}")))??;
        if status.is_success() {
            let read = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
            return read.map_err(|error| self.unreachable(error));
        }
        let told = serde_json::from_slice::<Value>(&body).ok();
        let message = told.as_ref().and_then(|told| told.get("message")).and_then(Value::as_str);
        let message = message.map_or_else(|| format!("the host answered {status}"), str::to_owned);
        Err(ClientError::Refused { status: status.as_u16(), message })
    }

    async fn exchange(&self, asked: Asked<'_>) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = self.connect().await?;
        let connected = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| self.unreachable(error))?;
        // What goes wrong with it shows in the answer.
        let connection = tokio::spawn(connection);
        let target = target(asked.path, asked.query.as_deref());
        let target = target.ok_or_else(|| self.unreachable("the request makes no address"))?;
        let mut request = Request::builder().method(asked.method).uri(target).header(HOST, self.authority());
        if let Self::Remote(Remote { token: Some(token), .. }) = self {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let (body, kind) = asked.body.unzip();
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|error| self.unreachable(error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| self.unreachable(error))?.to_bytes();
        connection.abort();
        Ok((status, body))
    }
}

/// The path and query of a request. Names may hold anything: they are escaped.
fn target(segments: &[&str], query: Option<&str>) -> Option<String> {
    let mut url = Url::parse("http://sandbar").ok()?;
    url.path_segments_mut().ok()?.extend(segments);
    url.set_query(query);
    Some(url[url::Position::BeforePath..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let path = target(&["connectors", "a/b c?d%", "restart"], Some("includeTasks=true"));
        assert_eq!(path.as_deref(), Some("/connectors/a%2Fb%20c%3Fd%25/restart?includeTasks=true"));
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_told_by_its_folder() {
        let data = tempfile::tempdir().unwrap();
        let error = Client::new(data.path()).ask(Asked::get(&["v1", "status"])).await.unwrap_err().to_string();
        assert_eq!(error, format!("no host runs with the data folder {}", data.path().display()));
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_told_by_its_address() {
        let url = Url::parse("http://127.0.0.1:1").unwrap();
        let client = Client::Remote(Remote { url, token: None, ca: None });
        let error = client.ask(Asked::get(&["v1", "status"])).await.unwrap_err().to_string();
        assert!(error.starts_with("the host at http://127.0.0.1:1/ cannot be reached: "), "{error}");
    }
}
