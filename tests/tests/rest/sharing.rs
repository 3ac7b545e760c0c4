//! Plugins of a worker group: what is dropped at one worker comes to all, what is taken away goes everywhere.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use sandbar::config::WorkerConfig;
use sandbar_tests::in_process::Worker;
use sandbar_tests::kafka_or_skip;
use sandbar_tests::plugins::variant;
use sandbar_tests::rest::Rest;
use sandbar_tests::wait::{self, Seen};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::workers::{settings, until};

/// A worker, and the folder it keeps when it starts again.
struct Member {
    folder: Arc<TempDir>,
    settings: WorkerConfig,
    worker: Worker,
    rest: Rest,
}

impl Member {
    async fn start(bootstrap: &str, group: &str) -> Result<Self> {
        let folder = Arc::new(tempfile::tempdir()?);
        let settings = settings(folder.path(), bootstrap, group, &format!("{group}-offsets"))?;
        Self::start_with(folder, settings).await
    }

    async fn start_with(folder: Arc<TempDir>, settings: WorkerConfig) -> Result<Self> {
        let worker = Worker::start_with(Arc::clone(&folder), settings.clone()).await?;
        let rest = Rest::at(&worker.address().context("it listens")?.to_string());
        until(&rest, "/health", "it is in its group", |health| health["status"] == "healthy").await?;
        Ok(Self { folder, settings, worker, rest })
    }

    /// Stops it, and returns what it takes to start it again.
    async fn stop(self) -> Result<(Arc<TempDir>, WorkerConfig)> {
        self.worker.stop().await?;
        Ok((self.folder, self.settings))
    }

    fn plugins(&self) -> &Path {
        &self.settings.plugins
    }

    /// Waits until it has these versions of a plugin, the newest first.
    async fn has(&self, plugin: &str, versions: &[&str]) -> Result<()> {
        let is_so = |all: &Value| {
            let found = all["plugins"].as_array().into_iter().flatten().find(|known| known["name"] == plugin);
            let found = found.and_then(|found| found["versions"].as_array()).cloned().unwrap_or_default();
            found.iter().map(|version| version["version"].as_str().unwrap_or_default()).eq(versions.iter().copied())
        };
        until(&self.rest, "/v1/plugins", &format!("{plugin} is there as {versions:?}"), is_so).await.map(drop)
    }

    /// Waits until its folder holds so many files.
    async fn has_files(&self, count: usize) -> Result<()> {
        wait::until("files are in the folder", wait::WITHIN, async || {
            let files = self.files()?;
            Ok(if files.len() == count { Seen::Done(()) } else { Seen::NotYet(files.join(", ")) })
        })
        .await
    }

    /// Which bytes it has of a version.
    async fn sha256(&self, plugin: &str, version: &str) -> Result<Value> {
        let all = self.rest.get("/v1/plugins").await?.expect(200)?;
        let found = all["plugins"].as_array().into_iter().flatten().find(|known| known["name"] == plugin);
        let versions = found.and_then(|found| found["versions"].as_array()).into_iter().flatten();
        let found = versions.into_iter().find(|known| known["version"] == version);
        Ok(found.map_or(Value::Null, |found| found["sha256"].clone()))
    }

