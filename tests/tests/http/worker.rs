//! The same through a whole worker: keys of a definition, secrets from a file, certificates of the worker.

use std::sync::Arc;

use anyhow::Result;
use sandbar::config::WorkerConfig;
use sandbar::control::ConnectorState;
use sandbar_abi::http;
use sandbar_abi::names;
use sandbar_abi::status::Returned;
use sandbar_tests::http_server::{Authority, HttpServer, Reply};
use sandbar_tests::in_process::{Worker, config};
use sandbar_tests::{logs, wat};

use crate::{CAP, OUT, asking, get};

/// A source that sends a request at each poll.
fn polling(url: &str) -> Result<wat::Guest> {
    let mut guest = asking();
    let message = http::encode(&get(url), &[])?;
    let Returned::Frame { ptr, len } = Returned::unpack(guest.data(&message)) else { return Ok(guest) };
    let args = format!("(i32.const {ptr}) (i32.const {len}) (i32.const {OUT}) (i32.const {CAP})");
    Ok(guest.with(names::POLL, &format!("(drop (call $http_send {args})) (i64.const 0)")))
}

#[tokio::test]
async fn a_definition_grants_hosts_and_adds_secrets() -> Result<()> {
    const SECRET: &str = "s3cret-of-the-worker-test";
    let authority = Authority::new()?;
    let server = HttpServer::start_tls(&authority, &["localhost"], |_| Reply::ok("")).await?;
    let folder = Arc::new(tempfile::tempdir()?);
    let (ca_file, secrets) = (folder.path().join("ca.pem"), folder.path().join("secrets"));
    std::fs::write(&ca_file, authority.pem())?;
    std::fs::write(&secrets, format!("token={SECRET}"))?;
    let worker = WorkerConfig { http_ca_file: Some(ca_file), ..config(folder.path()) };
    let mut worker = Worker::start_with(Arc::clone(&folder), worker).await?;
    worker.put("wat.wasm", &polling(&server.origin_as("localhost"))?.build()?)?;
    let keys = [
        ("connector.class", wat::NAME),
        ("connector.type", "source"),
        ("topic", "out"),
        ("sandbox.http.hosts", &server.origin_as("localhost")),
        ("sandbox.http.addresses", "127.0.0.0/8"),
        ("sandbox.http.inject", "login"),
        ("sandbox.http.inject.login.header", "authorization"),
        ("sandbox.http.inject.login.value", &format!("Bearer ${{file:{}:token}}", secrets.display())),
    ];
    worker.define("secretive", &keys)?;
    worker.wait("secretive", |connector| connector.state == ConnectorState::Running).await?;
    let asked = server.wait_asked(2).await?;
    assert_eq!(asked[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert!(logs::lines(&[SECRET]).is_empty());
    worker.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_ask_that_is_not_granted_keeps_a_connector_from_starting() -> Result<()> {
    let mut worker = Worker::start().await?;
    worker.put("wat.wasm", &polling("http://127.0.0.1")?.build()?)?;
    worker.define("ungranted", &[("connector.class", wat::NAME), ("connector.type", "source"), ("topic", "out")])?;
    let reason = worker.reason("ungranted", ConnectorState::Failed).await?;
    let expected = "sandbox.http.hosts: is required: plugin wat asks to send requests to hosts that it names";
    assert!(reason.contains(expected), "{reason}");
    worker.stop().await?;
    Ok(())
}
