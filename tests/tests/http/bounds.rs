//! Sizes and times: what is too large or too slow is given up, and the server notices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sandbar_abi::http::{self, Answer, FailureKind, Request};
use sandbar_tests::http_server::{HttpServer, Reply};

use crate::{Reach, failure, get, open, open_within, response, send, sending};

const MAX: usize = 1000;

#[tokio::test]
async fn an_answer_may_be_as_long_as_the_limit_and_no_longer() -> Result<()> {
    let server =
        HttpServer::start(|asked| Reply::ok(vec![b'x'; if asked.path == "/fits" { MAX } else { MAX + 1 }])).await?;
    let client = Reach { max_bytes: Some(MAX), ..Reach::only(&server) }.client().await?;
    assert_eq!(response(&client, &get(server.url("/fits")), &[]).await?.1.len(), MAX);
    let message = failure(&client, &get(server.url("/more")), FailureKind::TooLarge).await?;
    let expected = "the answer is longer than 1000 bytes; sandbox.http.response.max.bytes sets it";
    assert!(message.ends_with(expected), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_answer_without_end_is_given_up_at_the_limit() -> Result<()> {
    let server = HttpServer::start(|_| Reply::endless(vec![b'x'; 1 << 10])).await?;
    let client = Reach::only(&server).client().await?;
    failure(&client, &get(server.url("/")), FailureKind::TooLarge).await?;
    server.wait_closed(1).await
}

#[tokio::test]
async fn the_shortest_of_the_times_holds() -> Result<()> {
    let server = HttpServer::start(|_| Reply::never()).await?;
    let short = Duration::from_millis(50);
    let client = Reach { timeout: Some(short), ..Reach::only(&server) }.client().await?;
    let message = failure(&client, &get(server.url("/")), FailureKind::Timeout).await?;
    assert_eq!(message, "127.0.0.1: there was no whole answer within 50 ms; sandbox.http.timeout.ms sets it");
    server.wait_closed(1).await?;

    let client = Reach::only(&server).client().await?;
    let request = Request { timeout_ms: Some(51), ..get(server.url("/")) };
    let message = failure(&client, &request, FailureKind::Timeout).await?;
    assert_eq!(message, "127.0.0.1: there was no whole answer within 51 ms");
    server.wait_closed(2).await
}

#[tokio::test]
async fn a_slow_server_leaves_the_guest_time_to_say_so_before_its_call_ends() -> Result<()> {
    let server = HttpServer::start(|_| Reply::never()).await?;
    let client = Reach::only(&server).client().await?;
    let guest = sending(&http::encode(&get(server.url("/")), &[])?);
    let mut late = Vec::new();
    // What is left is a tenth of a second: a machine that stands still for that long does so once, not every time.
    for nth in 1..=3 {
        let mut instance = open_within(Duration::from_millis(400), &guest, Some(Arc::clone(&client))).await?;
        let started = Instant::now();
        match send(&mut instance).await {
            Ok((Answer::Error(failure), _)) => {
                assert_eq!(failure.kind, FailureKind::Timeout);
                assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
                return server.wait_closed(nth).await;
            }
            Ok((other, _)) => bail!("{other:?}"),
            Err(error) if format!("{error:#}").contains("took longer than 400 ms") => late.push(error),
            Err(error) => return Err(error),
        }
    }
    bail!("it was never left the time: {late:?}")
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_its_request() -> Result<()> {
    let server = HttpServer::start(|_| Reply::never()).await?;
    let client = Reach::only(&server).client().await?;
    let guest = sending(&http::encode(&get(server.url("/")), &[])?);
    let mut instance = open(&guest, Some(Arc::clone(&client))).await?;
    tokio::select! {
        ended = instance.flush() => bail!("{ended:?}"),
        asked = server.wait_asked(1) => drop(asked?),
    }
    assert_eq!(server.connections().closed, 0);
    drop(instance);
    server.wait_closed(1).await?;
    // The client is there for the next instance all the same.
    failure(&client, &Request { timeout_ms: Some(20), ..get(server.url("/")) }, FailureKind::Timeout).await?;
    Ok(())
}
