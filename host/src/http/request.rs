//! What a guest asks for, checked: after this there is a method, a URL, headers that may be sent, and a body.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use sandbar_abi::http::{self, Failure, FailureKind};
use sandbar_abi::names::{MAX_HTTP_HEAD_BYTES, MAX_HTTP_HEADERS, MAX_HTTP_REQUEST_BYTES};
use url::Url;

use super::inject::check_header;

/// Methods that are for the host alone: tunnels, and echoes of headers that the guest must not see.
const RESERVED: &[&str] = &["CONNECT", "TRACE", "TRACK"];

/// A request as it goes out, but for what the host adds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Reads a request, and how long it may take if it says so.
pub(super) fn read(message: &[u8]) -> Result<(Outgoing, Option<Duration>), Failure> {
    if message.len() > MAX_HTTP_REQUEST_BYTES {
        let len = message.len();
        return Err(invalid(format!("a request of {len} bytes is longer than the limit of {MAX_HTTP_REQUEST_BYTES}")));
    }
    let head = message.first_chunk().map_or(0, |prefix| u32::from_le_bytes(*prefix) as usize);
    if head > MAX_HTTP_HEAD_BYTES && head < message.len() {
        return Err(invalid(format!("a head of {head} bytes is longer than the limit of {MAX_HTTP_HEAD_BYTES}")));
    }
    let (head, body): (http::Request, _) = http::decode(message).map_err(|error| invalid(error.to_string()))?;
    let method = method(&head.method)?;
    let url = url(&head.url)?;
    let headers = headers(&head.headers)?;
    let body = Bytes::copy_from_slice(body);
    Ok((Outgoing { method, url, headers, body }, head.timeout_ms.map(Duration::from_millis)))
}

pub(super) fn invalid(message: String) -> Failure {
    Failure { kind: FailureKind::Invalid, message }
}

fn method(text: &str) -> Result<Method, Failure> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| invalid(format!("{text:?} is not a method")))?;
    if RESERVED.iter().any(|reserved| text.eq_ignore_ascii_case(reserved)) {
        return Err(invalid(format!("the method {method} is not offered")));
    }
    Ok(method)
}

fn url(text: &str) -> Result<Url, Failure> {
    let mut url = Url::parse(text).map_err(|error| invalid(format!("url: {error}: it must be absolute")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("url: the scheme {} is neither http nor https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("url: there must be no user in it: use the header authorization".to_owned()));
    }
    url.set_fragment(None);
    Ok(url)
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, Failure> {
    if given.len() > MAX_HTTP_HEADERS {
        return Err(invalid(format!("{} headers are more than the limit of {MAX_HTTP_HEADERS}", given.len())));
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let name = check_header(name).map_err(invalid)?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| invalid(format!("the value of the header {name} has control characters")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read_json(head: &Value) -> Result<(Outgoing, Option<Duration>), Failure> {
        read(&http::encode(head, b"body").unwrap())
    }

    #[track_caller]
    fn refused(head: &Value, why: &str) {
        let Failure { kind, message } = read_json(head).unwrap_err();
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains(why), "{message}");
    }

    #[test]
    fn a_request_is_read() {
        let head = json!({"method": "PUT", "url": "HTTPS://Example.com:443/%20?q=\u{e9}#part",
            "headers": [["Accept", "a"], ["accept", "b"]], "timeout_ms": 7});
        let (request, timeout) = read_json(&head).unwrap();
        assert_eq!((request.method.as_str(), request.url.as_str()), ("PUT", "https://example.com/%20?q=%C3%A9"));
        assert_eq!(request.headers.get_all("accept").iter().count(), 2);
        assert_eq!((&request.body[..], timeout), (&b"body"[..], Some(Duration::from_millis(7))));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        refused(&json!({"url": "/relative"}), "must be absolute");
        refused(&json!({"url": "https://"}), "url: ");
        refused(&json!({"url": "file:///etc/passwd"}), "scheme file");
        refused(&json!({"url": "https://a:b@example.com"}), "no user");
        refused(&json!({"url": "https://a.com", "method": "G T"}), "not a method");
        refused(&json!({"url": "https://a.com", "method": "connect"}), "not offered");
        refused(&json!({"url": "https://a.com", "method": "TRACE"}), "not offered");
        refused(&json!({"url": "https://a.com", "headers": [["Host", "b.com"]]}), "set by the host");
        refused(&json!({"url": "https://a.com", "headers": [["a", "x\r\nHost: b.com"]]}), "control characters");
        refused(&json!({"url": "https://a.com", "headers": [["a\r\nb", "x"]]}), "not the name of a header");
        refused(&json!({"url": "https://a.com", "headers": vec![["a", "b"]; 101]}), "more than the limit of 100");
        refused(&json!({"url": "https://a.com", "body": "x"}), "unknown field");
        refused(&json!([]), "head: ");
        let message = vec![0; MAX_HTTP_REQUEST_BYTES + 1];
        assert!(read(&message).unwrap_err().message.contains("longer than the limit"));
        let head = json!({"url": "https://a.com", "headers": vec![["", ""]; 40_000]});
        let long = read(&http::encode(&head, b"").unwrap()).unwrap_err();
        assert!(long.message.contains("longer than the limit of 262144"), "{long:?}");
        assert!(read(b"\xff\xff\xff\xff{}").unwrap_err().message.contains("shorter than its head"));
    }
}
