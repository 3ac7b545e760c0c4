//! What requests may take.

use sandbar::door::{DoorOptions, Role};
use serde_json::json;

use crate::support::{SHORT, Server, bearer, with_credentials, within};

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let mut options = DoorOptions::default();
    (options.limits.body_bytes, options.limits.upload_bytes) = (100, 200);
    let server = Server::start(options).await;
    let mut client = server.client().await;
    client.send("POST /connectors", &["content-length: 101"], b"x").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.refused(413), "the body is larger than 100 bytes");
    assert!(client.is_closed().await, "the rest of the body is not taken for a request");
    // Who sends all of it first and reads then gets to read.
    let mut client = server.client().await;
    let length = format!("content-length: {}", 16 << 20);
    client.send("POST /connectors", &[&length], &vec![b'x'; 16 << 20]).await;
    client.answer().await.unwrap().refused(413);
    // Who waits to be asked for the body is not asked.
    let mut client = server.client().await;
    client.send("POST /connectors", &["content-length: 101", "expect: 100-continue"], b"").await;
    client.answer().await.unwrap().refused(413);
    // What fits, fits; plugins may be larger.
    for (path, length, fits) in [
        ("/connectors", 100, true),
        ("/v1/plugins", 200, true),
        ("/v1/plugins", 201, false),
        ("/v1/plugins/x", 101, false),
    ] {
        let mut client = server.client().await;
        let line = format!("content-length: {length}");
        client.send(&format!("POST {path}"), &[&line], &vec![b'x'; length]).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), if fits { 200 } else { 413 }, "{path} {length}");
        if fits {
            assert_eq!(answer.json(), json!(length));
        }
    }
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused_as_well() {
    let mut options = DoorOptions::default();
    options.limits.body_bytes = 100;
    let server = Server::start(options).await;
    let chunks = |count: usize| format!("{}0\r\n\r\n", "a\r\n0123456789\r\n".repeat(count));
    for (count, status) in [(10, 200), (11, 413), (100_000, 413)] {
        let mut client = server.client().await;
        client.send("POST /connectors", &["transfer-encoding: chunked"], b"").await;
        let body = chunks(count);
        let (mut read, mut write) = tokio::io::split(client.0);
        // It may be answered before it was sent.
        let sent = tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut write, body.as_bytes()).await });
        let mut client = crate::support::Client(tokio::io::join(&mut read, tokio::io::sink()));
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), status, "{count}");
        if status == 413 {
            assert_eq!(answer.refused(413), "the body is larger than 100 bytes");
        }
        drop(sent);
    }
    // Whatever the handler makes of it.
    let mut client = server.client().await;
    let lines = ["transfer-encoding: chunked", "content-type: application/json"];
    client.send("POST /v1/json", &lines, chunks(11).as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().refused(413), "the body is larger than 100 bytes");
}

#[tokio::test]
async fn what_takes_too_long_is_answered_in_kafka_connects_words() {
    let mut options = DoorOptions::default();
    options.limits.request_timeout = SHORT;
    let server = Server::start(options).await;
    assert_eq!(server.ask("GET /v1/never", &[]).await.refused(500), "Request timed out");
    // So is a body that does not come.
    let mut client = server.client().await;
    client.send("POST /connectors", &["content-length: 10"], b"x").await;
    assert_eq!(client.answer().await.unwrap().refused(500), "Request timed out");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_handler_that_panics_harms_its_own_request_only() {
    let server = Server::start(DoorOptions::default()).await;
    let mut client = server.client().await;
    for _ in 0..3 {
        let answer = client.ask("POST /v1/panic", &[]).await;
        assert!(answer.refused(500).contains("defect of the host"));
        assert!(!answer.body.contains("on purpose"), "the log says that");
        assert_eq!(client.ask("GET /v1/status", &[]).await.status(), 200);
    }
}

#[tokio::test]
async fn what_the_framework_says_has_the_shape_too() {
    let server = Server::start(DoorOptions::default()).await;
    let mut client = server.client().await;
    client.send("POST /v1/json", &["content-length: 1", "content-type: application/json"], b"{").await;
    assert!(client.answer().await.unwrap().refused(400).contains("JSON"));
    client.send("POST /v1/json", &["content-length: 2"], b"{}").await;
    assert!(client.answer().await.unwrap().refused(415).contains("application/json"));
    let answer = client.ask("GET /v1/json", &[]).await;
    assert_eq!((answer.refused(405).as_str(), answer.header("allow")), ("HTTP 405 Method Not Allowed", Some("post")));
}

#[tokio::test]
async fn when_all_places_are_taken_probes_are_answered_still() {
    let mut options = with_credentials();
    options.limits.requests = 2;
    let server = Server::start(options).await;
    let mut slow = [server.client().await, server.client().await];
    for client in &mut slow {
        client.send("GET /v1/slow", &[&bearer(Role::Read)], b"").await;
        within(server.has_come.notified()).await;
    }
    let answer = server.ask("GET /v1/status", &[&bearer(Role::Read)]).await;
    assert_eq!(answer.refused(503), "too many requests are being answered");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(server.ask("GET /health", &[]).await.status(), 200);
    // Who has no right to a place is told that first.
    server.ask("GET /v1/status", &[]).await.refused(401);
    for client in &mut slow {
        server.go_on.notify_one();
        assert_eq!(client.answer().await.unwrap().status(), 200);
    }
    assert_eq!(server.ask("GET /v1/status", &[&bearer(Role::Read)]).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_slowed_down_and_others_are_not() {
    let mut options = DoorOptions::default();
    options.limits.requests_per_second = 1;
    let server = Server::start(options).await;
    let answers = [server.ask("GET /v1/status", &[]).await, server.ask("GET /v1/status", &[]).await];
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let mut client = server.client().await;
    // The third may come a second later on a machine that is busy.
    let refused = loop {
        let answer = client.ask("GET /v1/status", &[]).await;
        if answer.status() != 200 {
            break answer;
        }
    };
    assert_eq!(refused.refused(429), "too many requests from this address");
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    assert!(client.is_closed().await);
    assert_eq!(server.ask("GET /health", &[]).await.status(), 200, "probes are not counted");
    let mut other = server.client_from("127.0.0.2").await.unwrap();
    assert_eq!(other.ask("GET /v1/status", &[]).await.status(), 200);
}
