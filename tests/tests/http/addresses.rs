//! What names may resolve to: an address is judged when it is dialled, and a name counts for nothing.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use sandbar::http::{Looking, Lookup};
use sandbar_abi::http::FailureKind;
use sandbar_tests::http_server::{HttpServer, Reply};

use crate::{Reach, failure, get, response};

/// Answers one after the other, and the last one again and again.
struct Script(Mutex<VecDeque<&'static [&'static str]>>);

impl Script {
    fn answering<const N: usize>(answers: [&'static [&'static str]; N]) -> Option<Arc<dyn Lookup>> {
        Some(Arc::new(Self(Mutex::new(answers.into()))))
    }
}

impl Lookup for Script {
    fn lookup(&self, name: &str) -> Looking {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
        let parsed = answer.unwrap_or_default().iter().map(|text| text.parse().map_err(io::Error::other));
        let answer: io::Result<Vec<IpAddr>> = parsed.collect();
        let name = name.to_owned();
        Box::pin(async move {
            if name == "api.test" { answer } else { Err(io::Error::other("another name was asked for")) }
        })
    }
}

#[tokio::test]
async fn a_name_of_this_machine_needs_a_grant_of_its_address() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("here")).await?;
    let (host, url) = (server.origin_as("localhost"), server.origin_as("localhost"));
    let denied = failure(&Reach::hosts([&host]).client().await?, &get(&url), FailureKind::Denied).await?;
    assert!(denied.starts_with("localhost resolves to ") && denied.contains("(loopback)"), "{denied}");
    assert!(denied.ends_with(": sandbox.http.addresses would grant it"), "{denied}");
    assert_eq!(server.connections().opened, 0);

    let reach = Reach { addresses: vec!["127.0.0.0/8"], ..Reach::hosts([&host]) };
    assert_eq!(response(&reach.client().await?, &get(&url), &[]).await?.1, "here");
    Ok(())
}

#[tokio::test]
async fn a_name_that_changes_its_address_changes_no_verdict() -> Result<()> {
    // Each request ends its connection, so that each is dialled.
    let server = HttpServer::start(|_| Reply::ok("here").header("connection", "close")).await?;
    let url = server.origin_as("api.test");
    let lookup = Script::answering([&["127.0.0.1"], &["169.254.169.254"], &["10.0.0.1", "::1"], &["127.0.0.1"]]);
    let reach = Reach { addresses: vec!["127.0.0.1/32"], lookup, ..Reach::hosts([&url]) };
    let client = reach.client().await?;
    assert_eq!(response(&client, &get(&url), &[]).await?.1, "here");
    server.wait_closed(1).await?;
    let metadata = failure(&client, &get(&url), FailureKind::Denied).await?;
    assert!(metadata.starts_with("api.test resolves to 169.254.169.254, which is not public"), "{metadata}");
    let private = failure(&client, &get(&url), FailureKind::Denied).await?;
    assert!(private.contains("10.0.0.1, which is not public (private), ::1"), "{private}");
    assert_eq!(response(&client, &get(&url), &[]).await?.1, "here");
    Ok(())
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_are_dialled() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("here")).await?;
    let url = server.origin_as("api.test");
    let lookup = Script::answering([&["10.255.255.1", "127.0.0.1", "192.168.255.1"]]);
    let reach = Reach { addresses: vec!["127.0.0.1/32"], lookup, ..Reach::hosts([&url]) };
    assert_eq!(response(&reach.client().await?, &get(&url), &[]).await?.1, "here");
    Ok(())
}

#[tokio::test]
async fn a_name_without_an_address_is_told() -> Result<()> {
    let lookup = Script::answering([&[]]);
    let client = Reach { lookup, ..Reach::hosts(["http://api.test", "http://other.test"]) }.client().await?;
    let message = failure(&client, &get("http://api.test"), FailureKind::Resolve).await?;
    assert_eq!(message, "api.test cannot be resolved: it has no address");
    let message = failure(&client, &get("http://other.test"), FailureKind::Resolve).await?;
    assert_eq!(message, "other.test cannot be resolved: another name was asked for");
    Ok(())
}
