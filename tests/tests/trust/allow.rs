//! The list of what may be loaded.

use anyhow::Result;
use sandbar::digest::Digest;
use sandbar::trust::Policy;
use sandbar_tests::logs;

use crate::{has_compiled, plugin, refuses, runs, still_runs, worker};

fn allowing(plugins: &[&[u8]]) -> Policy {
    Policy { allow: Some(plugins.iter().map(|wasm| Digest::of(wasm)).collect()), ..Policy::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_on_the_list_is_loaded_and_nothing_else_is_compiled() -> Result<()> {
    let (first, second, stranger) = (plugin("1.0.0", 0)?, plugin("1.1.0", 0)?, plugin("2.0.0", 0)?);
    let mut worker = worker(allowing(&[&first, &second])).await?;
    worker.put("guest.wasm", &first)?;
    runs(&mut worker, "1.0.0").await?;

    let file = worker.put("stranger.wasm", &stranger)?;
    let reason = format!("its sha256 {} is not in plugins.allow: add it there", Digest::of(&stranger));
    refuses(&mut worker, &file, &reason).await?;
    worker.remove("stranger.wasm")?;
    worker.status(|status| status.refused.is_empty()).await?;

    // In place of what runs: that stays, until something comes that is on the list.
    let file = worker.put("guest.wasm", &stranger)?;
    refuses(&mut worker, &file, "; the version loaded before stays in use").await?;
    still_runs(&mut worker, "1.0.0").await?;
    has_compiled(&worker, &[&first])?;
    worker.put("guest.wasm", &second)?;
    still_runs(&mut worker, "1.1.0").await?;
    worker.status(|status| status.refused.is_empty()).await?;
    has_compiled(&worker, &[&first, &second])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_on_the_list_is_not_looked_into() -> Result<()> {
    let mut worker = worker(allowing(&[])).await?;
    let file = worker.put("text.wasm", b"This is no plugin, and nobody shall find out.")?;
    refuses(&mut worker, &file, "is not in plugins.allow").await?;
    let told = logs::lines(&[file.to_str().unwrap_or_default(), "it looks like"]);
    assert!(told.is_empty(), "{told:?}");
    Ok(())
}
