//! A hostile page in the operator's browser, request by request.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue, Method, Uri};

use super::site::Sites;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NETWORK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

fn sites(strict: bool) -> Sites {
    let origins = ["https://console.example.com".to_owned()];
    Sites::new(&origins, &["Sandbar.Example.com".to_owned()], strict).unwrap()
}

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = axum::http::HeaderName::try_from(name).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn passes(sites: &Sites, local: IpAddr, request: &str, lines: &[&str]) -> bool {
    let (method, uri) = request.split_once(' ').unwrap();
    let (method, uri): (Method, Uri) = (method.parse().unwrap(), uri.parse().unwrap());
    sites.check(&method, &uri, &headers(lines), local).is_ok()
}

#[track_caller]
fn host(local: IpAddr, name: &str, expected: bool) {
    let host = format!("host: {name}");
    assert_eq!(passes(&sites(true), local, "GET /v1/status", &[&host]), expected, "{name}");
}

#[test]
fn a_name_that_leads_to_a_loopback_address_does_not_make_a_page_its_own() {
    for own in ["127.0.0.1:8083", "127.9.9.9", "[::1]:8083", "localhost", "LOCALHOST:1", "sandbar.example.com:8083"] {
        host(LOOPBACK, own, true);
    }
    for other in [
        "evil.example",
        "evil.example:8083",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0:8083",
        "10.1.2.3:8083",
        "[::]:8083",
        "localhost.",
        "localhost@evil.example",
        "evil.example@localhost",
        "",
        "a b",
    ] {
        host(LOOPBACK, other, false);
    }
}

#[test]
fn on_another_address_any_address_will_do_and_still_no_name() {
    for own in ["10.1.2.3:8083", "192.168.0.1", "[2001:db8::1]:80", "localhost:8083", "sandbar.example.com"] {
        host(NETWORK, own, true);
    }
    for other in ["evil.example:8083", "sandbar"] {
        host(NETWORK, other, false);
    }
}

#[test]
fn there_is_one_name_and_the_address_in_the_request_is_one_too() {
    let pass = |request: &str, lines: &[&str]| passes(&sites(true), LOOPBACK, request, lines);
    assert!(!pass("GET /", &[]));
    assert!(!pass("GET /", &["host: localhost", "host: evil.example"]));
    assert!(!pass("GET http://evil.example/", &["host: localhost"]));
    assert!(pass("GET http://localhost/", &["host: localhost"]));
}

#[test]
fn who_has_credentials_may_use_any_name() {
    assert!(passes(&sites(false), LOOPBACK, "GET /v1/status", &["host: anything.example"]));
}

#[track_caller]
fn sent(request: &str, lines: &[&str], expected: bool) {
    let lines = [&["host: localhost:8083"], lines].concat();
    for strict in [true, false] {
        assert_eq!(passes(&sites(strict), LOOPBACK, request, &lines), expected, "{request} {lines:?}");
    }
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    for request in
        ["POST /connectors", "PUT /connectors/a/pause", "DELETE /connectors/a", "PATCH /connectors/a/offsets"]
    {
        // No browser, or none that says anything.
        sent(request, &[], true);
        // The host's own page, and one behind a proxy that changes the host.
        sent(request, &["origin: http://localhost:8083", "sec-fetch-site: same-origin"], true);
        sent(request, &["origin: https://sandbar.example.org", "sec-fetch-site: same-origin"], true);
        sent(request, &["origin: http://localhost:8083"], true);
        // Other sites, and other ports of this machine.
        sent(request, &["origin: https://evil.example", "sec-fetch-site: cross-site"], false);
        sent(request, &["origin: http://localhost:3000", "sec-fetch-site: same-site"], false);
        sent(request, &["sec-fetch-site: cross-site"], false);
        sent(request, &["sec-fetch-site: something-new"], false);
        // A form that is sent is a navigation; a sandboxed frame has no origin.
        let form = ["sec-fetch-mode: navigate", "sec-fetch-dest: document"];
        sent(request, &[&["origin: null", "sec-fetch-site: cross-site"], &form[..]].concat(), false);
        // Browsers that say less.
        for origin in ["https://evil.example", "http://localhost:3000", "http://localhost", "null", "localhost:8083"] {
            sent(request, &[&format!("origin: {origin}")], false);
        }
        // One that was named.
        sent(request, &["origin: https://console.example.com", "sec-fetch-site: cross-site"], true);
        sent(request, &["origin: https://console.example.com"], true);
        sent(request, &["origin: http://console.example.com"], false);
    }
}

#[test]
fn links_may_be_followed_and_nothing_is_embedded() {
    let from = |mode: &str, dest: &str| {
        let lines = [format!("sec-fetch-mode: {mode}"), format!("sec-fetch-dest: {dest}")];
        let lines = ["host: localhost:8083", "sec-fetch-site: cross-site", &lines[0], &lines[1]];
        passes(&sites(true), LOOPBACK, "GET /ui", &lines)
    };
    assert!(from("navigate", "document"));
    for (mode, dest) in
        [("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe"), ("navigate", "object")]
    {
        assert!(!from(mode, dest), "{mode} {dest}");
    }
}

#[test]
fn a_preflight_is_answered_to_allowed_origins_only() {
    let asks = |origin: &str| {
        let headers = headers(&[&format!("origin: {origin}"), "access-control-request-method: PUT"]);
        sites(true).preflight(&Method::OPTIONS, &headers).is_some()
    };
    assert!(asks("https://console.example.com"));
    assert!(!asks("https://evil.example"));
    let none = Sites::new(&[], &[], true).unwrap();
    let mut answer = HeaderMap::new();
    let from = headers(&["origin: https://console.example.com"]);
    none.mark(none.allowed(&from), &mut answer);
    assert!(answer.is_empty());
}

#[test]
fn what_cannot_be_meant_is_told() {
    for origin in ["*", "null", "example.com", "https://example.com/", "https://a@example.com", "ftp://example.com", ""]
    {
        assert!(Sites::new(&[origin.to_owned()], &[], true).is_err(), "{origin}");
    }
    for host in ["*", "example.com:80", "a@b", "a/b", "", "[::1]"] {
        assert!(Sites::new(&[], &[host.to_owned()], true).is_err(), "{host}");
    }
    let wrong = Sites::new(&["*".to_owned(), "x".to_owned()], &["a:1".to_owned()], true).unwrap_err();
    assert_eq!(wrong.len(), 3, "all at once: {wrong:?}");
}
