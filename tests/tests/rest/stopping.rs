//! A host that is told to stop answers what was begun, and nothing more.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sandbar_tests::wait::{self, Seen};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Served;

#[tokio::test]
async fn a_request_that_was_begun_is_carried_out_before_the_host_ends() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let served = Served::start_in(Arc::clone(&folder), &["datagen"]).await?;
    let rest = served.rest.clone();
    // What is slow the first time is behind it: there are seconds for a request that was begun.
    served.generate("first", "first", 1).await?;
    let body =
        json!({"name": "last", "config": {"connector.class": "datagen", "topic": "last", "count": "3"}}).to_string();
    let head = format!(
        "POST /connectors HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut begun = TcpStream::connect(rest.address()).await?;
    begun.write_all(format!("{head}{}", &body[..10]).as_bytes()).await?;
    // It has been read by the time this is answered that was asked for later, on a runtime of one thread.
    rest.get("/connectors").await?.expect(200)?;
    let stops = tokio::spawn(served.worker.stop());
    wait::until("nobody is let in any more", wait::WITHIN, async || {
        Ok(Seen::when(TcpStream::connect(rest.address()).await.is_err(), String::new))
    })
    .await?;
    ensure!(!stops.is_finished(), "it did not wait");
    begun.write_all(&body.as_bytes()[10..]).await?;
    let mut answer = String::new();
    begun.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("connection: close"), "{answer}");
    drop(begun);
    ensure!(stops.await??, "tasks did not end by themselves");
    // What was answered is kept.
    let mut again = Served::start_in(folder, &["datagen"]).await?;
    again.worker.wait("last", |_| true).await?;
    ensure!(again.rest.get("/connectors/last").await?.expect(200)?["name"] == "last");
    Ok(())
}

#[tokio::test]
async fn connections_without_a_request_do_not_keep_a_host_up() -> Result<()> {
    let served = Served::start(&[]).await?;
    let mut idle = TcpStream::connect(served.rest.address()).await?;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        ensure!(idle.read_buf(&mut answer).await? > 0);
    }
    // It stays open at this end, and the host does not wait for it.
    ensure!(served.worker.stop().await?);
    answer.clear();
    ensure!(idle.read_to_end(&mut answer).await? == 0, "{answer:?}");
    Ok(())
}