    fn files(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.plugins())? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

fn version(version: &str) -> Result<Vec<u8>> {
    variant("word-count", |manifest| manifest["version"] = json!(version))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_on_one_is_a_drop_on_all() -> Result<()> {
    let bootstrap = kafka_or_skip!(Ok(()));
    let group = format!("sharing-{}", std::process::id());
    let first = Member::start(&bootstrap, &group).await?;
    let second = Member::start(&bootstrap, &group).await?;
    first.worker.put("loud.wasm", &version("1.0.0")?)?;
    for member in [&first, &second] {
        member.has("word-count", &["1.0.0"]).await?;
        ensure!(member.files()? == ["loud.wasm"], "under the same name");
    }

    // What is uploaded to the other one comes back, and runs.
    let (topic, out) = (format!("{group}-in"), format!("{group}-out"));
    let config = json!({"connector.class": "word-count", "topics": topic, "topic": out, "tasks.max": "4"});
    let body = json!({"name": "counts", "config": config});
    first.rest.send(Method::POST, "/connectors", Some(&body)).await?.expect(201)?;
    let upload = Some((Bytes::from(version("1.1.0")?), "application/wasm"));
    second.rest.send_bytes(Method::POST, "/v1/plugins", upload).await?.expect(201)?;
    for member in [&first, &second] {
        member.has("word-count", &["1.1.0", "1.0.0"]).await?;
    }
    let runs = |status: &Value| {
        let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
        tasks.len() == 4 && tasks.iter().all(|task| task["state"] == "RUNNING" && task["version"] == "1.1.0")
    };
    until(&first.rest, "/connectors/counts/status", "the new version runs", runs).await?;

    // A new worker has all of it.
    let third = Member::start(&bootstrap, &group).await?;
    third.has("word-count", &["1.1.0", "1.0.0"]).await?;

    // What is deleted at one goes at all, also at one that is down by then.
    let (folder, settings) = third.stop().await?;
    let path = "/v1/plugins/word-count/versions/1.0.0";
    ensure!(first.rest.send(Method::DELETE, path, None).await?.status == 204);
    for member in [&first, &second] {
        member.has("word-count", &["1.1.0"]).await?;
        ensure!(member.files()? == ["word-count-1.1.0.wasm"], "{:?}", member.files()?);
    }
    let third = Member::start_with(folder, settings).await?;
    third.has("word-count", &["1.1.0"]).await?;
    ensure!(third.files()? == ["word-count-1.1.0.wasm"], "{:?}", third.files()?);

    // Another version in the file of one that was there takes its place everywhere.
    first.worker.put("word-count-1.1.0.wasm", &version("1.2.0")?)?;
    for member in [&first, &second, &third] {
        member.has("word-count", &["1.2.0"]).await?;
        ensure!(member.files()?.len() == 1, "{:?}", member.files()?);
    }

    // A folder that is empty takes nothing away, and is filled again.
    for file in second.files()? {
        second.worker.remove(&file)?;
    }
    second.has_files(1).await?;
    second.has("word-count", &["1.2.0"]).await?;
    first.has("word-count", &["1.2.0"]).await?;
    for member in [first, second, third] {
        member.stop().await?;
    }
    Ok(())
}

/// Nothing else happens in between that would have workers look once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_followed_by_itself() -> Result<()> {
    let bootstrap = kafka_or_skip!(Ok(()));
    let group = format!("sharing-each-{}", std::process::id());
    let folder = Arc::new(tempfile::tempdir()?);
    let settings = settings(folder.path(), &bootstrap, &group, &format!("{group}-offsets"))?;
    std::fs::create_dir_all(&settings.plugins)?;
    std::fs::write(settings.plugins.join("loud.wasm"), version("1.0.0")?)?;
    let first = Member::start_with(folder, settings).await?;
    let second = Member::start(&bootstrap, &group).await?;
    second.has("word-count", &["1.0.0"]).await?;

    // What is taken away right after it came goes, too.
    first.worker.put("more.wasm", &version("1.1.0")?)?;
    second.has("word-count", &["1.1.0", "1.0.0"]).await?;
    first.worker.remove("more.wasm")?;
    for member in [&first, &second] {
        member.has("word-count", &["1.0.0"]).await?;
    }

    // Under another name it is the same plugin.
    std::fs::rename(first.plugins().join("loud.wasm"), first.plugins().join("louder.wasm"))?;
    first.worker.put("less.wasm", &version("0.9.0")?)?;
    for member in [&first, &second] {
        member.has("word-count", &["1.0.0", "0.9.0"]).await?;
    }
    ensure!(first.files()? == ["less.wasm", "louder.wasm"], "{:?}", first.files()?);
    ensure!(second.files()? == ["less.wasm", "loud.wasm"], "{:?}", second.files()?);

    // By a command the last one goes, too, and stays when it comes again.
    for version in ["0.9.0", "1.0.0"] {
        let path = format!("/v1/plugins/word-count/versions/{version}");
        ensure!(second.rest.send(Method::DELETE, &path, None).await?.status == 204);
    }
    for member in [&first, &second] {
        member.has("word-count", &[]).await?;
        member.has_files(0).await?;
    }
    first.worker.put("loud.wasm", &version("1.0.0")?)?;
    for member in [&first, &second] {
        member.has("word-count", &["1.0.0"]).await?;
    }

    // Of two that are dropped at the same time all end up with the same one.
    let other = |text: &str| {
        variant("word-count", |manifest| {
            manifest["version"] = json!("2.0.0");
            manifest["description"] = json!(text);
        })
    };
    first.worker.put("two.wasm", &other("the one")?)?;
    second.worker.put("two.wasm", &other("the other")?)?;
    wait::until("both have the same", wait::WITHIN, async || {
        let (one, other) = (first.sha256("word-count", "2.0.0").await?, second.sha256("word-count", "2.0.0").await?);
        let is_same = one == other && !one.is_null();
        Ok(if is_same { Seen::Done(()) } else { Seen::NotYet(format!("{one} and {other}")) })
    })
    .await?;
    first.stop().await?;
    second.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_worker_judges_for_itself() -> Result<()> {
    let bootstrap = kafka_or_skip!(Ok(()));
    let group = format!("sharing-trust-{}", std::process::id());
    let first = Member::start(&bootstrap, &group).await?;
    let folder = Arc::new(tempfile::tempdir()?);
    let mut strict = settings(folder.path(), &bootstrap, &group, &format!("{group}-offsets"))?;
    strict.trust.require_signature = true;
    let second = Member::start_with(folder, strict).await?;
    first.worker.put("loud.wasm", &version("1.0.0")?)?;
    let is_refused = |all: &Value| {
        let refused = all["refused"].as_array().cloned().unwrap_or_default();
        refused.iter().any(|one| one["file"].as_str().is_some_and(|file| file.ends_with("loud.wasm")))
    };
    until(&second.rest, "/v1/plugins", "it is refused", is_refused).await?;
    first.has("word-count", &["1.0.0"]).await?;

    // It is not told to the group that the second one cannot use it; a file that stands in the way stays as it is.
    first.worker.put("more.wasm", &version("1.1.0")?)?;
    first.has("word-count", &["1.1.0", "1.0.0"]).await?;
    first.worker.remove("loud.wasm")?;
    until(&second.rest, "/v1/plugins", "it went", |all| !is_refused(all)).await?;
    first.has("word-count", &["1.1.0"]).await?;
    first.stop().await?;
    second.stop().await?;
    Ok(())
}
