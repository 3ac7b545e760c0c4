//! Files that are called plugins and are none, or none that can be used.

use std::fs::{self, File};

use anyhow::{Context as _, Result, ensure};
use sandbar::control::ConnectorState;
use sandbar::sandbox::{Cache, Compiled, Engine};
use sandbar_abi::names;
use sandbar_tests::in_process::example;
use sandbar_tests::logs;
use sandbar_tests::wat::Guest;

use crate::{says, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_no_plugins() -> Result<()> {
    let mut worker = worker().await?;
    let whole = example("faulty")?;
    for (name, content, words) in [
        ("empty.wasm", &b""[..], &["WARN", "plugin refused: the file is empty: was the copy interrupted?"][..]),
        ("truncated.wasm", &whole[..whole.len() / 2], &["WARN", "plugin refused: the file is truncated: ", " needs "]),
        ("header.wasm", b"\0asm\x01\0", &["plugin refused: the file is truncated: the header needs 8 bytes"]),
        (
            "component.wasm",
            b"\0asm\x0d\0\x01\0",
            &["plugin refused: the file is a WebAssembly component: ", "build for the target wasm32-wasip1"],
        ),
        ("text.wasm", b"This is no plugin.\n", &["plugin refused: the file is not WebAssembly: it looks like text"]),
        ("page.wasm", b"<!doctype html><h1>404</h1>", &["it looks like a web page or XML: did the download go wrong?"]),
        ("module.wasm", b"(module)", &["it looks like WebAssembly in text form: assemble it first"]),
        ("bare.wasm", b"\0asm\x01\0\0\0", &["custom section \"sandbar.manifest\" is missing: ", "sandbar embed"]),
    ] {
        let file = worker.put(name, content)?;
        says(&mut worker, &file, words).await.context(name)?;
    }
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_precompiled_artefact() -> Result<()> {
    let mut worker = worker().await?;
    // The cache holds a code of 32 bytes, then what the engine makes of a module.
    let place = tempfile::tempdir()?;
    let folder = place.path().join("cache");
    let engine = Engine::new()?;
    let cache = Cache::open(&engine, &folder, place.path(), u64::MAX)?;
    Compiled::new(&engine, &Guest::new().build()?, Some(&cache))?;
    let folder = fs::read_dir(folder)?.next().context("a folder")??.path();
    let entry = fs::read(fs::read_dir(folder)?.next().context("an entry")??.path())?;
    let artefact = entry.get(32..).context("an artefact")?;
    ensure!(artefact.starts_with(b"\x7fELF"));
    let file = worker.put("precompiled.wasm", artefact)?;
    says(&mut worker, &file, &["plugin refused: the file is a precompiled artefact: these are refused"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_200_megabytes() -> Result<()> {
    let mut worker = worker().await?;
    let plugins = worker.folder().path().join("plugins");
    let (scratch, file) = (plugins.join(".large.part"), plugins.join("large.wasm"));
    File::create(&scratch)?.set_len(200 << 20)?;
    fs::rename(scratch, &file)?;
    let words = ["cannot be used: the file has 209715200 bytes, a plugin may have 134217728"];
    says(&mut worker, &file, &words).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_that_break_the_contract_say_everything_at_once() -> Result<()> {
    let mut worker = worker().await?;
    let text =
        Guest::new().text().replace("\"sandbar_open\"", "\"sandbar_opened\"").replace("\"state_get\"", "\"state_got\"");
    let manifest = sandbar_abi::Manifest::from_json(br#"{"name":"odd","version":"1.0.0","kinds":["sink"],"abi":1}"#)?;
    let odd = sandbar::plugins::embed(&wat::parse_str(text)?, &manifest)?;
    let file = worker.put("odd.wasm", &odd)?;
    let line = says(&mut worker, &file, &["WARN", "plugin refused: "]).await?;
    for fault in [
        "import \"sandbar_v1\" \"state_got\": there is no such function in this version of the host",
        "export \"sandbar_open\" is missing: every plugin needs a function (i32, i32) -> i64",
    ] {
        ensure!(line.contains(fault), "{line:?} does not say {fault:?}");
    }
    let table = Guest::new().manifest("name", "table").field("(table 10000000 funcref)").build()?;
    let file = worker.put("table.wasm", &table)?;
    says(&mut worker, &file, &["WARN", "plugin refused: ", "table"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_a_broken_file_replaces_stays() -> Result<()> {
    let mut worker = worker().await?;
    let file = worker.put("faulty.wasm", b"oops")?;
    says(&mut worker, &file, &["it looks like text", "the version loaded before stays in use"]).await?;
    worker.remove("faulty.wasm")?;
    says(&mut worker, &file, &["plugin file removed; connectors that run it keep running"]).await?;
    Ok(())
}

/// A sink whose code differs from that of others of its name and version.
fn sink(name: &str, version: &str, code: i64) -> Result<Vec<u8>> {
    let guest = Guest::new().manifest("name", name).manifest("version", version);
    guest.with(names::CHECK, &format!("(i64.const {code})")).build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_with_the_same_plugin() -> Result<()> {
    let mut worker = worker().await?;
    let first = worker.put("first.wasm", &sink("twin", "1.0.0", 0)?)?;
    let path = first.to_str().context("UTF-8")?;
    logs::line(&[path, "plugin loaded"]).await?;
    let second = worker.put("second.wasm", &sink("twin", "1.0.0", -1)?)?;
    let words = format!("plugin refused: plugin twin 1.0.0 is already loaded from {path}; remove one of the two");
    says(&mut worker, &second, &["WARN", &words]).await?;

    // The way out that the message names is one.
    worker.remove("first.wasm")?;
    let loaded = ["plugin loaded", "second.wasm", worker.folder().path().to_str().context("UTF-8")?];
    logs::line(&loaded).await?;
    worker.define("twin", &[("connector.class", "twin"), ("connector.type", "sink"), ("topics", "in")])?;
    worker.wait("twin", |c| c.state == ConnectorState::Running).await?;
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_of_a_plugin_are_no_conflict() -> Result<()> {
    let mut worker = worker().await?;
    for (file, version) in [("one.wasm", "1.0.0"), ("two.wasm", "1.1.0")] {
        worker.put(file, &sink("versions", version, 0)?)?;
    }
    let config = [("connector.class", "versions"), ("connector.type", "sink"), ("topics", "in")];
    worker.define("newest", &config)?;
    let newest = |c: &sandbar::control::ConnectorStatus| {
        c.state == ConnectorState::Running && c.plugin.as_ref().is_some_and(|(_, version)| version == "1.1.0")
    };
    worker.wait("newest", newest).await?;
    worker.probe().await
}
