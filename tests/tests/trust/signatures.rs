//! Signatures that are missing, wrong, right, late, old and gone.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sandbar::trust::Policy;
use sandbar_tests::logs;

use crate::{has_compiled, keypair, plugin, refuses, runs, sign, still_runs, trusting, worker, worker_in};

const SIGNATURE: &str = "guest.wasm.minisig";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_may_come_after_its_plugin_and_be_put_right() -> Result<()> {
    let (ours, theirs) = (keypair()?, keypair()?);
    let wasm = plugin("1.0.0", 0)?;
    let mut worker = worker(trusting(&ours, true)?).await?;
    let file = worker.put("guest.wasm", &wasm)?;
    refuses(&mut worker, &file, "it has no signature, and plugins.require.signature is true").await?;
    worker.put(SIGNATURE, b"later")?;
    refuses(&mut worker, &file, "is not a signature by minisign (it has no second line)").await?;
    worker.put(SIGNATURE, &sign(&theirs, &wasm)?)?;
    refuses(&mut worker, &file, "which is not in plugins.signature.keys").await?;
    worker.put(SIGNATURE, &sign(&ours, &plugin("1.0.0", 1)?)?)?;
    refuses(&mut worker, &file, "is wrong: the file or the .minisig was changed").await?;
    has_compiled(&worker, &[])?;

    worker.put(SIGNATURE, &sign(&ours, &wasm)?)?;
    runs(&mut worker, "1.0.0").await?;
    worker.status(|status| status.refused.is_empty()).await?;
    let line = logs::line(&[file.to_str().context("UTF-8")?, "plugin loaded"]).await?;
    ensure!(line.contains("signed_by=") && line.contains("signed by a test"), "{line}");
    has_compiled(&worker, &[&wasm])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_may_come_after_its_signature() -> Result<()> {
    let pair = keypair()?;
    let wasm = plugin("1.0.0", 0)?;
    let mut worker = worker(trusting(&pair, true)?).await?;
    worker.put(SIGNATURE, &sign(&pair, &wasm)?)?;
    let file = worker.put("guest.wasm", &wasm)?;
    runs(&mut worker, "1.0.0").await?;
    ensure!(logs::lines(&[file.to_str().context("UTF-8")?, "refused"]).is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_runs_once_its_own_signature_is_there() -> Result<()> {
    let pair = keypair()?;
    let (first, second) = (plugin("1.0.0", 0)?, plugin("1.1.0", 0)?);
    let mut worker = worker(trusting(&pair, true)?).await?;
    worker.put(SIGNATURE, &sign(&pair, &first)?)?;
    worker.put("guest.wasm", &first)?;
    runs(&mut worker, "1.0.0").await?;

    let file = worker.put("guest.wasm", &second)?;
    refuses(&mut worker, &file, "is wrong: the file or the .minisig was changed").await?;
    still_runs(&mut worker, "1.0.0").await?;
    has_compiled(&worker, &[&first])?;
    worker.put(SIGNATURE, &sign(&pair, &second)?)?;
    still_runs(&mut worker, "1.1.0").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_signature_a_plugin_runs_on_but_is_not_loaded_again() -> Result<()> {
    let pair = keypair()?;
    let wasm = plugin("1.0.0", 0)?;
    let folder = Arc::new(tempfile::tempdir()?);
    let mut worker = worker_in(Arc::clone(&folder), trusting(&pair, true)?).await?;
    worker.put(SIGNATURE, &sign(&pair, &wasm)?)?;
    let file = worker.put("guest.wasm", &wasm)?;
    runs(&mut worker, "1.0.0").await?;
    worker.remove(SIGNATURE)?;
    refuses(&mut worker, &file, "stays in use").await?;
    still_runs(&mut worker, "1.0.0").await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");

    // The cache holds its code, and that makes no difference.
    let mut worker = worker_in(folder, trusting(&pair, true)?).await?;
    refuses(&mut worker, &file, "it has no signature").await?;
    let waits = worker.wait("guest", |c| c.reason.is_some()).await?;
    ensure!(waits.reason.as_deref() == Some("waiting for plugin guest"), "{:?}", waits.reason);
    worker.put(SIGNATURE, &sign(&pair, &wasm)?)?;
    still_runs(&mut worker, "1.0.0").await?;
    let line = logs::line(&[file.to_str().context("UTF-8")?, "plugin loaded", "from_cache=true"]).await;
    line.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_none_is_required_a_wrong_one_is_refused_all_the_same() -> Result<()> {
    let (ours, theirs) = (keypair()?, keypair()?);
    let wasm = plugin("1.0.0", 0)?;
    let mut worker = worker(trusting(&ours, false)?).await?;
    worker.put(SIGNATURE, &sign(&theirs, &wasm)?)?;
    let file = worker.put("guest.wasm", &wasm)?;
    refuses(&mut worker, &file, "which is not in plugins.signature.keys").await?;
    worker.put(SIGNATURE, &sign(&ours, b"something else")?)?;
    refuses(&mut worker, &file, "is wrong").await?;
    has_compiled(&worker, &[])?;
    // The operator's way out: it is as if nobody had signed it.
    worker.remove(SIGNATURE)?;
    runs(&mut worker, "1.0.0").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_comes_for_what_runs_disturbs_nothing() -> Result<()> {
    let pair = keypair()?;
    let wasm = plugin("1.0.0", 0)?;
    let mut worker = worker(trusting(&pair, false)?).await?;
    let file = worker.put("guest.wasm", &wasm)?;
    runs(&mut worker, "1.0.0").await?;
    worker.put(SIGNATURE, &sign(&pair, &wasm)?)?;
    logs::line(&[file.to_str().context("UTF-8")?, "plugin loaded", "signed_by="]).await?;
    let connector = worker.wait("guest", |c| !c.tasks.is_empty()).await?;
    ensure!(connector.totals().instances == 1, "it was started again: {connector:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_keys_loads_what_is_signed_and_says_that_nobody_checked() -> Result<()> {
    let pair = keypair()?;
    let wasm = plugin("1.0.0", 0)?;
    let mut worker = worker(Policy::default()).await?;
    worker.put(SIGNATURE, &sign(&pair, &wasm)?)?;
    let file = worker.put("guest.wasm", &wasm)?;
    runs(&mut worker, "1.0.0").await?;
    logs::line(&[file.to_str().context("UTF-8")?, "plugin loaded", "not verified"]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_cannot_be_looked_at_keeps_its_plugin_out() -> Result<()> {
    let pair = keypair()?;
    let wasm = plugin("1.0.0", 0)?;
    let mut worker = worker(trusting(&pair, false)?).await?;
    worker.put(SIGNATURE, &vec![b'x'; 1 << 20])?;
    let file = worker.put("guest.wasm", &wasm)?;
    let words = [file.to_str().context("UTF-8")?, "cannot be used: its signature ", "a signature may have 16384"];
    logs::line(&words).await?;
    worker.status(|status| status.refused.iter().any(|refused| refused.file == file)).await?;
    has_compiled(&worker, &[])?;
    fs::remove_file(worker.folder().path().join("plugins").join(SIGNATURE))?;
    runs(&mut worker, "1.0.0").await
}
