//! Clients of an HTTP server, many at once: each has a connection of its own, sends a request, reads all of the answer, and
//! sends the next.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, sleep_until};

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The body, of JSON; nothing: none.
    pub body: Option<Bytes>,
}

impl Ask {
    /// Looks.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: None }
    }

    /// Changes.
    #[must_use]
    pub fn put(path: &str, body: Option<String>) -> Self {
        Self { method: Method::PUT, path: path.to_owned(), body: body.map(Bytes::from) }
    }
}

/// A client: what it asks for, one after the other and from the start again.
#[derive(Clone, Debug)]
pub struct Client {
    /// The requests.
    pub asks: Vec<Ask>,
    /// The least time from one request to the next; nothing: none.
    pub every: Duration,
}

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How long each answer took, in microseconds.
    pub micros: Vec<u32>,
    /// What was no answer as hoped.
    pub errors: Vec<String>,
}

impl Seen {
    /// Adds what others saw.
    pub fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.errors.extend(other.errors);
    }

    /// The time within which a part of the answers came, in milliseconds. Sorts them.
    pub fn percentile(&mut self, part: f64) -> f64 {
        self.micros.sort_unstable();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // a place in a list
        let at = (self.micros.len() as f64 * part).ceil() as usize;
        self.micros.get(at.saturating_sub(1)).map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    }
}

/// Has all clients ask a server for a time. Returns what each saw.
pub async fn ask_for(time: Duration, server: SocketAddr, clients: &[Client]) -> Result<Vec<Seen>> {
    let mut asking = JoinSet::new();
    // All are connected before the first asks.
    let mut connected = Vec::new();
    for client in clients {
        connected.push((client.clone(), connect(server).await?));
    }
    let until = Instant::now() + time;
    for (number, (client, sender)) in connected.into_iter().enumerate() {
        asking.spawn(async move { (number, keep_asking(sender, server, client, number, until).await) });
    }
    let mut seen = vec![Seen::default(); clients.len()];
    while let Some(done) = asking.join_next().await {
        let (number, one) = done?;
        seen[number] = one;
    }
    Ok(seen)
}

/// Asks once.
pub async fn ask_once(server: SocketAddr, ask: &Ask) -> Result<(u16, Bytes)> {
    exchange(&mut connect(server).await?, server, ask).await
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    drop(tokio::spawn(connection));
    Ok(sender)
}

async fn keep_asking(
    mut sender: SendRequest<Full<Bytes>>,
    server: SocketAddr,
    Client { asks, every }: Client,
    number: usize,
    until: Instant,
) -> Seen {
    let mut seen = Seen::default();
    // Neither do all begin with the same, nor do those that wait all begin at once.
    #[allow(clippy::cast_precision_loss)] // some hundreds
    let mut next = Moment::now() + every.mul_f64((number % 97) as f64 / 97.0);
    for ask in asks.iter().cycle().skip(number % asks.len().max(1)) {
        if !every.is_zero() {
            if next.into_std() >= until {
                break;
            }
            sleep_until(next).await;
            next += every;
        }
        let started = Instant::now();
        if started >= until {
            break;
        }
        let answered = exchange(&mut sender, server, ask).await;
        seen.micros.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        match answered {
            Ok((status, _)) if status < 400 => {}
            Ok((status, body)) => {
                seen.errors.push(format!("{} {}: {status} {}", ask.method, ask.path, String::from_utf8_lossy(&body)));
            }
            Err(error) => {
                seen.errors.push(format!("{} {}: {error:#}", ask.method, ask.path));
                match connect(server).await {
                    Ok(again) => sender = again,
                    Err(error) => {
                        seen.errors.push(format!("{error:#}"));
                        break;
                    }
                }
            }
        }
    }
    seen
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, server: SocketAddr, ask: &Ask) -> Result<(u16, Bytes)> {
    ensure!(!sender.is_closed(), "the connection was closed");
    sender.ready().await?;
    let mut request = Request::builder().method(ask.method.clone()).uri(&ask.path).header(HOST, server.to_string());
    if ask.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let answer = sender.send_request(request.body(Full::new(ask.body.clone().unwrap_or_default()))?).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}
