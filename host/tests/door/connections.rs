//! Connections: many, slow ones, and their end.

use std::time::Duration;

use sandbar::door::DoorOptions;
use tokio::net::TcpStream;

use crate::support::{SHORT, Server, within};

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let mut options = DoorOptions::default();
    options.listen.head_timeout = SHORT;
    let server = Server::start(options).await;
    for begun in ["", "GET", "GET / HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let mut client = server.client().await;
        tokio::io::AsyncWriteExt::write_all(&mut client.0, begun.as_bytes()).await.unwrap();
        assert!(client.is_closed().await, "{begun}");
    }
}

#[tokio::test]
async fn a_connection_that_is_idle_is_closed() {
    let mut options = DoorOptions::default();
    options.listen.idle_timeout = SHORT;
    let server = Server::start(options).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("GET /v1/status", &[]).await.status(), 200);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_flood_of_connections_stops_nobody_who_is_there_or_comes_from_elsewhere() {
    let mut options = DoorOptions::default();
    options.listen.connections = 8;
    options.listen.head_timeout = Duration::from_secs(3600);
    let server = Server::start(options).await;
    let mut there = server.client().await;
    assert_eq!(there.ask("GET /v1/status", &[]).await.status(), 200);
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(server.client().await);
    }
    // One client has half of the places: one by that which is there, three by the flood.
    for client in flood.iter_mut().skip(3) {
        assert!(client.is_closed().await);
    }
    for _ in 0..20 {
        assert_eq!(there.ask("GET /v1/status", &[]).await.status(), 200);
    }
    let mut elsewhere = server.client_from("127.0.0.2").await.unwrap();
    assert_eq!(elsewhere.ask("GET /v1/status", &[]).await.status(), 200);
    // What the flood gives up can be had again.
    drop(flood);
    let again = async {
        loop {
            let mut client = server.client().await;
            client.send("GET /v1/status", &[], b"").await;
            if client.answer().await.is_ok() {
                break;
            }
        }
    };
    within(again).await;
}

#[tokio::test]
async fn when_all_places_are_taken_who_comes_waits_for_one() {
    let mut options = DoorOptions::default();
    options.listen.connections = 2;
    options.listen.head_timeout = Duration::from_secs(3600);
    let server = Server::start(options).await;
    let mut there = [server.client_from("127.0.0.2").await.unwrap(), server.client_from("127.0.0.3").await.unwrap()];
    for client in &mut there {
        assert_eq!(client.ask("GET /v1/status", &[]).await.status(), 200);
    }
    let mut waits = server.client().await;
    waits.send("GET /v1/status", &[], b"").await;
    // Those who are there notice nothing.
    for client in &mut there {
        assert_eq!(client.ask("GET /v1/status", &[]).await.status(), 200);
    }
    drop(there);
    assert_eq!(waits.answer().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_was_begun_is_answered_when_the_host_stops() {
    let mut server = Server::start(DoorOptions::default()).await;
    let (mut begun, mut idle) = (server.client().await, server.client().await);
    assert_eq!(idle.ask("GET /v1/status", &[]).await.status(), 200);
    begun.send("GET /v1/slow", &[], b"").await;
    within(server.has_come.notified()).await;
    server.stop();
    assert!(idle.is_closed().await);
    drop(idle);
    within(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    server.go_on.notify_one();
    let answer = begun.answer().await.unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    drop(begun);
    within(server.served).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_not_answered_does_not_keep_the_host_from_stopping() {
    let mut options = DoorOptions::default();
    options.listen.shutdown_timeout = SHORT;
    let mut server = Server::start(options).await;
    let mut client = server.client().await;
    client.send("GET /v1/slow", &[], b"").await;
    within(server.has_come.notified()).await;
    server.stop();
    let answer = client.answer().await.unwrap();
    assert!(answer.refused(503).starts_with("the host is stopping"), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    // It is open at this end still.
    within(&mut server.served).await.unwrap();
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn nothing_is_left_of_a_door_that_is_not_served_any_more() {
    let mut server = Server::start(DoorOptions::default()).await;
    let mut client = server.client().await;
    assert_eq!(client.ask("GET /v1/status", &[]).await.status(), 200);
    server.served.abort();
    assert!(within(&mut server.served).await.unwrap_err().is_cancelled());
    assert!(client.is_closed().await);
}
