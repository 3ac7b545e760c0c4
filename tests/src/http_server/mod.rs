//! A real HTTP/1.1 server on loopback that a test scripts: a closure answers, and what was asked is kept.

mod authority;
mod reply;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::wait;

pub use authority::Authority;
pub use reply::Reply;

/// A server that answers until it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request's number on this server, from 0.
    pub number: usize,
    /// The connection's number on this server, from 0.
    pub connection: usize,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Asked {
    /// The first header by that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How many connections there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Taken in all.
    pub opened: usize,
    /// Of these, those that have ended.
    pub closed: usize,
}

struct Shared {
    handler: Box<dyn Fn(&Asked) -> Reply + Send + Sync>,
    asked: Mutex<Vec<Asked>>,
    count: watch::Sender<usize>,
    connections: watch::Sender<Connections>,
}

impl HttpServer {
    /// Starts a server without encryption.
    pub async fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        Self::start_with(None, handler).await
    }

    /// Starts a server that shows a certificate of this authority for these names and addresses.
    pub async fn start_tls(
        authority: &Authority,
        names: &[&str],
        handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_with(Some(authority.acceptor(names)?), handler).await
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            asked: Mutex::default(),
            count: watch::channel(0).0,
            connections: watch::channel(Connections::default()).0,
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, scheme, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Scheme, address and port, as a URL begins and as a grant is written.
    #[must_use]
    pub fn origin(&self) -> String {
        self.origin_as("127.0.0.1")
    }

    /// The same under another name of this machine.
    #[must_use]
    pub fn origin_as(&self, host: &str) -> String {
        format!("{}://{host}:{}", self.scheme, self.port())
    }

    /// A URL; the path begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.origin() + path
    }

    /// Everything that was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections there were so far.
    #[must_use]
    pub fn connections(&self) -> Connections {
        *self.shared.connections.borrow()
    }

    /// Waits until so many requests have come, and returns them.
    pub async fn wait_asked(&self, count: usize) -> Result<Vec<Asked>> {
        let mut counts = self.shared.count.subscribe();
        let come = tokio::time::timeout(wait::WITHIN, counts.wait_for(|seen| *seen >= count)).await;
        come.with_context(|| format!("{count} requests; there were {}", self.asked().len()))??;
        Ok(self.asked())
    }

    /// Waits until so many connections have ended.
    pub async fn wait_closed(&self, count: usize) -> Result<()> {
        let mut connections = self.shared.connections.subscribe();
        let closed = tokio::time::timeout(wait::WITHIN, connections.wait_for(|seen| seen.closed >= count)).await;
        closed.with_context(|| format!("{count} connections that ended; there were {:?}", self.connections()))??;
        Ok(())
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    // An error of accepting is one of a client that is gone already; without descriptors the test fails by its limit.
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { continue };
        shared.connections.send_modify(|seen| seen.opened += 1);
        // A small answer would else wait for the client to acknowledge the one before; a test with many would crawl.
        let _ = stream.set_nodelay(true);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            let _closed = Closed(Arc::clone(&shared));
            serve(stream, tls, number, shared).await;
        });
    }
}

/// Counts a connection as closed, however it ends.
struct Closed(Arc<Shared>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.connections.send_modify(|seen| seen.closed += 1);
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, number: usize, shared: Arc<Shared>) {
    // What ends a connection, the client's going away above all, is told to the test by its having ended.
    match tls {
        None => drop(connection(stream, number, shared).await),
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                drop(connection(stream, number, shared).await);
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    number: usize,
    shared: Arc<Shared>,
) -> Result<(), hyper::Error> {
    let service = service_fn(|request| answer(request, number, Arc::clone(&shared)));
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}

async fn answer(
    request: hyper::Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
) -> Result<hyper::Response<reply::Body>, reply::HungUp> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| reply::HungUp)?.to_bytes();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let asked = {
        let mut all = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked {
            number: all.len(),
            connection,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            body,
        };
        all.push(asked.clone());
        asked
    };
    shared.count.send_replace(asked.number + 1);
    (shared.handler)(&asked).into_response().await
}
