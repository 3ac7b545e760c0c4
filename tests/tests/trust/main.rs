//! Which plugins a worker loads when it is told whom to trust: refused ones are not even compiled, what runs keeps running,
//! and what was missing may come later.

mod allow;
mod signatures;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use minisign::KeyPair;
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar::trust::{Policy, PublicKey};
use sandbar_abi::names;
use sandbar_tests::in_process::{Worker, config};
use sandbar_tests::logs;
use sandbar_tests::wat::Guest;
use tempfile::TempDir;

/// The connector that every test looks at.
const CONNECTOR: &str = "guest";

/// The policy that trusts one key.
fn trusting(pair: &KeyPair, require_signature: bool) -> Result<Policy> {
    let key = PublicKey::parse(&pair.pk.to_base64())?;
    Ok(Policy { allow: None, require_signature, keys: vec![key] })
}

fn keypair() -> Result<KeyPair> {
    Ok(KeyPair::generate_unencrypted_keypair()?)
}

/// A signature of these bytes, as its file has it.
fn sign(pair: &KeyPair, bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(minisign::sign(None, &pair.sk, bytes, Some("signed by a test"), None)?.to_bytes())
}

/// A sink in some version, whose code differs from that of others of its version where `code` does.
fn plugin(version: &str, code: i64) -> Result<Vec<u8>> {
    let guest = Guest::new().manifest("name", CONNECTOR).manifest("version", version);
    guest.with(names::CHECK, &format!("(drop (i64.const {code})) (i64.const 0)")).build()
}

/// A worker with a cache of its own, in which what was compiled can be seen.
async fn worker(trust: Policy) -> Result<Worker> {
    worker_in(Arc::new(tempfile::tempdir()?), trust).await
}

async fn worker_in(folder: Arc<TempDir>, trust: Policy) -> Result<Worker> {
    let mut config = config(folder.path());
    config.cache = cache(folder.path());
    config.trust = trust;
    Worker::start_with(folder, config).await
}

fn cache(folder: &Path) -> PathBuf {
    folder.join("cache")
}

/// Defines the connector, and waits until it runs by this version of the plugin.
async fn runs(worker: &mut Worker, version: &str) -> Result<()> {
    let config = [("connector.class", CONNECTOR), ("connector.type", "sink"), ("topics", "in")];
    worker.define(CONNECTOR, &config)?;
    still_runs(worker, version).await
}

async fn still_runs(worker: &mut Worker, version: &str) -> Result<()> {
    let is_so = |c: &ConnectorStatus| {
        c.state == ConnectorState::Running && c.plugin.as_ref().is_some_and(|(_, running)| running == version)
    };
    worker.wait(CONNECTOR, is_so).await.map(drop)
}

/// Waits until the log and the status say why a file is refused.
async fn refuses(worker: &mut Worker, file: &Path, reason: &str) -> Result<()> {
    let path = file.to_str().context("a path that is UTF-8")?;
    logs::line(&["WARN", path, "plugin refused: ", reason]).await?;
    let status =
        worker.status(|status| status.refused.iter().any(|r| r.file == file && r.reason.contains(reason))).await?;
    ensure!(status.refused.len() == 1, "{:?}", status.refused);
    Ok(())
}

/// The digests of what was compiled.
fn compiled(worker: &Worker) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(cache(worker.folder().path()))? {
        for entry in fs::read_dir(folder?.path())? {
            let name = entry?.file_name().into_string().ok().context("a name that is UTF-8")?;
            found.extend(name.strip_suffix(".cwasm").map(str::to_owned));
        }
    }
    Ok(found)
}

/// Makes sure that these modules were compiled, and no others.
fn has_compiled(worker: &Worker, modules: &[&[u8]]) -> Result<()> {
    let expected: BTreeSet<_> = modules.iter().map(|wasm| sandbar::digest::Digest::of(wasm).to_string()).collect();
    let found = compiled(worker)?;
    ensure!(found == expected, "compiled: {found:?}, expected {expected:?}");
    Ok(())
}
