//! What web pages may do to this host by way of the browser of somebody who may reach it. A page can send requests
//! anywhere, with the credentials the browser has kept, and can have a name of its own lead to this machine. It cannot
//! choose the headers `Host`, `Origin` and `Sec-Fetch-*`: by them it is known.

use std::net::IpAddr;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::error::Fault;
use super::refused::{Refused, text};
use super::role::may_change;
use crate::config::keys;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// What a page of an allowed origin may use.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// The headers such a page may set itself.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// How long a browser may remember that, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// The name that leads to this machine whoever is asked.
const LOCALHOST: &str = "localhost";

/// Which pages and names are this host's own, or as good as that.
#[derive(Debug)]
pub(super) struct Sites {
    origins: Vec<HeaderValue>,
    hosts: Vec<String>,
    /// Whether a name that is not known is refused: where nothing but reaching it is needed to be let in.
    strict: bool,
}

impl Sites {
    /// The origins that may send requests, and the names this host is known by. The error says which cannot be meant.
    pub(super) fn new(origins: &[String], hosts: &[String], strict: bool) -> Result<Self, Vec<Fault>> {
        let wrong_origins = origins.iter().filter(|origin| !is_origin(origin)).map(|origin| match origin.as_str() {
            "*" => "\"*\" would let every page in a browser that can reach this host say what runs: \
                    name the origins"
                .to_owned(),
            other => format!("{other:?} is no origin, as \"https://example.com\" is"),
        });
        let wrong_hosts = hosts
            .iter()
            .filter(|host| !is_host(host))
            .map(|host| format!("{host:?} is no name of a host, as \"sandbar.example.com\" is, without a port"));
        let wrong_origins = wrong_origins.map(|message| Fault::new(keys::ACCESS_CONTROL_ALLOW_ORIGIN.name, message));
        let wrong_hosts = wrong_hosts.map(|message| Fault::new(keys::REST_HOSTS.name, message));
        let wrong: Vec<_> = wrong_origins.chain(wrong_hosts).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(&origin.to_ascii_lowercase()).ok());
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase());
        Ok(Self { origins: origins.collect(), hosts: hosts.collect(), strict })
    }

    /// Refuses what another site sends. `local` is the address it came to.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap, local: IpAddr) -> Result<(), Refused> {
        if self.strict && !self.is_own_name(uri, headers, local) {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "the header Host does not name this host: use its address, or add the name to rest.hosts",
            ));
        }
        if is_foreign(method, headers) && self.allowed(headers).is_none() {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "a page of another site may not send this: add its origin to access.control.allow.origin",
            ));
        }
        Ok(())
    }

    /// The answer to a browser that asks whether a page of an allowed origin may send what it wants to.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        self.allowed(headers)?;
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let allow = [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        Some((StatusCode::NO_CONTENT, allow).into_response())
    }

    /// The origin that sent a request, if it may.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.origins.iter().find(|allowed| *allowed == origin).cloned()
    }

    /// Lets a page of an allowed origin read the answer. Where no origin is allowed there are no such headers at all.
    pub(super) fn mark(&self, allowed: Option<HeaderValue>, answer: &mut HeaderMap) {
        if !self.origins.is_empty() {
            answer.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = allowed {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }

    /// Whether the name that was asked for is this host's. An address cannot be turned elsewhere, as a name can.
    fn is_own_name(&self, uri: &Uri, headers: &HeaderMap, local: IpAddr) -> bool {
        let mut named = headers.get_all(HOST).iter();
        let (Some(name), None) = (named.next(), named.next()) else { return false };
        let Ok(name) = Authority::try_from(name.as_bytes()) else { return false };
        let own = |name: &Authority| {
            // Before an @ could be a name that is taken for the host.
            let host = name.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
            let known = match host.parse::<IpAddr>() {
                Ok(address) if local.to_canonical().is_loopback() => address.to_canonical().is_loopback(),
                Ok(_) => true,
                Err(_) => host == LOCALHOST,
            };
            !name.as_str().contains('@') && (known || self.hosts.contains(&host))
        };
        own(&name) && uri.authority().is_none_or(own)
    }
}

/// Whether a page of another origin sends this. A link that is followed is no such page; nothing is done by following.
fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    match text(headers, SEC_FETCH_SITE) {
        Some("same-origin" | "none") => false,
        // `same-site` is the neighbour on another port, who is somebody else on a loopback address.
        Some(_) => may_change(method) || !is_followed_link(headers),
        // A browser that is old, or is asked by way of HTTP for a name; or no browser, and then there is no origin.
        None => headers.contains_key(ORIGIN) && may_change(method) && !is_own_origin(headers),
    }
}

fn is_followed_link(headers: &HeaderMap) -> bool {
    text(headers, SEC_FETCH_MODE) == Some("navigate") && text(headers, SEC_FETCH_DEST) == Some("document")
}

fn is_own_origin(headers: &HeaderMap) -> bool {
    let origin = text(headers, ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.zip(text(headers, HOST)).is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host))
}

/// Whether a text is an origin as browsers send it: a scheme, a host, perhaps a port.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.contains(['@', '/', '*']) && rest.parse::<Authority>().is_ok())
}

fn is_host(text: &str) -> bool {
    let authority = text.parse::<Authority>();
    authority.is_ok_and(|authority| authority.host() == text && !text.contains(['@', '*', '[']))
}
