//! A client of the REST interface, as plain as can be: a request, and all of the answer.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::contract::within;

/// A server, by its address.
#[derive(Clone, Debug)]
pub struct Rest {
    address: String,
    headers: BTreeMap<&'static str, String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

impl Rest {
    /// The server at `host:port`, or at `http://host:port`.
    #[must_use]
    pub fn at(address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap_or(address).to_owned();
        Self { address, headers: BTreeMap::new() }
    }

    /// The same, with one more header on every request.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks for something.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request with a body of JSON, or none.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(|body| (body.to_string().into(), "application/json"));
        self.send_bytes(method, path, body).await
    }

    /// Sends a request with any body.
    pub async fn send_bytes(&self, method: Method, path: &str, body: Option<(Bytes, &str)>) -> Result<Answer> {
        within(&format!("{method} {path}"), self.exchange(method.clone(), path, body)).await
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<(Bytes, &str)>) -> Result<Answer> {
        let stream = TcpStream::connect(&self.address).await.with_context(|| self.address.clone())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some((_, kind)) = &body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        let request = request.body(Full::new(body.map(|(bytes, _)| bytes).unwrap_or_default()))?;
        let answer = sender.send_request(request).await?;
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
        let (status, headers) = (answer.status().as_u16(), headers.collect());
        let body = answer.into_body().collect().await?.to_bytes();
        connection.abort();
        Ok(Answer { status, headers, body })
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} {}", self.status, self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, where the status is this one.
    pub fn expect(&self, status: u16) -> Result<Value> {
        if self.status != status {
            bail!("{} where {status} was expected: {}", self.status, self.text());
        }
        if self.body.is_empty() { Ok(Value::Null) } else { self.json() }
    }

    /// The message of an error, where the status is this one.
    pub fn refusal(&self, status: u16) -> Result<String> {
        let body = self.expect(status)?;
        let message = body["message"].as_str().map(str::to_owned);
        message.filter(|_| body["error_code"] == status).with_context(|| format!("no error: {body}"))
    }
}
