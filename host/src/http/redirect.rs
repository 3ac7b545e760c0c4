//! What to send after a redirect. Pure: what was sent and what came back in, the next request out.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use sandbar_abi::http::{Failure, FailureKind};

use super::request::Outgoing;

/// Headers that speak of a body: they go where it goes.
const OF_THE_BODY: &[&str] = &["content-type", "content-encoding", "content-language", "content-location", "digest"];

/// The request that a response asks for; nothing if it is an answer. Whether it may be made is not judged here.
pub(super) fn next(sent: &Outgoing, status: StatusCode, headers: &HeaderMap) -> Result<Option<Outgoing>, Failure> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(LOCATION) else { return Ok(None) };
    let host = sent.url.host_str().unwrap_or_default();
    let fault = |what: &str| Failure { kind: FailureKind::Protocol, message: format!("{host}: redirects to {what}") };
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| fault("what is not UTF-8"))?;
    let mut url = sent.url.join(location).map_err(|error| fault(&format!("what is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(fault(&format!("the scheme {}", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault("a URL with a user in it"));
    }
    url.set_fragment(None);
    let mut next = Outgoing { url, ..sent.clone() };
    if next.url.origin() != sent.url.origin() {
        next.headers.remove(AUTHORIZATION);
        next.headers.remove(COOKIE);
    }
    let becomes_get = match status.as_u16() {
        301 | 302 => sent.method == Method::POST,
        303 => sent.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = Bytes::new();
        for name in OF_THE_BODY {
            next.headers.remove(*name);
        }
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn sent(method: Method) -> Outgoing {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "content-type", "accept"] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        Outgoing { method, url: "https://a.com/b/c?d".parse().unwrap(), headers, body: Bytes::from_static(b"body") }
    }

    fn follow(method: Method, status: u16, location: &str) -> Result<Option<Outgoing>, Failure> {
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap())]);
        next(&sent(method), StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[track_caller]
    fn goes(method: Method, status: u16, location: &str, expected: (&str, &str, usize)) -> Outgoing {
        let next = follow(method, status, location).unwrap().unwrap();
        assert_eq!((next.method.as_str(), next.url.as_str(), next.body.len()), expected);
        next
    }

    #[test]
    fn methods_and_bodies_change_as_in_browsers() {
        for status in [301, 302, 303] {
            let next = goes(Method::POST, status, "/e", ("GET", "https://a.com/e", 0));
            assert_eq!(next.headers.get("content-type"), None);
        }
        for status in [301, 302] {
            goes(Method::PUT, status, "/e", ("PUT", "https://a.com/e", 4));
        }
        goes(Method::PUT, 303, "/e", ("GET", "https://a.com/e", 0));
        goes(Method::HEAD, 303, "/e", ("HEAD", "https://a.com/e", 4));
        for status in [307, 308] {
            let next = goes(Method::POST, status, "/e", ("POST", "https://a.com/e", 4));
            assert!(next.headers.contains_key("content-type"));
        }
    }

    #[test]
    fn locations_are_relative_to_what_was_asked() {
        goes(Method::GET, 302, "e", ("GET", "https://a.com/b/e", 4));
        goes(Method::GET, 302, "?e#f", ("GET", "https://a.com/b/c?e", 4));
        goes(Method::GET, 302, "//b.com/e", ("GET", "https://b.com/e", 4));
        goes(Method::GET, 302, "http://b.com", ("GET", "http://b.com/", 4));
        goes(Method::GET, 302, "", ("GET", "https://a.com/b/c?d", 4));
    }

    #[test]
    fn what_lets_the_guest_in_stays_with_the_origin() {
        let kept = |location: &str| {
            let headers = follow(Method::GET, 302, location).unwrap().unwrap().headers;
            (headers.contains_key("authorization"), headers.contains_key("cookie"), headers.contains_key("accept"))
        };
        assert_eq!(kept("https://a.com:443/x"), (true, true, true));
        for location in ["https://b.com", "http://a.com", "https://a.com:444", "https://www.a.com"] {
            assert_eq!(kept(location), (false, false, true), "{location}");
        }
    }

    #[test]
    fn what_is_no_redirect_is_an_answer() {
        for status in [200, 201, 300, 304, 305, 306, 404] {
            assert_eq!(follow(Method::GET, status, "/e").unwrap(), None, "{status}");
        }
        assert_eq!(next(&sent(Method::GET), StatusCode::FOUND, &HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_location_that_cannot_be_is_told() {
        for (location, why) in [
            ("http://", "no URL"),
            ("file:///etc/passwd", "the scheme file"),
            ("javascript:1", "the scheme javascript"),
            ("https://u:p@a.com", "a user in it"),
        ] {
            let failure = follow(Method::GET, 302, location).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Protocol);
            assert!(
                failure.message.starts_with("a.com: redirects to ") && failure.message.contains(why),
                "{failure:?}"
            );
        }
    }
}
