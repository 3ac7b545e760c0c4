//! Pause, resume, stop, restart: what was told is done, and shows.

use anyhow::{Result, ensure};
use hyper::Method;
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::plugins;
use serde_json::{Value, json};

use crate::Served;

/// A source that never comes to an end.
async fn endless(served: &Served) -> Result<()> {
    served.create("clicks", &[("connector.class", "datagen"), ("topic", "clicks"), ("rate", "100")]).await.map(drop)
}

#[tokio::test]
async fn a_connector_is_paused_stopped_and_resumed() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    endless(&served).await?;
    for (verb, answer, state) in [
        ("pause", 202, ConnectorState::Paused),
        ("stop", 204, ConnectorState::Stopped),
        ("resume", 202, ConnectorState::Running),
    ] {
        let told = rest.send(Method::PUT, &format!("/connectors/clicks/{verb}"), None).await?;
        ensure!(told.status == answer && told.body.is_empty(), "{verb}: {}", told.status);
        served.worker.wait("clicks", |clicks| clicks.state == state).await?;
    }
    for verb in ["pause", "stop", "resume"] {
        let told = rest.send(Method::PUT, &format!("/connectors/nobody/{verb}"), None).await?;
        ensure!(told.refusal(404)? == "Unknown connector nobody");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_restarted_begins_anew() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    endless(&served).await?;
    served.worker.wait("clicks", |clicks| clicks.totals().commits > 0).await?;
    let mut starts = 1;
    for path in ["restart?includeTasks=true", "tasks/0/restart"] {
        let told = rest.send(Method::POST, &format!("/connectors/clicks/{path}"), None).await?;
        starts += 1;
        match told.status {
            202 => {
                let plan = told.json()?;
                ensure!(
                    plan["tasks"]
                        == json!([{"id": 0, "state": "RESTARTING", "worker_id": rest.address(), "version": plan["tasks"][0]["version"]}]),
                    "{plan}"
                );
            }
            status => ensure!(status == 204),
        }
        served.worker.wait("clicks", |c| c.totals().runs == starts && c.state == ConnectorState::Running).await?;
    }
    // The connector alone: its task goes on.
    ensure!(rest.send(Method::POST, "/connectors/clicks/restart", None).await?.status == 204);
    let failed = rest.send(Method::POST, "/connectors/clicks/restart?onlyFailed=true", None).await?;
    ensure!(failed.expect(202)?["connector"]["state"] == "RUNNING");
    served.worker.wait("clicks", |c| c.totals().runs == starts).await?;
    for (path, message) in [
        ("/connectors/nobody/restart", "Unknown connector: nobody"),
        ("/connectors/nobody/tasks/0/restart", "Unknown connector: nobody"),
        ("/connectors/clicks/tasks/7/restart", "Unknown task: clicks-7"),
        ("/connectors/clicks/tasks/-1/restart", "Unknown task: clicks--1"),
    ] {
        ensure!(rest.send(Method::POST, path, None).await?.refusal(404)? == message, "{path}");
    }
    ensure!(rest.get("/connectors/clicks/tasks/7/status").await?.refusal(404)? == "No status found for task clicks-7");
    ensure!(rest.get("/connectors/clicks/tasks/x/status").await?.refusal(404)? == "HTTP 404 Not Found");
    ensure!(rest.get("/connectors/nobody/status").await?.refusal(404)? == "No status found for connector nobody");
    Ok(())
}

/// A version of a transform that passes all records, but for its fault.
fn version(number: u32, fault: &[(&str, &str)]) -> Result<Vec<u8>> {
    plugins::variant("faulty", |manifest| {
        manifest["name"] = "step".into();
        manifest["version"] = format!("{number}.0.0").into();
        for (key, value) in fault {
            manifest["config"]["properties"][*key]["default"] = Value::from(*value);
        }
    })
}

/// Whether a connector runs that version.
fn runs(connector: &ConnectorStatus, version: &str) -> bool {
    let plugin = connector.plugin.as_ref();
    connector.state == ConnectorState::Running && plugin.is_some_and(|(_, running)| running == version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_connector_that_failed_leaves_quarantine_where_only_that_is_asked_for() -> Result<()> {
    let mut served = Served::start(&[]).await?;
    let rest = served.rest.clone();
    served.worker.put("step.wasm", &version(1, &[])?)?;
    served.worker.status(|status| status.world.registry.iter().count() == 1).await?;
    let config = [("connector.class", "step"), ("connector.type", "transform"), ("topics", "in"), ("topic", "out")];
    served.create("step", &config).await?;
    served.worker.wait("step", |step| runs(step, "1.0.0")).await?;
    served.worker.put("step.wasm", &version(2, &[("mode", "trap"), ("poison", "1")])?)?;
    served.worker.wait("step", |step| runs(step, "2.0.0")).await?;
    served.worker.write("in", &["1"]).await?;
    served.worker.wait("step", |step| runs(step, "1.0.0") && step.quarantined.len() == 1).await?;

    let restart = "/connectors/step/restart";
    let failed = rest.send(Method::POST, &format!("{restart}?onlyFailed=true"), None).await?.expect(202)?;
    ensure!(failed["connector"]["state"] == "RUNNING" && failed["tasks"][0]["state"] == "RUNNING", "{failed}");
    // An order would have been taken in by the time it is answered.
    ensure!(served.worker.connectors()[0].quarantined.len() == 1, "{:?}", served.worker.connectors());
    ensure!(rest.send(Method::POST, restart, None).await?.status == 204);
    served.worker.wait("step", |step| step.quarantined.is_empty()).await?;

    // What cannot be restarted is refused, failed or not.
    ensure!(rest.send(Method::PUT, "/connectors/step/stop", None).await?.status == 204);
    let stopped = rest.send(Method::POST, &format!("{restart}?onlyFailed=true"), None).await?;
    ensure!(stopped.refusal(409)? == "connector step is STOPPED; resume it first");
    let nobody = rest.send(Method::POST, "/connectors/nobody/restart?onlyFailed=true", None).await?;
    ensure!(nobody.refusal(404)? == "Unknown connector: nobody");
    Ok(())
}
