//! Definitions that cannot be read, cannot be meant, or ask for what is not there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, Result, ensure};
use sandbar::control::ConnectorState;
use sandbar_tests::{in_process, logs, plugins};

use crate::{is_root, says, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_are_no_definitions() -> Result<()> {
    let mut worker = worker().await?;
    for (name, content, words) in [
        (
            "broken.json",
            &b"{\n  \"name\": \"a\",\n  \"config\": {,}\n}"[..],
            &["WARN", "definition refused: ", "broken.json:3:14: "][..],
        ),
        ("broken.toml", b"name = \"a\"\n[config\n", &["definition refused: ", "broken.toml:2:"]),
        ("empty.json", b"", &["definition refused: ", "empty.json:1:1: "]),
        ("list.json", b"[]", &["definition refused: ", "must be an object with \"name\" and \"config\", not "]),
        ("latin.json", b"{\"name\": \"caf\xe9\"}", &["definition refused: ", "UTF-8"]),
        ("nameless.json", b"{\"config\": {}}", &["definition refused: ", "nameless.json: name: is required"]),
        (
            "misspelt.json",
            b"{\"name\": \"a\",\n \"confg\": {}}",
            &["misspelt.json:2:2: confg: is not known beside \"name\" and \"config\", did you mean \"config\"?"],
        ),
        (
            "typed.json",
            b"{\"name\": 7, \"config\": {}}",
            &["definition refused: ", "typed.json:1:2: name: must be a string, not "],
        ),
    ] {
        let file = worker.put(name, content)?;
        says(&mut worker, &file, words).await.context(name)?;
    }
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_that_cannot_be_meant() -> Result<()> {
    let mut worker = worker().await?;
    let sink = [("connector.class", "faulty"), ("connector.type", "sink"), ("topics", "in")];
    for (name, more, fault) in [
        ("unknown-key", ("mod", "trap"), "mod: is known neither to the host nor to the plugin, did you mean \"mode\"?"),
        ("wrong-value", ("mode", "explode"), "mode: "),
        ("wrong-type", ("count", "many"), "count: "),
        ("wrong-number", ("tasks.max", "-1"), "tasks.max: must be a whole number"),
        ("wrong-flag", ("errors.tolerance", "some"), "errors.tolerance: must be one of none, all"),
        ("above-limit", ("sandbox.call.timeout.ms", "60000"), "sandbox.call.timeout.ms: is more than the 10000"),
        ("no-such-secret", ("message", "${env:SANDBAR_TEST_NO_SUCH_VARIABLE}"), "SANDBAR_TEST_NO_SUCH_VARIABLE"),
    ] {
        let config: Vec<_> = sink.into_iter().chain([more]).collect();
        worker.define(name, &config)?;
        let reason = worker.reason(name, ConnectorState::Failed).await.context(name)?;
        ensure!(reason.contains(fault), "{name}: {reason:?} does not say {fault:?}");
        logs::line(&["WARN", &format!("connector={name}"), fault]).await?;
        worker.probe().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_once_that_the_plugin_does_not_declare() -> Result<()> {
    let mut worker = worker().await?;
    let config = [
        ("connector.class", "faulty"),
        ("connector.type", "sink"),
        ("topics", "in"),
        ("exactly.once.support", "required"),
    ];
    let file = worker.define("strict", &config)?;
    let reason = worker.reason("strict", ConnectorState::Failed).await?;
    let expected = format!(
        "{}:5:5: exactly.once.support: plugin faulty 0.1.0 does not declare that it can be exactly once as a sink: \
         neither \"exactly_once\" nor \"idempotent_write\" is true in its manifest; use one that does, or \
         \"requested\"",
        file.display()
    );
    ensure!(reason == expected, "{reason}");
    worker.probe().await?;
    let declares = plugins::variant("faulty", |manifest| {
        manifest["version"] = "0.2.0".into();
        manifest["exactly_once"] = true.into();
    })?;
    worker.put("faulty-2.wasm", &declares)?;
    worker.wait("strict", |strict| strict.state == ConnectorState::Running && strict.reason.is_none()).await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_definition_is_told_at_once() -> Result<()> {
    let mut worker = worker().await?;
    let config = [("connector.class", "faulty"), ("connector.type", "sink"), ("tasks.max", "x"), ("mod", "trap")];
    worker.define("many-faults", &config)?;
    let reason = worker.reason("many-faults", ConnectorState::Failed).await?;
    for fault in [
        "topics",
        "tasks.max: must be a whole number",
        "mod: is known neither to the host nor to the plugin, did you mean \"mode\"?",
    ] {
        ensure!(reason.contains(fault), "{reason:?} does not say {fault:?}");
    }
    // Where in the file each of them is.
    ensure!(reason.contains("many-faults.json:") && reason.contains(":5:5: mod: "), "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_not_there_is_waited_for() -> Result<()> {
    let mut worker = worker().await?;
    let config = [("connector.class", "later"), ("connector.type", "sink"), ("topics", "in")];
    worker.define("early", &config)?;
    let reason = worker.reason("early", ConnectorState::Unassigned).await?;
    ensure!(reason == "waiting for plugin later", "{reason}");
    logs::line(&["connector=early", "waiting for plugin later"]).await?;
    worker.probe().await?;
    worker.put("later.wasm", &sandbar_tests::wat::Guest::new().manifest("name", "later").build()?)?;
    worker.wait("early", |c| c.state == ConnectorState::Running).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_a_broken_one_replaces_stays() -> Result<()> {
    let mut worker = worker().await?;
    let file = worker.put("neighbour.json", b"{ \"name\": \"neighbour\"")?;
    says(&mut worker, &file, &["definition refused: ", "what it defined before stays in force"]).await?;
    let faulty = [("connector.class", "faulty"), ("connector.type", "transform"), ("topics", "probes"), ("mod", "x")];
    worker.define("neighbour", &faulty)?;
    says(
        &mut worker,
        &file,
        &[
            "definition cannot be used: ",
            "mod: is known neither to the host nor to the plugin, did you mean \"mode\"?",
            "what runs keeps running",
        ],
    )
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_that_define_the_same_connector() -> Result<()> {
    let mut worker = worker().await?;
    let again = in_process::definition(
        "neighbour",
        &[("connector.class", "faulty"), ("connector.type", "source"), ("topic", "x")],
    )?;
    let file = worker.put("other.json", &again)?;
    let words = ["definition ignored: ", "neighbour.json defines this connector already"];
    says(&mut worker, &file, &words).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_opened() -> Result<()> {
    let mut worker = worker().await?;
    let plugins = worker.folder().path().join("plugins");
    let folder = plugins.to_str().context("UTF-8")?.to_owned();

    fs::write(plugins.join(OsStr::from_bytes(b"caf\xe9.wasm")), "x")?;
    logs::line(&[&folder, "caf", "cannot be used: the file name is not UTF-8: rename the file"]).await?;
    std::os::unix::fs::symlink("nowhere.wasm", plugins.join("link.wasm"))?;
    let words = ["cannot be used: the symbolic link points to \"nowhere.wasm\", which does not exist"];
    says(&mut worker, &plugins.join("link.wasm"), &words).await?;
    std::os::unix::net::UnixListener::bind(plugins.join("socket.json"))?;
    let words = ["cannot be used: it is a socket, not a file"];
    says(&mut worker, &plugins.join("socket.json"), &words).await?;
    fs::create_dir(plugins.join("folder.wasm"))?;
    worker.probe().await?;

    if is_root()? {
        eprintln!("a file without permission: not run as root, whom no permission stops");
        return Ok(());
    }
    fs::write(plugins.join(".closed.part"), "{}")?;
    fs::set_permissions(plugins.join(".closed.part"), fs::Permissions::from_mode(0o000))?;
    fs::rename(plugins.join(".closed.part"), plugins.join("closed.json"))?;
    let words = ["cannot be used: the file may not be read by the user the host runs as: change its owner or its mode"];
    says(&mut worker, &plugins.join("closed.json"), &words).await?;
    Ok(())
}
