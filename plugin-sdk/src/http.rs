//! Requests to other systems, sent by the host: it connects only to what the connector's definition grants.
//!
//! ```no_run
//! # fn send() -> sandbar_plugin::Result<()> {
//! use sandbar_plugin::http::Request;
//!
//! let response = Request::post("https://example.com/hook").json(&"hello")?.send()?;
//! if !response.is_success() {
//!     return Err(sandbar_plugin::Error::fatal(format!("the hook answered {}", response.status)));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The manifest asks for hosts in `capabilities.http`. A request that was sent cannot be taken back: a call that fails
//! after it, or that the host makes again, sends it again.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::time::{Duration, SystemTime};

pub use sandbar_abi::http::FailureKind as ErrorKind;
use sandbar_abi::http::{self as message, Answer};
pub use sandbar_abi::names::{MAX_HTTP_HEADERS as MAX_HEADERS, MAX_HTTP_REQUEST_BYTES as MAX_REQUEST_BYTES};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys;

/// How much of a body is told in messages.
const EXCERPT_BYTES: usize = 512;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Where to: absolute, with the scheme `http` or `https`.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long it may take in all; never longer than the host's own limit.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A request with any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new(), timeout: None }
    }

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with a value as JSON for its body, and the header that says so.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let body = serde_json::to_vec(value).map_err(|error| Error::new(ErrorKind::Invalid, error))?;
        Ok(self.header("Content-Type", "application/json").body(body))
    }

    /// The same with a bound on how long it may take in all.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the answer. Any status is an answer; an error means that there is none.
    pub fn send(&self) -> Result<Response, Error> {
        let head = message::Request {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            timeout_ms: self.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        };
        let request = message::encode(&head, &self.body).map_err(|error| Error::new(ErrorKind::Invalid, error))?;
        let answer =
            sys::http_send(&request).ok_or_else(|| Error::new(ErrorKind::Protocol, "the host gave no answer"))?;
        match message::decode(&answer) {
            Ok((Answer::Response(message::Response { status, method, url, headers }), body)) => {
                Ok(Response { status, method, url, headers, body: body.to_vec() })
            }
            Ok((Answer::Error(failure), _)) => Err(Error::new(failure.kind, failure.message)),
            Err(error) => Err(Error::new(ErrorKind::Protocol, format!("the host's answer: {error}"))),
        }
    }
}

/// What a server answered, whatever the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// How it was asked in the end: a redirect may have made a `GET` of a `POST`, and left its body out.
    pub method: String,
    /// What was asked in the end, after redirects.
    pub url: String,
    /// Names in lower case and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The values of a header, in order.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the status is 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body, read as JSON. The error names the place.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }

    /// The beginning of the body on one line, for messages.
    #[must_use]
    pub fn excerpt(&self) -> String {
        let text = self.text();
        let text = text.trim();
        let start = &text[..text.floor_char_boundary(EXCERPT_BYTES)];
        let more = if start.len() < text.len() { "..." } else { "" };
        start.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>() + more
    }

    /// How long the server asks to wait before the next try: `Retry-After`, in seconds or as a date.
    #[must_use]
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    }
}

/// Why there is no answer.
///
/// It is no [`std::error::Error`], so that `?` makes of it what it is: a retryable [`crate::Error`] where the same
/// request may succeed later, a fatal one where it will not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error.
    pub fn new(kind: ErrorKind, message: impl Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// The same, with what was being done before its message.
    #[must_use]
    pub fn during(self, what: impl Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        if error.kind.may_pass() { Self::retryable(error) } else { Self::fatal(error) }
    }
}

/// Appends bytes so that they stand for themselves anywhere in a path or a query (RFC 3986, unreserved characters).
pub fn percent_encode(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)].into());
            out.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use sandbar_abi::ErrorClass;

    use super::*;

    fn answer(headers: &[(&str, &str)]) -> Response {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Response { status: 429, headers, ..Response::default() }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        // 1994-11-06, 08:49:37
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
        ] {
            assert_eq!(answer(&[("retry-after", value)]).retry_after(now), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(answer(&[]).retry_after(now), None);
    }

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        let excerpt = |body: &str| Response { body: body.into(), ..Response::default() }.excerpt();
        assert_eq!(excerpt(" not\r\nso\u{1b}[1m "), "not  so [1m");
        assert_eq!(excerpt(&"é".repeat(300)), "é".repeat(256) + "...");
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let answer = answer(&[("link", "a"), ("x", "1"), ("link", "b")]);
        assert_eq!(answer.header("X"), Some("1"));
        assert_eq!(answer.header_values("Link").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_error_is_retryable_where_it_may_pass() {
        let class = |kind| crate::Error::from(Error::new(kind, "m")).class();
        for kind in [ErrorKind::Resolve, ErrorKind::Connect, ErrorKind::Timeout, ErrorKind::Protocol] {
            assert_eq!(class(kind), ErrorClass::Retryable, "{kind:?}");
        }
        for kind in [ErrorKind::Invalid, ErrorKind::Denied, ErrorKind::Tls, ErrorKind::TooLarge] {
            assert_eq!(class(kind), ErrorClass::Fatal, "{kind:?}");
        }
    }

    #[test]
    fn everything_but_plain_characters_is_percent_encoded() {
        let mut out = String::new();
        percent_encode(&mut out, "aZ09-._~/?#&= %+\u{e9}\0".as_bytes());
        assert_eq!(out, "aZ09-._~%2F%3F%23%26%3D%20%25%2B%C3%A9%00");
    }
}
