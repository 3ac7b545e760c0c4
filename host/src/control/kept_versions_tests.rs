//! What is known of versions outlasts the host, and nothing else does.

use std::fs;

use tokio::time::Instant;

use super::super::test_plugins::{load, own};
use super::*;

fn quarantined(version: &str) -> Quarantined {
    Quarantined {
        plugin: "step".to_owned(),
        version: version.to_owned(),
        sha256: Digest::of(version.as_bytes()),
        reason: "it \"failed\"".to_owned(),
    }
}

/// These versions are in quarantine.
fn held(versions: &[&str]) -> Versions {
    Versions::with(&versions.iter().map(|version| quarantined(version)).collect::<Vec<_>>(), None)
}

fn open(data: &Path) -> io::Result<KeptVersions> {
    KeptVersions::open(data, load)
}

fn names(versions: &Versions) -> Vec<String> {
    versions.quarantined().map(|one| one.version.clone()).collect()
}

/// The version that ran well before.
fn before(versions: &Versions) -> Option<u64> {
    versions.fallback().map(|plugins| plugins.own.manifest().version.major)
}

/// How many plugins are kept.
fn files(data: &Path) -> usize {
    fs::read_dir(data.join(FOLDER)).map_or(0, Iterator::count)
}

#[tokio::test]
async fn what_is_in_quarantine_is_kept_until_it_is_not() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let mut kept = open(data.path())?;
    kept.note("orders", &held(&["2.0.0", "3.0.0"]));
    kept.note("audit", &held(&["2.0.0"]));
    kept.keep().await?;
    let mut again = open(data.path())?;
    assert_eq!(names(&again.of("orders")).len(), 2);
    again.note("orders", &held(&["3.0.0"]));
    again.note("audit", &Versions::default());
    again.keep().await?;
    let last = open(data.path())?;
    assert_eq!(names(&last.of("orders")), ["3.0.0"]);
    assert_eq!((names(&last.of("audit")).len(), last.connectors.len()), (0, 1));
    Ok(())
}

#[tokio::test]
async fn what_ran_well_is_kept_for_as_long_as_it_may_have_to_run_again() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let now = Instant::now();
    let mut versions = Versions::default();
    versions.take_over(&own(2), own(1), true, now);
    let mut kept = open(data.path())?;
    for connector in ["orders", "audit"] {
        kept.note(connector, &versions);
    }
    kept.keep().await?;
    assert_eq!(files(data.path()), 1);

    // In the next life of the host version 2 begins on probation again.
    let mut again = open(data.path())?;
    let mut versions = again.of("orders");
    assert_eq!(before(&versions), Some(1));
    versions.begin(&own(2), now);
    assert!(versions.on_probation(0, now));
    again.note("audit", &Versions::default());
    again.keep().await?;
    assert_eq!(files(data.path()), 1, "another connector needs it");
    // One that begins with what ran well has nothing to go back to.
    versions.begin(&own(1), now);
    again.note("orders", &versions);
    again.keep().await?;
    assert_eq!((files(data.path()), open(data.path())?.connectors.len()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_is_not_what_was_kept_is_left_out() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let mut versions = Versions::default();
    versions.take_over(&own(2), own(1), true, Instant::now());
    let mut kept = open(data.path())?;
    kept.note("orders", &versions);
    kept.keep().await?;
    let file = fs::read_dir(data.path().join(FOLDER))?.next().ok_or(io::ErrorKind::NotFound)??.path();
    let wasm = fs::read(&file)?;
    fs::write(&file, own(3).own.source.wasm.as_ref())?;
    assert_eq!(before(&open(data.path())?.of("orders")), None);
    fs::write(&file, &wasm)?;
    assert_eq!(before(&open(data.path())?.of("orders")), Some(1));
    fs::remove_file(&file)?;
    assert_eq!(before(&open(data.path())?.of("orders")), None);
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_may_not_be_loaded_is_kept_until_it_may() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let mut versions = held(&["2.0.0"]);
    versions.take_over(&own(2), own(1), true, Instant::now());
    let mut kept = open(data.path())?;
    kept.note("orders", &versions);
    kept.keep().await?;
    let refuse = |_: &FoundFile| Err(LoadError::Internal("not today".to_owned()));
    let mut refused = KeptVersions::open(data.path(), refuse)?;
    let versions = refused.of("orders");
    assert_eq!(before(&versions), None);
    refused.note("orders", &versions);
    refused.keep().await?;
    assert_eq!(before(&open(data.path())?.of("orders")), Some(1));
    // Once nothing is in quarantine nobody needs it.
    refused.note("orders", &Versions::default());
    refused.keep().await?;
    assert_eq!(files(data.path()), 0);
    Ok(())
}

#[tokio::test]
async fn without_room_for_plugins_the_quarantine_is_kept() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let mut versions = held(&["2.0.0"]);
    versions.take_over(&own(2), own(1), true, Instant::now());
    let mut kept = open(data.path())?;
    fs::write(data.path().join(FOLDER), "no folder")?;
    kept.note("orders", &versions);
    kept.keep().await.unwrap_err();
    assert_eq!(names(&open(data.path())?.of("orders")), ["2.0.0"]);
    fs::remove_file(data.path().join(FOLDER))?;
    kept.keep().await?;
    assert_eq!(before(&open(data.path())?.of("orders")), Some(1));
    Ok(())
}

#[tokio::test]
async fn nothing_new_is_not_written() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let mut kept = open(data.path())?;
    kept.note("orders", &held(&["2.0.0"]));
    kept.keep().await?;
    fs::remove_file(data.path().join(FILE))?;
    kept.note("orders", &held(&["2.0.0"]));
    kept.note("audit", &Versions::default());
    kept.keep().await?;
    assert!(!data.path().join(FILE).exists());
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_written_is_written_later() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let mut kept = open(data.path())?;
    fs::create_dir(data.path().join(FILE))?;
    kept.note("orders", &held(&["2.0.0"]));
    kept.keep().await.unwrap_err();
    fs::remove_dir(data.path().join(FILE))?;
    kept.keep().await?;
    assert_eq!(names(&open(data.path())?.of("orders")), ["2.0.0"]);
    Ok(())
}

#[test]
fn a_file_that_is_not_understood_is_named() -> io::Result<()> {
    let data = tempfile::tempdir()?;
    let bad = r#"{"orders":{"quarantined":[{"plugin":"a","version":"1.0.0","sha256":"12","reason":"no"}]}}"#;
    let short = r#"{"orders":{"before":[{}]}}"#;
    for (content, why) in [("{", "EOF"), (bad, "is not a sha256"), (short, "missing field `plugin`")] {
        fs::write(data.path().join(FILE), content)?;
        let error = open(data.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains(why), "{error}");
    }
    Ok(())
}
