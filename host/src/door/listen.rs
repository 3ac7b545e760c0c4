//! Listens, and lets connections in: as many as there is room for, encrypted if they are to be.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::caller::{Peer, Visit};
use super::error::DoorError;
use super::guard::{Door, Guarded, Inner};
use super::options::ListenOptions;
use super::refused::Refused;
use super::shares::Shares;
use super::tls::Tls;
use super::{check, connection};
use crate::digest::Digest;

/// The first byte of a TLS connection: a record of the handshake.
const TLS_HANDSHAKE: u8 = 22;
/// How long clients may take to have the last answers, once the host has stopped.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// As much of a certificate's SHA-256 as names it in the audit, in hexadecimal digits.
const CERTIFICATE_NAME_DIGITS: usize = 16;

/// A socket that listens. Connections wait in the system's queue until it is served.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl Listening {
    /// The address, with the port that was free if none was named.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the host is reached there.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

impl Door {
    /// Listens on the address. Without credentials it does so on a loopback address only, unless it is told to.
    pub async fn listen(&self) -> Result<Listening, DoorError> {
        let options = &self.0.listen;
        let wrong = |error| DoorError::Address { address: options.address.clone(), error };
        let addresses: Vec<_> = lookup_host(&options.address).await.map_err(wrong)?.collect();
        let no_credentials = self.0.credentials.is_empty();
        check::may_listen(options, no_credentials, &addresses)?;
        let (is_open, is_reached) = (check::is_open(options, no_credentials), check::is_reached(&addresses));
        let tls = options.tls.clone().map(|tls| Tls::open(tls, Instant::now())).transpose()?;
        let listener = TcpListener::bind(&addresses[..]).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        if is_open && is_reached {
            warn!(%address, "everybody who reaches this address may do everything: rest.insecure is set");
        } else if is_reached && tls.is_none() {
            warn!(%address, "credentials are sent in the clear: there is no rest.tls.certificate");
        }
        Ok(Listening { listener, address, tls: tls.map(Arc::new) })
    }

    /// Serves the routes until `shutdown`, and a while longer to finish what was begun. What is not finished then, or
    /// when this is dropped, ends.
    pub async fn serve(&self, listening: Listening, routes: Guarded, shutdown: impl Future<Output = ()>) {
        let Listening { listener, tls, .. } = listening;
        let options = &self.0.listen;
        let shares = Shares::new((options.connections / 2).max(1));
        accept_all(listener, options, shutdown, |stream: TcpStream, peer: SocketAddr, place, stopped| {
            let share = shares.take(peer.ip())?;
            let (door, routes, tls) = (Arc::clone(&self.0), routes.clone(), tls.clone());
            Some(async move {
                let _room = (place, share);
                meet(&door, stream, peer, tls, routes, stopped).await;
            })
        })
        .await;
    }

    /// Serves the same routes on the control socket, to whom it belongs: they may do everything.
    pub async fn serve_local<L>(&self, socket: L, routes: Guarded, shutdown: impl Future<Output = ()>)
    where
        L: Listener,
    {
        accept_all(socket, &self.0.listen, shutdown, |stream: L::Io, _, place, stopped| {
            let (door, routes) = (Arc::clone(&self.0), routes.clone());
            Some(async move {
                let _room: OwnedSemaphorePermit = place;
                connection::serve(stream, Visit::local(stopped), routes, &door.listen).await;
            })
        })
        .await;
    }
}

/// Accepts connections and has each served by what `serve` makes of it, if it makes anything of it.
async fn accept_all<L, F>(
    mut listener: L,
    options: &ListenOptions,
    shutdown: impl Future<Output = ()>,
    serve: impl Fn(L::Io, L::Addr, OwnedSemaphorePermit, watch::Receiver<()>) -> Option<F>,
) where
    L: Listener,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(options.connections.max(1)));
    let (stop, stopped) = watch::channel(());
    let (mut connections, mut shutdown, mut is_full) = (JoinSet::new(), pin!(shutdown), false);
    loop {
        if is_full != (places.available_permits() == 0) {
            is_full = !is_full;
            if is_full {
                warn!(connections = options.connections, "all places for connections are taken, new ones wait");
            } else {
                info!("there are places for connections again");
            }
        }
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, address, place) = accept(&mut listener, &places) => {
                match serve(stream, address, place, stopped.clone()) {
                    Some(served) => drop(connections.spawn(served)),
                    None => debug!("a client has all the connections it may have, and one more was closed"),
                }
            }
        }
    }
    drop((listener, stop));
    // By then each request was answered, or told that it is not.
    let patience = options.shutdown_timeout + LAST_WORDS;
    if timeout(patience, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        warn!(
            connections = connections.len(),
            "connections are cut off: their clients did not take their answers in time"
        );
    }
}

/// The next connection, once there is a place for it.
async fn accept<L: Listener>(listener: &mut L, places: &Arc<Semaphore>) -> (L::Io, L::Addr, OwnedSemaphorePermit) {
    let Ok(place) = Arc::clone(places).acquire_owned().await else { return std::future::pending().await };
    let (stream, address) = listener.accept().await;
    (stream, address, place)
}

async fn meet(
    door: &Inner,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    routes: Guarded,
    stopped: watch::Receiver<()>,
) {
    // Answers are small, and waited for. Without it they are slower, not wrong.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let (peer, options) = (SocketAddr::new(peer.ip().to_canonical(), peer.port()), &door.listen);
    let mut stopping = stopped.clone();
    let visit = |certificate| Visit { peer: Peer::Address(peer), local: local.ip(), certificate, stopped };
    let Some(tls) = tls else {
        return connection::serve(stream, visit(None), routes, options).await;
    };
    let met = tokio::select! {
        met = timeout(options.handshake_timeout, handshake(stream, &tls)) => met,
        // Nothing was begun.
        _ = stopping.changed() => return,
    };
    match met {
        Ok(Ok(Some(stream))) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|first| {
                let digest = Digest::of(first).to_string();
                format!("certificate {}", &digest[..CERTIFICATE_NAME_DIGITS]).into()
            });
            connection::serve(stream, visit(certificate), routes, options).await;
        }
        Ok(Ok(None)) => debug!(%peer, "a client does not speak TLS"),
        Ok(Err(error)) => debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => debug!(%peer, "a TLS handshake took too long"),
    }
}

/// Begins to encrypt. A client that speaks plain HTTP is told so, in plain HTTP.
async fn handshake(stream: TcpStream, tls: &Arc<Tls>) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if first != [TLS_HANDSHAKE] {
        if first[0].is_ascii_uppercase() {
            connection::send(stream, &plain_answer()).await;
        }
        return Ok(None);
    }
    let config = tls.current(Instant::now()).await;
    TlsAcceptor::from(config).accept(stream).await.map(Some)
}

fn plain_answer() -> String {
    let refused =
        Refused::new(axum::http::StatusCode::BAD_REQUEST, "this port speaks HTTPS: the address begins with https://");
    let (status, body) = (refused.status, refused.body());
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
