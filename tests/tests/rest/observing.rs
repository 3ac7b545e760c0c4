//! What can be seen of a host: metrics, health, logs, the document, the page.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use sandbar::control::ConnectorState;
use serde_json::json;

use crate::Served;

#[tokio::test]
async fn metrics_come_and_go_with_their_connector() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    served.generate("numbers", "numbers", 7).await?;
    served.worker.wait("numbers", |numbers| numbers.state == ConnectorState::Completed).await?;
    let answer = rest.get("/metrics").await?;
    ensure!(answer.headers["content-type"].starts_with("text/plain; version=0.0.4"), "{:?}", answer.headers);
    let text = answer.text();
    for line in [
        "sandbar_task_records_out_total{connector=\"numbers\",task=\"0\"} 7",
        "sandbar_connector_state{connector=\"numbers\",state=\"COMPLETED\"} 1",
        "sandbar_connector_state{connector=\"numbers\",state=\"FAILED\"} 0",
        "sandbar_task_starts_total{connector=\"numbers\",task=\"0\"} 1",
        "sandbar_worker_ready 1",
    ] {
        ensure!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    ensure!(rest.send(Method::DELETE, "/connectors/numbers", None).await?.status == 204);
    served.worker.gone("numbers").await?;
    ensure!(!rest.get("/metrics").await?.text().contains("numbers"));
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_well_says_so() -> Result<()> {
    let served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    ensure!(rest.get("/health").await?.expect(200)?["status"] == "healthy");
    ensure!(rest.get("/ready").await?.status == 200);
    let root = rest.get("/").await?.expect(200)?;
    ensure!(root["version"] == env!("CARGO_PKG_VERSION") && root["kafka_cluster_id"] == "embedded", "{root}");
    Ok(())
}

#[tokio::test]
async fn loggers_are_set_while_the_host_runs() -> Result<()> {
    let served = Served::start(&[]).await?;
    let rest = served.rest.clone();
    let set = async |name: &str, level: serde_json::Value| {
        rest.send(Method::PUT, &format!("/admin/loggers/{name}"), Some(&level)).await
    };
    let all = rest.get("/admin/loggers").await?.expect(200)?;
    ensure!(all["root"]["level"].is_string() && all["sandbar::task"].is_object(), "{all}");
    let changed = set("sandbar", json!({"level": "trace"})).await?.expect(200)?;
    ensure!(changed.as_array().is_some_and(|all| all.contains(&json!("sandbar::task"))), "{changed}");
    let task = rest.get("/admin/loggers/sandbar::task").await?.expect(200)?;
    ensure!(task["level"] == "TRACE" && task["last_modified"].is_i64(), "{task}");
    ensure!(set("sandbar", json!({"level": "LOUD"})).await?.refusal(404)? == "invalid log level 'LOUD'.");
    ensure!(
        set("sandbar", json!({})).await?.refusal(400)? == "Desired 'level' parameter was not specified in request."
    );
    ensure!(rest.get("/admin/loggers/nobody").await?.refusal(404)? == "Logger nobody not found.");
    // What a filter would read something else out of is no name: the audit stays, and nothing else is set with it.
    for path in ["audit", "audit%5B%7Bwho%7D%5D", "a,audit", "a%20b", "a%2Cplugin=trace"] {
        for scope in ["", "?scope=cluster"] {
            let path = format!("{path}{scope}");
            let why = set(path.as_str(), json!({"level": "OFF"})).await?.refusal(400)?;
            ensure!(why.starts_with("Logger a"), "{why}");
        }
    }
    let now = rest.get("/admin/loggers").await?.expect(200)?;
    ensure!(now.as_object().map(|now| now.len()) == all.as_object().map(|all| all.len()), "{now}");
    // On all workers: by way of the topic.
    ensure!(set("plugin?scope=cluster", json!({"level": "DEBUG"})).await?.status == 204);
    sandbar_tests::wait::until("the logger says more", sandbar_tests::wait::WITHIN, async || {
        let plugin = rest.get("/admin/loggers/plugin").await?.expect(200)?;
        Ok(if plugin["level"] == "DEBUG" {
            sandbar_tests::wait::Seen::Done(())
        } else {
            sandbar_tests::wait::Seen::NotYet(plugin.to_string())
        })
    })
    .await
}

#[tokio::test]
async fn a_task_tells_its_topics() -> Result<()> {
    let mut served = Served::start(&["shout"]).await?;
    let rest = served.rest.clone();
    served.worker.write("quiet", &["a"]).await?;
    served.create("shout", &[("connector.class", "shout"), ("topics", "quiet"), ("topic", "loud")]).await?;
    served.worker.wait("shout", |shout| shout.totals().commits > 0).await?;
    let topics = async || rest.get("/connectors/shout/topics").await?.expect(200);
    ensure!(topics().await? == json!({"shout": {"topics": ["loud", "quiet"]}}), "{}", topics().await?);
    ensure!(rest.send(Method::PUT, "/connectors/shout/topics/reset", None).await?.status == 202);
    ensure!(topics().await? == json!({"shout": {"topics": []}}));
    ensure!(rest.get("/connectors/nobody/topics").await?.expect(200)? == json!({"nobody": {"topics": []}}));
    Ok(())
}

#[tokio::test]
async fn the_document_names_every_path_that_is_answered() -> Result<()> {
    let served = Served::start(&[]).await?;
    let document = served.rest.get("/openapi.json").await?.expect(200)?;
    let paths = document["paths"].as_object().context("paths")?;
    ensure!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    for path in ["/connectors/{connector}/offsets", "/v1/plugins", "/metrics", "/admin/loggers/{logger}"] {
        ensure!(paths.contains_key(path), "{path} is not in the document");
    }
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            ensure!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{method} {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_page_is_served_with_nothing_from_elsewhere() -> Result<()> {
    let served = Served::start(&[]).await?;
    let page = served.rest.get("/ui").await?;
    ensure!(page.status == 200 && page.headers["content-type"].starts_with("text/html"), "{:?}", page.headers);
    ensure!(page.headers["content-security-policy"].starts_with("default-src 'self'"));
    for elsewhere in ["src=\"http", "href=\"http", "url(http", "src=\"//"] {
        ensure!(!page.text().contains(elsewhere), "{}", page.text());
    }
    ensure!(served.rest.get("/ui/none.js").await?.status == 404);
    Ok(())
}
