//! Connectors come and go over REST, and outlast the host.

use std::sync::Arc;

use anyhow::{Result, ensure};
use hyper::Method;
use sandbar::control::ConnectorState;
use serde_json::json;

use crate::{Served, entries};

#[tokio::test]
async fn a_connector_is_created_looked_at_changed_and_deleted() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    ensure!(rest.get("/connectors").await?.expect(200)? == json!([]));
    let config = entries(&[("connector.class", "datagen"), ("topic", "numbers"), ("count", "10")]);
    let body = json!({"name": "numbers", "config": config});
    let created = rest.send(Method::POST, "/connectors", Some(&body)).await?;
    ensure!(created.headers["location"] == format!("http://{}/connectors/numbers", rest.address()));
    let info = created.expect(201)?;
    ensure!(info["name"] == "numbers" && info["config"]["name"] == "numbers" && info["config"]["count"] == "10");
    served.worker.read("numbers", 10).await?;

    let again = rest.send(Method::POST, "/connectors", Some(&body)).await?;
    ensure!(again.refusal(409)? == "Connector numbers already exists");
    let status = rest.get("/connectors/numbers/status").await?.expect(200)?;
    ensure!(status["connector"]["state"] == "RUNNING" && status["type"] == "source", "{status}");
    ensure!(status["tasks"][0]["worker_id"] == rest.address() && status["tasks"][0]["version"].is_string(), "{status}");
    ensure!(
        rest.get("/connectors/numbers").await?.expect(200)?["tasks"] == json!([{"connector": "numbers", "task": 0}])
    );

    let mut config = rest.get("/connectors/numbers/config").await?.expect(200)?;
    config["topic"] = json!("others");
    let changed = rest.send(Method::PUT, "/connectors/numbers/config", Some(&config)).await?.expect(200)?;
    ensure!(changed["config"]["topic"] == "others");
    let patch = json!({"count": "20", "topic": "others", "rate": null});
    let patched = rest.send(Method::PATCH, "/connectors/numbers/config", Some(&patch)).await?.expect(200)?;
    ensure!(patched["config"]["count"] == "20");
    // It goes on where it was: ten of twenty had been made.
    served.worker.read("others", 10).await?;

    ensure!(rest.send(Method::DELETE, "/connectors/numbers", None).await?.status == 204);
    // At once, however long its tasks take to end.
    ensure!(rest.get("/connectors").await?.expect(200)? == json!([]));
    rest.get("/connectors/numbers").await?.refusal(404)?;
    served.worker.gone("numbers").await?;
    let gone = rest.send(Method::DELETE, "/connectors/numbers", None).await?;
    ensure!(gone.refusal(404)? == "Connector numbers not found");
    served.worker.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_kept() -> Result<()> {
    let served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    let create = async |body| rest.send(Method::POST, "/connectors", Some(&body)).await;
    let refused = create(json!({"name": "a", "config": {"connector.class": "nothing", "topic": "t"}})).await?;
    ensure!(
        refused
            .refusal(400)?
            .starts_with("Failed to find any class that implements Connector and which name matches nothing")
    );
    let refused = create(json!({"name": "a", "config": {"topic": "t"}})).await?;
    ensure!(refused.refusal(400)? == "Connector config contains no connector type");
    let refused = create(json!({"name": "a", "config": {"name": "b", "connector.class": "datagen"}})).await?;
    ensure!(refused.refusal(400)? == "Connector name configuration (b) doesn't match connector name in the URL (a)");
    let config = json!({"connector.class": "datagen", "topic": "t", "rate": "fast", "tasks.max": "0"});
    let refused = create(json!({"name": "a", "config": config})).await?.refusal(400)?;
    ensure!(
        refused.starts_with("Connector configuration is invalid and contains the following 2 error(s):\n"),
        "{refused}"
    );
    ensure!(refused.contains("\nrate: ") && refused.contains("\ntasks.max: "), "{refused}");
    for body in [json!([]), json!({"name": "a"}), json!({"name": "a", "config": {"x": [1]}}), json!({"nmae": "a"})] {
        create(body).await?.refusal(400)?;
    }
    let broken = rest.send_bytes(Method::POST, "/connectors", Some(("{".into(), "application/json"))).await?;
    broken.refusal(400)?;
    let plain = rest.send_bytes(Method::POST, "/connectors", Some(("{}".into(), "text/plain"))).await?;
    ensure!(plain.refusal(415)? == "HTTP 415 Unsupported Media Type");
    ensure!(rest.get("/connectors").await?.expect(200)? == json!([]));
    ensure!(rest.get("/nothing").await?.refusal(404)? == "HTTP 404 Not Found");
    ensure!(rest.send(Method::PUT, "/connectors", None).await?.refusal(405)? == "HTTP 405 Method Not Allowed");
    ensure!(rest.get("/connectors/").await?.expect(200)? == json!([]));
    Ok(())
}

