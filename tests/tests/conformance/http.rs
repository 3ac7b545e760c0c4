//! Plugins that send requests pass, with a server to send them to.

use anyhow::{Result, ensure};
use sandbar_tests::http_server::{Asked, HttpServer, Reply};
use serde_json::{Value, json};

use crate::examples::passes;

/// The configuration, and what grants the server.
fn reaching(server: &HttpServer, mut config: Value) -> Value {
    config["sandbox.http.hosts"] = server.origin().into();
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_passes() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("taken")).await?;
    let kept = ["R11", "R12", "R13", "R14", "R19", "R21", "R55", "R57", "R70", "R71", "R72"];
    let config = reaching(&server, json!({"url": server.url("/hook")}));
    tokio::task::spawn_blocking(move || passes("http-sink", &config, &kept, &[])).await??;
    let asked = server.asked().len();
    ensure!(asked > 1_000, "{asked} requests");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_passes() -> Result<()> {
    let server =
        HttpServer::start(|asked: &Asked| Reply::json(&json!([{ "id": asked.number }, { "id": asked.number + 1 }])))
            .await?;
    let kept = ["R11", "R12", "R13", "R14", "R15", "R16", "R37", "R55", "R57", "R71"];
    let config = json!({"url": server.url("/"), "cursor.record.pointer": "/id", "cursor.param": "since",
        "interval.ms": 1});
    let config = reaching(&server, config);
    tokio::task::spawn_blocking(move || passes("http-source", &config, &kept, &[])).await??;
    let asked = server.asked().len();
    ensure!(asked > 100, "{asked} requests");
    Ok(())
}
