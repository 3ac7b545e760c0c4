//! The REST interface: what it answers, and that it does what it says.

mod clients;
mod connectors;
mod contract;
mod letters;
mod lifecycle;
mod load;
mod monitoring;
mod moved;
mod observing;
mod offsets;
mod openapi;
mod plugins;
mod sharing;
mod stopping;
mod workers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::Method;
use sandbar::config::WorkerConfig;
use sandbar_tests::in_process::{Worker, config, example};
use sandbar_tests::rest::Rest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A worker on the embedded broker that answers on a port of its own, with plugins in its folder.
struct Served {
    worker: Worker,
    rest: Rest,
}

impl Served {
    async fn start(plugins: &[&str]) -> Result<Self> {
        Self::start_in(Arc::new(tempfile::tempdir()?), plugins).await
    }

    async fn start_in(folder: Arc<TempDir>, plugins: &[&str]) -> Result<Self> {
        let settings = config(folder.path());
        Self::start_with(folder, settings, plugins).await
    }

    async fn start_with(folder: Arc<TempDir>, mut settings: WorkerConfig, plugins: &[&str]) -> Result<Self> {
        settings.rest.listen = Some("127.0.0.1:0".to_owned());
        let worker = Worker::start_with(folder, settings).await?;
        let rest = Rest::at(&worker.address().context("it listens")?.to_string());
        let mut served = Self { worker, rest };
        for name in plugins {
            served.worker.put(&format!("{name}.wasm"), &example(name)?)?;
        }
        let count = plugins.len();
        served.worker.status(|status| status.ready && status.world.registry.iter().count() == count).await?;
        Ok(served)
    }

    /// A path below the worker's folder.
    fn path(&self, name: &str) -> PathBuf {
        self.worker.folder().path().join(name)
    }

    /// Creates a connector.
    async fn create(&self, name: &str, config: &[(&str, &str)]) -> Result<Value> {
        let body = json!({"name": name, "config": entries(config)});
        self.rest.send(Method::POST, "/connectors", Some(&body)).await?.expect(201)
    }

    /// A source that generates a number of records.
    async fn generate(&self, name: &str, topic: &str, count: u32) -> Result<Value> {
        let count = count.to_string();
        let config =
            [("connector.class", "datagen"), ("topic", topic), ("count", count.as_str()), ("template", "n {{seq}}")];
        self.create(name, &config).await
    }
}

fn entries(config: &[(&str, &str)]) -> BTreeMap<String, String> {
    config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
