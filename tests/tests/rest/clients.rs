//! Clients that others wrote for Kafka Connect, unmodified.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use sandbar_tests::kafka;
use serde_json::json;
use tokio::process::Command;

use crate::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_python() -> Result<()> {
    passes("python").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_java() -> Result<()> {
    passes("java").await
}

/// Has a client create a connector and go through all it can do.
async fn passes(client: &str) -> Result<()> {
    if !is_there(client)? {
        return Ok(());
    }
    let served = Served::start(&["datagen"]).await?;
    let config = json!({"connector.class": "datagen", "topic": "clicks", "rate": "10"});
    let file = served.path("connector.json");
    std::fs::write(&file, json!({"name": "clicks", "config": config}).to_string())?;
    let url = format!("http://{}", served.rest.address());
    run(client, &[&url, &file.display().to_string(), "rate=20", "topic"]).await
}

/// Whether a client can be run. Where it has to be there, it is an error if it is not.
pub(crate) fn is_there(client: &str) -> Result<bool> {
    if root().join(".kafka/clients/requirements.txt").exists() {
        return Ok(true);
    }
    ensure!(std::env::var(kafka::REQUIRE_VARIABLE).as_deref() != Ok("1"), "there are no clients");
    // Nobody to tell is no failure.
    let _ = writeln!(std::io::stderr(), "not run: the client {client} (scripts/clients.sh fetch gets it)");
    Ok(false)
}

/// Runs a client, which says what is wrong.
pub(crate) async fn run(client: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(root().join("scripts/clients.sh"));
    command.args(["run", client]).args(arguments).current_dir(root()).kill_on_drop(true);
    let out = command.output().await?;
    let told = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{told}");
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
