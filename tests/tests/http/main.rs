//! Requests of guests to a real server on loopback: what reaches it, what does not, and what the guest is told.

mod abi;
mod addresses;
mod bounds;
mod connections;
mod redirects;
mod secrets;
mod targets;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sandbar::http::{Ask, Client, Grant, Injection, Lookup, Network, Policy};
use sandbar::plugins::inspect;
use sandbar::sandbox::{CallError, Compiled, Engine, Grants, Identity, Instance, Ledger, Limits, LogQuota, OpenSpec};
use sandbar_abi::http::{self, Answer, Failure, FailureKind, Request, Response};
use sandbar_abi::manifest::Kind;
use sandbar_abi::message::Open;
use sandbar_abi::names;
use sandbar_abi::status::Returned;
use sandbar_tests::http_server::HttpServer;
use sandbar_tests::wat::{Guest, NAME, VERSION};

/// Where guests have their answers written, and how much fits there.
pub(crate) const OUT: u32 = 256 << 10;
pub(crate) const CAP: u32 = 128 << 10;
/// Pages of memory that hold that.
pub(crate) const PAGES: u32 = 6;

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().expect("an engine"))
}

/// What a guest is granted.
#[derive(Default)]
pub(crate) struct Reach {
    pub(crate) hosts: Vec<String>,
    pub(crate) addresses: Vec<&'static str>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) injections: Vec<Injection>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) lookup: Option<Arc<dyn Lookup>>,
}

impl Reach {
    /// The server, by its address.
    pub(crate) fn only(server: &HttpServer) -> Self {
        Self::hosts([server.origin()])
    }

    pub(crate) fn hosts<T: Into<String>>(hosts: impl IntoIterator<Item = T>) -> Self {
        Self { hosts: hosts.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    pub(crate) async fn client(self) -> Result<Arc<Client>> {
        let network = match self.lookup {
            Some(lookup) => Network::with_lookup(self.ca_file.as_deref(), lookup)?,
            None => Network::new(self.ca_file.as_deref())?,
        };
        let policy = Policy {
            grant: Grant {
                asked: vec![Ask::Any],
                hosts: self.hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>()?,
            },
            addresses: self.addresses.iter().map(|block| block.parse()).collect::<Result<_, _>>()?,
            timeout: self.timeout.unwrap_or(Duration::from_secs(30)),
            response_max_bytes: self.max_bytes.unwrap_or(64 << 10),
        };
        Ok(Arc::new(network.client(policy, self.injections).await?))
    }
}

pub(crate) fn request(method: &str, url: impl Into<String>) -> Request {
    Request { method: method.to_owned(), url: url.into(), headers: Vec::new(), timeout_ms: None }
}

pub(crate) fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A guest that asks for every host, and whose memory has room for answers.
pub(crate) fn asking() -> Guest {
    Guest::new().pages(PAGES).manifest("capabilities", serde_json::json!({"http": ["*"]}))
}

/// A guest that sends these bytes at each flush, and puts the answer into its state.
pub(crate) fn sending(message: &[u8]) -> Guest {
    let mut guest = asking();
    let Returned::Frame { ptr, len } = Returned::unpack(guest.data(message)) else { return guest };
    let body = format!(
        "(local i64)
        (local.set 0 (call $http_send (i32.const {ptr}) (i32.const {len}) (i32.const {OUT}) (i32.const {CAP})))
        (drop (call $state_put (i32.const 0) (i32.const 1) (i32.const {OUT}) (i32.wrap_i64 (local.get 0))))
        (i64.const 0)"
    );
    guest.with(names::FLUSH, &body)
}

/// Opens an instance with ten seconds for each call.
pub(crate) async fn open(guest: &Guest, client: Option<Arc<Client>>) -> Result<Instance, CallError> {
    open_within(Duration::from_secs(10), guest, client).await
}

/// Opens an instance with so much time for each call.
pub(crate) async fn open_within(
    call_timeout: Duration,
    guest: &Guest,
    client: Option<Arc<Client>>,
) -> Result<Instance, CallError> {
    let limits = Limits { call_timeout, ..Limits::default() };
    let wasm = guest.build().expect("a guest");
    inspect(&wasm).expect("a plugin");
    let compiled = Compiled::new(engine(), &wasm, None).expect("code");
    let (plugin, version, connector) = (NAME.to_owned(), VERSION.to_owned(), "orders".to_owned());
    let open = Open {
        config: serde_json::json!({}),
        kind: Kind::Sink,
        connector: connector.clone(),
        task: 0,
        tasks: 1,
        abi_minor: names::ABI_MINOR,
        features: Vec::new(),
    };
    let identity = Arc::new(Identity { plugin, version, connector, task: 0 });
    let ledger = Ledger::new("", limits.state_max_bytes);
    let grants = Grants { http: client, ..Grants::default() };
    let spec = OpenSpec { identity, open, limits, grants, log: LogQuota::new(Instant::now()), meter: Arc::default() };
    Instance::open(&compiled, &spec, ledger).await.map_err(|(error, _)| error)
}

/// What a guest put into its state at the last call: an answer, and its body.
pub(crate) fn answer(instance: &mut Instance) -> Result<(Answer, Vec<u8>)> {
    let (_, state) = instance.ledger().take_staged();
    let message = state.first().and_then(|change| change.value.clone()).context("no answer")?;
    let (head, body) = http::decode(&message)?;
    Ok((head, body.to_vec()))
}

/// Has an instance send its request.
pub(crate) async fn send(instance: &mut Instance) -> Result<(Answer, Vec<u8>)> {
    instance.flush().await?;
    answer(instance)
}

/// Has a fresh guest send a request.
pub(crate) async fn ask(client: &Arc<Client>, request: &Request, body: &[u8]) -> Result<(Answer, Vec<u8>)> {
    let guest = sending(&http::encode(request, body)?);
    send(&mut open(&guest, Some(Arc::clone(client))).await?).await
}

/// The same, and a response must come.
pub(crate) async fn response(client: &Arc<Client>, request: &Request, body: &[u8]) -> Result<(Response, String)> {
    match ask(client, request, body).await? {
        (Answer::Response(response), body) => Ok((response, String::from_utf8(body)?)),
        (Answer::Error(failure), _) => bail!("{failure:?}"),
    }
}

/// The same, and a failure of this kind must come. Returns its message.
pub(crate) async fn failure(client: &Arc<Client>, request: &Request, kind: FailureKind) -> Result<String> {
    match ask(client, request, &[]).await? {
        (Answer::Error(Failure { kind: found, message }), _) if found == kind => Ok(message),
        (other, _) => bail!("not {kind:?}, but {other:?}"),
    }
}
