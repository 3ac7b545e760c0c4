//! Sends requests of one stage of a task: every hop is checked, and what comes back is bounded in size and time.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::header::{HeaderValue, USER_AGENT};
use rustls::ClientConfig;
use sandbar_abi::http::{self, Answer, Failure, FailureKind, Response};
use sandbar_abi::pattern::Target;
use tokio::sync::Mutex;

use super::grant::{self, Grant};
use super::inject::Injection;
use super::network::NetworkError;
use super::request::{self, Outgoing};
use super::resolver::{Lookup, Resolver};
use super::{failure, redirect};

/// Redirects that are followed; browsers follow 20, servers that mean well use two.
const MAX_REDIRECTS: usize = 5;
/// Connections to one server that wait for the next request. Requests come one after the other.
const MAX_IDLE: usize = 1;
/// How long they wait: shorter than most servers do, which would else end them just when the next request comes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Servers that connections are kept to. A guest that is granted all names below one could else keep any number of them.
const MAX_SERVERS: usize = 16;
/// The most bytes of headers in an answer over HTTP/2; over HTTP/1 hyper takes 100 headers in about 400 KiB.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// Who asks, unless the guest says so itself; some servers refuse who does not.
pub(super) const AGENT: &str = concat!("sandbar/", env!("CARGO_PKG_VERSION"));

/// What a client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where requests may go.
    pub grant: Grant,
    /// Addresses that are not public and that names may resolve to all the same.
    pub addresses: Vec<IpNet>,
    /// How long a request may take, redirects and the body of the answer included.
    pub timeout: Duration,
    /// The longest body of an answer, in bytes.
    pub response_max_bytes: usize,
}

/// See the module.
pub struct Client {
    policy: Policy,
    injections: Vec<Injection>,
    tls: ClientConfig,
    resolver: Arc<Resolver>,
    /// Held during a request: a client has one in flight.
    connections: Mutex<Connections>,
}

/// Connections, and the servers they lead to.
struct Connections {
    client: reqwest::Client,
    servers: HashSet<Target>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, injections, .. } = self;
        f.debug_struct("Client").field("policy", policy).field("injections", injections).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(
        tls: ClientConfig,
        lookup: Arc<dyn Lookup>,
        policy: Policy,
        injections: Vec<Injection>,
    ) -> Result<Self, NetworkError> {
        let resolver = Arc::new(Resolver::new(lookup, &policy.addresses));
        let client = build(&tls, &resolver, policy.timeout);
        let client = client.map_err(|error| NetworkError::Client(error.to_string()))?;
        let connections = Mutex::new(Connections { client, servers: HashSet::new() });
        Ok(Self { policy, injections, tls, resolver, connections })
    }

    /// The same with connections of its own.
    pub fn another(&self) -> Result<Self, NetworkError> {
        let Self { policy, injections, tls, resolver, .. } = self;
        Self::new(tls.clone(), resolver.lookup(), policy.clone(), injections.clone())
    }

    /// Answers a request, both as the ABI writes them, within `left`. Dropping the future ends the request.
    pub async fn answer(&self, message: &[u8], left: Duration) -> Vec<u8> {
        let (answer, body) = match self.send(message, left).await {
            Ok((response, body)) => (Answer::Response(response), body),
            Err(failure) => (Answer::Error(failure), Vec::new()),
        };
        // It fails for a head of 4 GiB, and heads are bounded.
        http::encode(&answer, &body).unwrap_or_default()
    }

    async fn send(&self, message: &[u8], left: Duration) -> Result<(Response, Vec<u8>), Failure> {
        let (request, wanted) = request::read(message)?;
        let limit = self.policy.timeout.min(left).min(wanted.unwrap_or(Duration::MAX));
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let answered = tokio::time::timeout(limit, self.follow(request)).await;
        answered.unwrap_or_else(|_| {
            let by = if limit == self.policy.timeout { "; sandbox.http.timeout.ms sets it" } else { "" };
            let message = format!("{host}: there was no whole answer within {} ms{by}", limit.as_millis());
            Err(Failure { kind: FailureKind::Timeout, message })
        })
    }

    /// Sends a request, and what redirects make of it.
    async fn follow(&self, mut request: Outgoing) -> Result<(Response, Vec<u8>), Failure> {
        let mut connections = self.connections.lock().await;
        let mut target = self.check(&request)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.hop(&mut connections, &request, &target).await?;
            let Some(next) = redirect::next(&request, response.status(), response.headers())? else {
                let head = head(&request, &response);
                return Ok((head, self.body(response, &target).await?));
            };
            let from = std::mem::replace(&mut request, next);
            target = self.check(&request).map_err(|Failure { kind, message }| {
                let host = from.url.host_str().unwrap_or_default();
                Failure { kind, message: format!("{host} redirects: {message}") }
            })?;
        }
        let message = format!("{target}: came after {MAX_REDIRECTS} redirects, and there are more");
        // A loop does not end by being asked again.
        Err(Failure { kind: FailureKind::Denied, message })
    }

    /// Where a request goes, if it may. An address in a URL is not resolved, so this is all that checks it: a grant names
    /// addresses one by one, and grants each that it names.
    fn check(&self, request: &Outgoing) -> Result<Target, Failure> {
        let target = grant::target(&request.url);
        let target = target.ok_or_else(|| request::invalid("url: there is no host in it".to_owned()))?;
        match self.policy.grant.check(&target) {
            Ok(()) => Ok(target),
            Err(message) => Err(Failure { kind: FailureKind::Denied, message }),
        }
    }

    async fn hop(
        &self,
        connections: &mut Connections,
        request: &Outgoing,
        target: &Target,
    ) -> Result<reqwest::Response, Failure> {
        let failed = |error| failure::of(&error, target);
        if !connections.servers.contains(target) {
            if connections.servers.len() >= MAX_SERVERS {
                // Without its client a connection that waits is closed.
                connections.client = build(&self.tls, &self.resolver, self.policy.timeout).map_err(failed)?;
                connections.servers.clear();
            }
            connections.servers.insert(target.clone());
        }
        let mut sent = reqwest::Request::new(request.method.clone(), request.url.clone());
        let mut headers = request.headers.clone();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        for injection in &self.injections {
            injection.apply(target, &mut headers);
        }
        *sent.headers_mut() = headers;
        if !request.body.is_empty() {
            *sent.body_mut() = Some(request.body.clone().into());
        }
        connections.client.execute(sent).await.map_err(failed)
    }

    async fn body(&self, mut response: reqwest::Response, target: &Target) -> Result<Vec<u8>, Failure> {
        let max = self.policy.response_max_bytes;
        let too_large = || {
            let message =
                format!("{target}: the answer is longer than {max} bytes; sandbox.http.response.max.bytes sets it");
            Failure { kind: FailureKind::TooLarge, message }
        };
        let declared = response.content_length().unwrap_or(0);
        if declared > max as u64 {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure::of(&error, target))? {
            if chunk.len() > max - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn build(tls: &ClientConfig, resolver: &Arc<Resolver>, timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .dns_resolver(Arc::clone(resolver))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(timeout)
        .pool_max_idle_per_host(MAX_IDLE)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .build()
}

fn head(request: &Outgoing, response: &reqwest::Response) -> Response {
    let value = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Response {
        status: response.status().as_u16(),
        method: request.method.to_string(),
        url: request.url.to_string(),
        headers: response.headers().iter().map(|(name, text)| (name.to_string(), value(text))).collect(),
    }
}
