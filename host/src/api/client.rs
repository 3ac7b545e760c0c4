//! The other end of the control socket: one request, one answer.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;
use url::Url;

use super::path;

/// How long an answer may take. A host under load answers in milliseconds.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: a status of some thousands of connectors.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why a host did not do what it was asked to.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No host runs there.
    #[error("no host runs with the data folder {}", .0.display())]
    NoHost(PathBuf),
    /// It is there and cannot be talked to.
    #[error("the host at {} cannot be reached: {why}", socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        why: String,
    },
    /// It answered, and said why not.
    #[error("{0}")]
    Refused(String),
}

/// A host, by its data folder.
#[derive(Debug)]
pub struct Client {
    data: PathBuf,
}

impl Client {
    /// The host with that data folder.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// What runs.
    pub async fn status(&self) -> Result<Value, ClientError> {
        let body = self.send(Method::GET, &["v1", "status"], None).await?;
        serde_json::from_slice(&body).map_err(|error| self.unreachable(error))
    }

    /// Has something done about a connector: the last parts of the path, and perhaps a query.
    pub async fn tell(
        &self,
        method: Method,
        connector: &str,
        what: &[&str],
        query: Option<&str>,
    ) -> Result<(), ClientError> {
        let segments = [&["connectors", connector], what].concat();
        self.send(method, &segments, query).await.map(drop)
    }

    async fn send(&self, method: Method, segments: &[&str], query: Option<&str>) -> Result<Bytes, ClientError> {
        let (status, body) = timeout(WITHIN, self.exchange(method, segments, query))
            .await
            .map_err(|_| self.unreachable(format!("no answer within {WITHIN:?}")))??;
        if status.is_success() {
            return Ok(body);
        }
        let told = serde_json::from_slice::<Value>(&body).ok();
        let message = told.as_ref().and_then(|told| told.get("message")).and_then(Value::as_str);
        Err(ClientError::Refused(message.map_or_else(|| format!("the host answered {status}"), str::to_owned)))
    }

    async fn exchange(
        &self,
        method: Method,
        segments: &[&str],
        query: Option<&str>,
    ) -> Result<(hyper::StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(path(&self.data)).await.map_err(|error| self.not_there(&error))?;
        let connected = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| self.unreachable(error))?;
        // What goes wrong with it shows in the answer.
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target(segments, query).ok_or_else(|| self.unreachable("the request makes no address"))?)
            .header(hyper::header::HOST, "sandbar")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.unreachable(error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| self.unreachable(error))?.to_bytes();
        connection.abort();
        Ok((status, body))
    }

    fn not_there(&self, error: &io::Error) -> ClientError {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => ClientError::NoHost(self.data.clone()),
            _ => self.unreachable(error),
        }
    }

    fn unreachable(&self, why: impl ToString) -> ClientError {
        ClientError::Unreachable { socket: path(&self.data), why: why.to_string() }
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
        let path = target(&["connectors", "a/b c?d%", "restart"], Some("only_failed=true"));
        assert_eq!(path.as_deref(), Some("/connectors/a%2Fb%20c%3Fd%25/restart?only_failed=true"));
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_told_by_its_folder() {
        let data = tempfile::tempdir().unwrap();
        let error = Client::new(data.path()).status().await.unwrap_err().to_string();
        assert_eq!(error, format!("no host runs with the data folder {}", data.path().display()));
    }
}
