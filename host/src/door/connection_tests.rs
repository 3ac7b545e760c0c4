//! How long a connection may take, by a clock that goes as fast as nothing happens.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::caller::Visit;
use super::connection::serve;
use super::guard::Guarded;
use super::options::ListenOptions;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// Much more than is on its way at once.
const LARGE: usize = 4 << 20;

struct Connected {
    client: DuplexStream,
    served: JoinHandle<Duration>,
    stop: watch::Sender<()>,
}

/// A connection, and how long it was served.
fn connect() -> Connected {
    let routes = Router::new()
        .route("/", get(async || "fine"))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/slow", get(async || sleep(Duration::from_secs(5)).await));
    let (client, server) = duplex(4096);
    let (stop, stopped) = watch::channel(());
    let served = tokio::spawn(async move {
        let start = Instant::now();
        serve(server, Visit::local(stopped), Guarded(routes), &ListenOptions::default()).await;
        start.elapsed()
    });
    Connected { client, served, stop }
}

impl Connected {
    /// What comes until the connection ends, and how long it was served.
    async fn rest(mut self) -> (String, u64) {
        let mut rest = Vec::new();
        // It may end in the middle.
        let _ = self.client.read_to_end(&mut rest).await;
        drop(self.client);
        (String::from_utf8(rest).unwrap(), self.served.await.unwrap().as_secs())
    }

    async fn ask(&mut self) {
        self.client.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"fine") {
            self.client.read_buf(&mut answer).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_ends() {
    assert_eq!(connect().rest().await, (String::new(), 10));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_does_not_hold_a_place() {
    let mut connected = connect();
    let endless = async {
        connected.client.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        while connected.client.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    endless.await;
    assert_eq!(connected.rest().await.1, 10);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_between_requests_and_not_for_ever() {
    let mut connected = connect();
    for _ in 0..3 {
        connected.ask().await;
        sleep(Duration::from_secs(59)).await;
    }
    connected.ask().await;
    // A head that is begun does not buy more time.
    connected.client.write_all(b"GET /").await.unwrap();
    assert_eq!(connected.rest().await, (String::new(), 3 * 59 + 60));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_waited_for_beyond_the_time_for_heads() {
    let mut connected = connect();
    sleep(Duration::from_secs(8)).await;
    connected.client.write_all(b"GET /slow HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    let (answer, seconds) = connected.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(seconds, 13);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_left() {
    let mut connected = connect();
    connected.client.write_all(b"GET /large HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!((&mut connected.served).await.unwrap().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_finished_when_the_host_stops_and_nothing_else_is_begun() {
    let mut begun = connect();
    begun.client.write_all(&b"GET /slow HTTP/1.1\r\n\r\n".repeat(2)).await.unwrap();
    let (mut idle, fresh) = (connect(), connect());
    idle.ask().await;
    sleep(Duration::from_secs(1)).await;
    for connected in [&begun, &idle, &fresh] {
        connected.stop.send(()).unwrap();
    }
    let ((answers, seconds), idle, fresh) = tokio::join!(begun.rest(), idle.rest(), fresh.rest());
    assert_eq!((answers.matches("HTTP/1.1 200").count(), seconds), (1, 5), "{answers}");
    assert_eq!((idle, fresh), ((String::new(), 1), (String::new(), 1)));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_not_kept() {
    let mut connected = connect();
    let line = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(70 << 10));
    // It is answered before all of it was sent.
    let _ = connected.client.write_all(line.as_bytes()).await;
    let (answer, _) = connected.rest().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// A client that is answered before it has sent everything. It sends on until the connection ends, or not; the host stops
/// after a second, or not. Returns how long it was served.
async fn answered_early(sends_on: bool, stops: bool) -> u64 {
    let mut connected = connect();
    connected.client.write_all(b"POST /nothing HTTP/1.1\r\ncontent-length: 10000000\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        connected.client.read_buf(&mut answer).await.unwrap();
    }
    assert!(answer.starts_with(b"HTTP/1.1 404 "), "{answer:?}");
    let Connected { mut client, served, stop } = connected;
    let speaks = tokio::spawn(async move {
        while sends_on && client.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        // It does not go away by itself.
        std::future::pending::<()>().await;
        drop(client);
    });
    if stops {
        sleep(Duration::from_millis(500)).await;
        stop.send(()).unwrap();
    }
    let seconds = served.await.unwrap().as_secs();
    speaks.abort();
    seconds
}

#[tokio::test(start_paused = true)]
async fn a_client_that_still_sends_is_heard_out_for_a_while() {
    assert_eq!(answered_early(true, false).await, 10);
    assert_eq!(answered_early(false, false).await, 2);
    assert_eq!(answered_early(true, true).await, 2);
}
