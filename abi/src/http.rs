//! What passes through `http_send`: a head as JSON and a body as bytes, so that a plugin in any language can write one.
//!
//! A message is a little-endian `u32`, that many bytes of JSON, and the body: all that is left.

use alloc::string::String;
use alloc::vec::Vec;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method; `GET` where it is left out.
    #[serde(default = "get")]
    pub method: String,
    /// Where to: absolute, with the scheme `http` or `https`.
    pub url: String,
    /// Names and values, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// How long it may take in all, in milliseconds; the host's own limit is never exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The server answered. The body follows.
    Response(Response),
    /// It did not, or was not asked. No body follows.
    Error(Failure),
}

/// What a server answered, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// How it was asked in the end: a redirect may have made a `GET` of a `POST`, and left its body out.
    pub method: String,
    /// What was asked in the end, after redirects.
    pub url: String,
    /// Names in lower case and values, in order. A byte of a value that is not UTF-8 is replaced.
    pub headers: Vec<(String, String)>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// The same for people. It names the host that was asked, and no secret.
    pub message: String,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request is not one: an address, a method or a header that cannot be sent.
    Invalid,
    /// The host, its address or a redirect is outside what was granted.
    Denied,
    /// The host's name has no address.
    Resolve,
    /// No connection came about.
    Connect,
    /// The server's certificate was not accepted.
    Tls,
    /// It took too long.
    Timeout,
    /// The answer is longer than allowed.
    TooLarge,
    /// The connection broke, or what came back was no HTTP.
    Protocol,
}

impl FailureKind {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Resolve | Self::Connect | Self::Timeout | Self::Protocol)
    }
}

/// A message that is none.
#[derive(Debug, Error)]
pub enum HttpMessageError {
    /// It ends before its head does.
    #[error("a message of {len} bytes is shorter than its head of {head}")]
    Short {
        /// How long it is.
        len: usize,
        /// How long it says the head is, with the length itself.
        head: u64,
    },
    /// The head is not the JSON that is expected.
    #[error("head: {0}")]
    Head(#[from] serde_json::Error),
    /// The head is too long to say how long it is.
    #[error("a head of {0} bytes does not fit 32 bits")]
    Long(usize),
}

/// Writes a message.
pub fn encode(head: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, HttpMessageError> {
    let head = serde_json::to_vec(head)?;
    let len = u32::try_from(head.len()).map_err(|_| HttpMessageError::Long(head.len()))?;
    let mut message = Vec::with_capacity(PREFIX + head.len() + body.len());
    message.extend(len.to_le_bytes());
    message.extend(head);
    message.extend(body);
    Ok(message)
}

/// Reads a message: its head and its body.
pub fn decode<H: DeserializeOwned>(message: &[u8]) -> Result<(H, &[u8]), HttpMessageError> {
    let short = |head| HttpMessageError::Short { len: message.len(), head };
    let (prefix, rest) = message.split_first_chunk::<PREFIX>().ok_or(short(PREFIX as u64))?;
    let len = u32::from_le_bytes(*prefix);
    let (head, body) = rest.split_at_checked(len as usize).ok_or(short(PREFIX as u64 + u64::from(len)))?;
    Ok((serde_json::from_slice(head)?, body))
}

/// Bytes of the head's length.
const PREFIX: usize = 4;

fn get() -> String {
    String::from("GET")
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    #[test]
    fn messages_survive_the_way_out_and_back() {
        let request = Request {
            method: "POST".to_string(),
            url: "https://example.com/a".to_string(),
            headers: vec![("Accept".to_string(), "*/*".to_string())],
            timeout_ms: Some(5),
        };
        let message = encode(&request, b"\0body").unwrap();
        assert_eq!(decode::<Request>(&message).unwrap(), (request, &b"\0body"[..]));
        let answer = Answer::Error(Failure { kind: FailureKind::TooLarge, message: "m".to_string() });
        let message = encode(&answer, b"").unwrap();
        assert_eq!(&message[4..], br#"{"error":{"kind":"too_large","message":"m"}}"#);
        assert_eq!(decode::<Answer>(&message).unwrap().0, answer);
    }

    #[test]
    fn what_is_left_out_has_a_default_and_what_is_unknown_is_refused() {
        let (request, body) = decode::<Request>(b"\x0f\0\0\0{\"url\":\"http:\"}").unwrap();
        assert_eq!((request.method.as_str(), request.timeout_ms, body.len()), ("GET", None, 0));
        assert!(decode::<Request>(b"\x09\0\0\0{\"uri\":1}").is_err());
    }

    #[test]
    fn a_message_that_is_cut_off_is_refused() {
        for cut in [&b""[..], b"\x01\0\0", b"\x01\0\0\0", b"\xff\xff\xff\xff{}"] {
            assert!(matches!(decode::<Request>(cut), Err(HttpMessageError::Short { .. })), "{cut:?}");
        }
    }
}
