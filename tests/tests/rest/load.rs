//! Many clients at once: none is answered an error. How fast they are answered is a benchmark's business.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use sandbar::control::ConnectorState;
use sandbar_tests::in_process::config;
use sandbar_tests::rest::Rest;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Served;

const CLIENTS: usize = 200;
/// How often each asks for everything.
const TIMES: usize = 2;
const CONNECTORS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_at_once_are_all_answered() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut settings = config(folder.path());
    // All of them have one address.
    settings.rest.rate_per_second = 0;
    let mut served = Served::start_with(folder, settings, &["datagen"]).await?;
    for number in 0..CONNECTORS {
        served.create(&name(number), &[("connector.class", "datagen"), ("topic", "clicks"), ("rate", "5")]).await?;
    }
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let rest = served.rest.clone();
        clients.spawn(async move {
            for _ in 0..TIMES {
                look(&rest, number).await.with_context(|| format!("client {number}"))?;
                // One in ten changes something as well.
                if number % 10 == 0 {
                    change(&rest, number).await.with_context(|| format!("client {number}"))?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    for number in 0..CONNECTORS {
        served.worker.wait(&name(number), |connector| connector.state == ConnectorState::Running).await?;
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("clicks-{}", number % CONNECTORS)
}

async fn look(rest: &Rest, number: usize) -> Result<()> {
    let one = format!("/connectors/{}", name(number));
    let status = format!("{one}/status");
    let all =
        ["/connectors", "/connectors?expand=status&expand=info", &one, &status, "/v1/status", "/metrics", "/health"];
    for path in all {
        let answer = rest.get(path).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    }
    Ok(())
}

async fn change(rest: &Rest, number: usize) -> Result<()> {
    let one = format!("/connectors/{}", name(number));
    let rate = (5 + number % 3).to_string();
    let config = json!({"connector.class": "datagen", "topic": "clicks", "rate": rate});
    for (path, body, status) in [("pause", None, 202), ("config", Some(&config), 200), ("resume", None, 202)] {
        let answer = rest.send(Method::PUT, &format!("{one}/{path}"), body).await?;
        ensure!(answer.status == status, "{path}: {} {}", answer.status, answer.text());
    }
    Ok(())
}
