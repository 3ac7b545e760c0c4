//! What is told of requests, and what is not.

use sandbar::door::{DoorOptions, Role};
use serde_json::{Value, json};

use crate::log;
use crate::support::{Server, bearer, token_of, with_credentials, within};

#[tokio::test]
async fn who_changed_what_is_told_and_neither_bodies_nor_queries_nor_secrets_are() {
    let server = Server::start(with_credentials()).await;
    let mut client = server.client().await;
    let peer = client.0.local_addr().unwrap().to_string();
    let lines = [&bearer(Role::Admin), "content-length: 11"];
    client.send("POST /connectors?key=in-the-query", &lines, b"in-the-body").await;
    assert_eq!(client.answer().await.unwrap().status(), 200);
    client.ask("PUT /connectors/a%2Fb/pause", &[&bearer(Role::Operate)]).await;
    client.ask("DELETE /connectors/a", &[&bearer(Role::Operate)]).await;
    // Looking, and asking what would be, is not told.
    client.ask("GET /v1/status", &[&bearer(Role::Read)]).await;
    client.ask("PUT /connector-plugins/a/config/validate", &[&bearer(Role::Read)]).await;
    client.ask("GET /v1/status", &[]).await.refused(401);
    let mut events = log::audit();
    for event in &mut events {
        let milliseconds = event.as_object_mut().unwrap().remove("milliseconds");
        assert!(milliseconds.is_some_and(|value| value.is_u64()), "{event}");
    }
    let answered = |who: &str, role: &str, method: &str, path: &str| {
        json!({"message": "a request was answered", "who": who, "role": role, "peer": peer, "method": method,
               "path": path, "status": 200})
    };
    let refused = json!({"message": "a request was refused", "who": "the-operate", "role": "operate", "peer": peer,
        "method": "DELETE", "path": "/connectors/a", "status": 403,
        "reason": "this needs the role admin, and the-operate has the role operate"});
    let expected = [
        answered("the-admin", "admin", "POST", "/connectors"),
        answered("the-operate", "operate", "PUT", "/connectors/a%2Fb/pause"),
        refused,
    ];
    assert_eq!(events, expected);
    for secret in ["in-the-query", "in-the-body", &token_of(Role::Admin), &token_of(Role::Operate)] {
        assert!(!log::text().contains(secret), "{} has {secret}", log::text());
    }
}

#[tokio::test]
async fn who_was_not_let_in_is_told_and_what_they_tried_is_not() {
    let server = Server::start(with_credentials()).await;
    server.ask("GET /v1/status", &["authorization: Bearer a-mistyped-secret"]).await.refused(401);
    server.ask("POST /connectors", &[]).await.refused(401);
    server.ask("POST /connectors", &["origin: https://evil.example", &bearer(Role::Admin)]).await.refused(403);
    let told: Vec<_> = log::audit().iter().map(|event| (event["who"].clone(), event["status"].clone())).collect();
    let expected = [401, 401, 403].map(|status| (json!("anonymous"), json!(status)));
    assert_eq!(told, expected);
    assert!(!log::text().contains("a-mistyped-secret"));
}

#[tokio::test]
async fn a_flood_of_refused_requests_does_not_fill_the_log() {
    let server = Server::start(DoorOptions::default()).await;
    let mut client = server.client().await;
    let start = std::time::Instant::now();
    for _ in 0..300 {
        let answer = client.ask("POST /connectors", &["origin: https://evil.example", "sec-fetch-site: cross-site"]);
        answer.await.refused(403);
    }
    let most = 20 + start.elapsed().as_secs() as usize + 1;
    let told = log::audit().len();
    assert!((20..=most).contains(&told), "{told} of 300 were told, {most} may be");
    // How many were not is told with the next that is.
    let mut other = server.client_from("127.0.0.2").await.unwrap();
    other.ask("POST /connectors", &["origin: https://evil.example"]).await.refused(403);
    let untold: u64 = log::audit().iter().filter_map(|event| event["untold"].as_u64()).sum();
    assert_eq!(untold + told as u64, 300);
}

#[tokio::test]
async fn a_change_whose_client_went_away_is_told() {
    let server = Server::start(DoorOptions::default()).await;
    let mut client = server.client().await;
    client.send("POST /v1/slow", &[], b"").await;
    within(server.has_come.notified()).await;
    drop(client);
    let told = async {
        while log::audit().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(told).await;
    let event = &log::audit()[0];
    assert_eq!((&event["reason"], &event["status"]), (&json!("the client went away"), &Value::Null));
}

#[tokio::test]
async fn a_change_that_panicked_is_told_with_its_status() {
    let server = Server::start(DoorOptions::default()).await;
    server.ask("POST /v1/panic", &[]).await.refused(500);
    assert_eq!(log::audit()[0]["status"], 500);
    assert!(log::text().contains("the handler of a request panicked") && log::text().contains("on purpose"));
}