#[tokio::test]
async fn a_connector_outlasts_the_host() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let served = Served::start_in(Arc::clone(&folder), &["datagen"]).await?;
    served.generate("first", "firsts", 5).await?;
    served.worker.read("firsts", 5).await?;
    let body = json!({"name": "second", "initial_state": "STOPPED",
        "config": {"connector.class": "datagen", "topic": "seconds"}});
    served.rest.send(Method::POST, "/connectors", Some(&body)).await?.expect(201)?;
    ensure!(served.rest.send(Method::PUT, "/connectors/first/pause", None).await?.status == 202);
    served.worker.stop().await?;

    let mut served = Served::start_in(folder, &["datagen"]).await?;
    served.worker.wait("first", |first| first.state == ConnectorState::Paused).await?;
    served.worker.wait("second", |second| second.state == ConnectorState::Stopped).await?;
    ensure!(served.rest.send(Method::PUT, "/connectors/first/resume", None).await?.status == 202);
    served.worker.wait("first", |first| first.state == ConnectorState::Completed).await?;
    // All five were made before.
    served.worker.read("firsts", 5).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_file_defines_is_changed_there() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    served.generate("numbers", "numbers", 3).await?;
    served.worker.read("numbers", 3).await?;
    // The file counts from now on.
    let file =
        served.worker.define("numbers", &[("connector.class", "datagen"), ("topic", "filed"), ("count", "6")])?;
    served.worker.wait("numbers", |numbers| numbers.file.is_some()).await?;
    served.worker.read("filed", 3).await?;
    let expected = format!("Connector numbers is defined by the file {}; change or remove that file", file.display());
    let config = json!({"connector.class": "datagen", "topic": "numbers"});
    let refused = rest.send(Method::PUT, "/connectors/numbers/config", Some(&config)).await?;
    ensure!(refused.refusal(409)? == expected);
    ensure!(rest.send(Method::DELETE, "/connectors/numbers", None).await?.refusal(409)? == expected);
    // What was set over REST is there again when it is gone.
    served.worker.remove("numbers.json")?;
    served.worker.wait("numbers", |numbers| numbers.file.is_none()).await?;
    let config = rest.get("/connectors/numbers/config").await?.expect(200)?;
    ensure!(config["topic"] == "numbers", "{config}");
    Ok(())
}

#[tokio::test]
async fn a_secret_is_hidden_and_kept() -> Result<()> {
    let served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    let config = [
        ("connector.class", "datagen"),
        ("topic", "t"),
        ("count", "1"),
        ("producer.override.sasl.password", "s3cr3t"),
        ("producer.override.ssl.key.password", "${env:SANDBAR_TEST_NOTHING}"),
    ];
    served.create("c", &config).await?;
    let shown = rest.get("/connectors/c/config").await?.expect(200)?;
    ensure!(shown["producer.override.sasl.password"] == "[hidden]", "{shown}");
    ensure!(shown["producer.override.ssl.key.password"] == "${env:SANDBAR_TEST_NOTHING}", "{shown}");
    for path in ["/connectors/c", "/connectors/c/tasks", "/connectors?expand=info", "/v1/status", "/metrics"] {
        let answer = rest.get(path).await?;
        ensure!(answer.status == 200 && !answer.text().contains("s3cr3t"), "{path}: {}", answer.text());
    }
    // Sent back as it was shown, it stays what it was.
    rest.send(Method::PUT, "/connectors/c/config", Some(&shown)).await?.expect(200)?;
    let known = served.worker.connectors();
    let kept = known[0].definition.config();
    ensure!(kept["producer.override.sasl.password"] == "s3cr3t");
    Ok(())
}

#[tokio::test]
async fn names_may_hold_anything_that_can_be_written() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    for (name, path) in
        [("a b", "a%20b"), ("ä☃", "%C3%A4%E2%98%83"), ("a/b", "a%2Fb"), ("a%b", "a%25b"), ("\"q\"", "%22q%22")]
    {
        served.generate(name, "t", 1).await?;
        let info = rest.get(&format!("/connectors/{path}")).await?.expect(200)?;
        ensure!(info["name"] == name, "{info}");
        ensure!(rest.send(Method::PUT, &format!("/connectors/{path}/pause"), None).await?.status == 202);
        ensure!(rest.send(Method::DELETE, &format!("/connectors/{path}"), None).await?.status == 204);
        served.worker.gone(name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn lists_are_expanded_by_what_is_asked_for() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    served.generate("a", "t", 1).await?;
    served.worker.wait("a", |a| a.state == ConnectorState::Completed).await?;
    let list = async |query: &str| rest.get(&format!("/connectors?{query}")).await?.expect(200);
    ensure!(list("expand=foo").await? == json!({"a": {}}));
    let both = list("expand=info&expand=status").await?;
    ensure!(both["a"]["info"]["type"] == "source" && both["a"]["status"]["connector"]["state"] == "RUNNING", "{both}");
    ensure!(list("expand=status").await?["a"].get("info").is_none());
    Ok(())
}
