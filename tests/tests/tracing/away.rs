//! A collector that is away, or refuses, costs spans and nothing else; what lets the host in there is shown nowhere.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use sandbar::control::ConnectorState;
use sandbar_tests::http_server::{HttpServer, Reply};
use sandbar_tests::logs;
use sandbar_tests::wait::{Seen, WITHIN, until};
use tokio::net::TcpSocket;

use crate::Traced;

const SOURCE: [(&str, &str); 5] = [
    ("connector.class", "datagen"),
    ("topic", "numbers"),
    ("count", "2000"),
    ("rate", "100000"),
    ("template", "n {{seq}}"),
];

/// Waits until spans were dropped.
async fn dropped(traced: &Traced) -> Result<()> {
    until("spans are dropped", WITHIN, async || {
        let dropped = traced.counter("sandbar_spans_dropped_total").await?;
        Ok(Seen::when(dropped > 0, || "none".to_owned()))
    })
    .await
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_record() -> Result<()> {
    // A port that is held, and that nobody listens on.
    let held = TcpSocket::new_v4()?;
    held.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let origin = format!("http://{}", held.local_addr()?);
    let mut traced = Traced::start(&format!("endpoint = \"{origin}\""), &["datagen"]).await?;
    let mut source = SOURCE;
    source[1].1 = "away";
    traced.worker.define("away", &source)?;
    traced.worker.wait("away", |source| source.state == ConnectorState::Completed).await?;
    traced.worker.read("away", 2000).await?;
    dropped(&traced).await?;
    ensure!(traced.counter("sandbar_spans_exported_total").await? == 0);
    let told = logs::line(&["spans are dropped", &origin]).await?;
    ensure!(told.contains("records are not affected"), "{told}");
    ensure!(traced.worker.stop().await?);
    let all = logs::lines(&["spans are dropped", &origin]);
    ensure!(all.len() == 1, "{all:?}");
    Ok(())
}

#[tokio::test]
async fn the_secret_of_a_header_is_sent_and_shown_nowhere() -> Result<()> {
    const SECRET: &str = "c2VjcmV0LW9mLWEtY29sbGVjdG9y";
    // It refuses, so that everything there is to be told is told.
    let server = HttpServer::start(|_| Reply::status(401)).await?;
    let secrets = tempfile::tempdir()?;
    let file = secrets.path().join("collector.properties");
    std::fs::write(&file, format!("key={SECRET}\n"))?;
    let tracing = format!(
        "endpoint = \"{}\"\nheaders.authorization = \"Basic ${{file:{}:key}}\"",
        server.origin(),
        file.display()
    );
    let mut traced = Traced::start(&tracing, &["datagen"]).await?;
    traced.worker.define("source", &SOURCE)?;
    traced.worker.wait("source", |source| source.state == ConnectorState::Completed).await?;
    let asked = server.wait_asked(1).await?;
    ensure!(asked[0].header("authorization") == Some(&format!("Basic {SECRET}")), "{asked:?}");
    dropped(&traced).await?;
    logs::line(&["spans are dropped", &server.origin(), "401"]).await?;
    for path in ["/metrics", "/v1/status", "/connectors/source/status", "/"] {
        let answer = traced.rest.get(path).await?.text();
        ensure!(!answer.contains(SECRET), "{path}: {answer}");
    }
    ensure!(traced.worker.stop().await?);
    ensure!(logs::lines(&[SECRET]).is_empty(), "{:?}", logs::lines(&[SECRET]));
    Ok(())
}
