//! The host that the tests of the page look at, and the things in it that they name.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::Method;
use sandbar::control::ConnectorState;
use sandbar_tests::in_process::{Worker, config, example};
use sandbar_tests::plugins;
use sandbar_tests::rest::Rest;
use serde_json::json;

/// A running host, and what in it the tests act on. It ends when this is dropped.
pub(crate) struct Page {
    /// Where the page is: `http://127.0.0.1:8083/ui`.
    pub url: String,
    /// A connector that runs and moves records without end, a few of them each second at least.
    pub running: String,
    /// A connector that was paused before, to tell its state from that of the others.
    pub paused: String,
    /// A connector with a dead letter queue, in which three letters or more lie that nobody has handled.
    pub letters: String,
    /// The plugin that `running` uses: its name and its version, which nobody has promoted.
    pub plugin: (String, String),
    /// A plugin that the host does not have yet: its file, its name and its version.
    pub upload: (PathBuf, String, String),
    _worker: Worker,
}

/// Starts a host that serves the page without asking for credentials, and waits until it is as [`Page`] describes it.
pub(crate) async fn host() -> Result<Page> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut settings = config(folder.path());
    settings.rest.listen = Some("127.0.0.1:0".to_owned());
    let mut worker = Worker::start_with(folder, settings).await?;
    let address = worker.address().context("it listens")?.to_string();
    for plugin in ["datagen", "json_transform"] {
        worker.put(&format!("{plugin}.wasm"), &example(plugin)?)?;
    }
    let known = worker.status(|status| status.world.registry.iter().count() == 2).await?;
    let version = |name: &str| known.world.find(name, None).map(|plugin| plugin.manifest().version.to_string());
    let datagen = version("datagen").context("datagen is there")?;

    worker.write("orders", &["no json", "{\"a\": 1}", "nor this", "nor that"]).await?;
    let rest = Rest::at(&address);
    let generate = |topic: &str| json!({"connector.class": "datagen", "topic": topic, "rate": "50"});
    let clean = json!({
        "connector.class": "json-transform", "topics": "orders", "topic": "clean",
        "operations": "[{\"op\": \"rename\", \"from\": \"a\", \"to\": \"b\"}]",
        "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "orders-dlq",
        "errors.deadletterqueue.context.headers.enable": "true",
    });
    for (name, config, state) in [
        ("clicks", generate("clicks"), "RUNNING"),
        ("audit", generate("audit"), "PAUSED"),
        ("clean-orders", clean, "RUNNING"),
    ] {
        let body = json!({"name": name, "config": config, "initial_state": state});
        rest.send(Method::POST, "/connectors", Some(&body)).await?.expect(201)?;
    }
    worker.wait("audit", |audit| audit.state == ConnectorState::Paused).await?;
    worker.wait("clicks", |clicks| clicks.totals().commits > 0).await?;
    worker.wait("clean-orders", |clean| clean.totals().dead_letters == 3 && clean.totals().commits > 0).await?;
    Ok(Page {
        url: format!("http://{address}/ui"),
        running: "clicks".to_owned(),
        paused: "audit".to_owned(),
        letters: "clean-orders".to_owned(),
        plugin: ("datagen".to_owned(), datagen),
        upload: (plugins::path("shout")?, "shout".to_owned(), "0.1.0".to_owned()),
        _worker: worker,
    })
}
