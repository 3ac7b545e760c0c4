//! A served door, and a client that may send anything.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use sandbar::config::Secret;
use sandbar::door::{Caller, Credential, Door, DoorOptions, ListenOptions, Proof, Role};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything may take that is waited for.
pub const LIMIT: Duration = Duration::from_secs(60);
/// A time-out that is to run out.
pub const SHORT: Duration = Duration::from_millis(200);

/// Waits, not for ever.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move { timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("nothing came of {caller}")) }
}

/// A host that is served until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    /// Lets requests to `/v1/slow` go on, one each.
    pub go_on: Arc<Notify>,
    /// Told when such a request has come.
    pub has_come: Arc<Notify>,
    pub served: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Server {
    pub async fn start(mut options: DoorOptions) -> Self {
        crate::log::keep();
        options.listen.address = "127.0.0.1:0".to_owned();
        let door = Door::new(options).unwrap();
        let (go_on, has_come) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let routes = door.guard(routes(&go_on, &has_come));
        let listening = door.listen().await.unwrap();
        let address = listening.address();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            door.serve(listening, routes, async { drop(stopped.await) }).await;
        });
        Self { address, go_on, has_come, served, stop: Some(stop) }
    }

    /// Has it stop.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub async fn client(&self) -> Client<TcpStream> {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client on another address of this machine.
    pub async fn client_from(&self, address: &str) -> io::Result<Client<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(address.parse().map_err(io::Error::other)?, 0))?;
        Ok(Client(socket.connect(self.address).await?))
    }

    /// The answer to one request on a connection of its own.
    pub async fn ask(&self, request: &str, lines: &[&str]) -> Answer {
        self.client().await.ask(request, lines).await
    }
}

pub fn routes(go_on: &Arc<Notify>, has_come: &Arc<Notify>) -> Router {
    let (go_on, has_come) = (Arc::clone(go_on), Arc::clone(has_come));
    let slow = async move || {
        has_come.notify_one();
        go_on.notified().await;
        "fine"
    };
    Router::new()
        .route("/v1/slow", get(slow.clone()).post(slow))
        .route("/v1/panic", any(async || -> () { panic!("on purpose") }))
        .route("/v1/never", any(async || std::future::pending::<()>().await))
        .route("/v1/json", post(async |Json(body): Json<Value>| Json(body)))
        .route("/connectors", post(async |body: Bytes| Json(json!(body.len()))).get(who))
        .route("/v1/plugins", post(async |body: Bytes| Json(json!(body.len()))))
        .fallback(who)
}

async fn who(Extension(caller): Extension<Caller>, headers: HeaderMap) -> Json<Value> {
    assert!(!headers.contains_key("authorization"), "a handler has no use for it");
    Json(json!({"name": &*caller.name, "role": caller.role.word(), "peer": caller.peer.to_string()}))
}

/// One connection.
pub struct Client<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn ask(&mut self, request: &str, lines: &[&str]) -> Answer {
        self.send(request, lines, b"").await;
        self.read(!request.starts_with("HEAD")).await.unwrap()
    }

    /// Sends a request, whose headers are `lines`; `host: localhost` unless they have one.
    pub async fn send(&mut self, request: &str, lines: &[&str], body: &[u8]) {
        let mut head = format!("{request} HTTP/1.1\r\n");
        if !lines.iter().any(|line| line.starts_with("host:")) {
            head += "host: localhost\r\n";
        }
        lines.iter().for_each(|line| head += &format!("{line}\r\n"));
        let bytes = [format!("{head}\r\n").as_bytes(), body].concat();
        within(self.0.write_all(&bytes)).await.unwrap();
    }

    /// The next answer, or why there is none. It has no body where none is announced.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        self.read(true).await
    }

    async fn read(&mut self, with_body: bool) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            within(self.0.read_exact(&mut byte)).await?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let mut answer = Answer { head: head.to_ascii_lowercase(), body: String::new() };
        let length = answer.header("content-length").filter(|_| with_body).map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        within(self.0.read_exact(&mut body)).await?;
        answer.body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(answer)
    }

    /// Waits until the other end has closed the connection, or broken it.
    pub async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest.is_empty()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Holds that it says why not, in the shape, and returns the message.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["error_code"], status, "{self:?}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{self:?}");
        body["message"].as_str().unwrap().to_owned()
    }
}

pub fn token_of(role: Role) -> String {
    format!("token-that-is-for-{role}")
}

/// `Authorization` with the token of a role.
pub fn bearer(role: Role) -> String {
    format!("authorization: Bearer {}", token_of(role))
}

/// A token for each role, and nothing else that is not the default.
pub fn with_credentials() -> DoorOptions {
    let credential =
        |role: Role| Credential { name: format!("the-{role}"), role, proof: Proof::Token(Secret::new(token_of(role))) };
    DoorOptions {
        listen: ListenOptions::default(),
        credentials: [Role::Read, Role::Operate, Role::Admin].map(credential).into(),
        ..DoorOptions::default()
    }
}
