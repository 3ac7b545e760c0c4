//! Several workers of one group: whichever is asked answers for all, and does for all what it is told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use hyper::Method;
use sandbar::broker::{BatchLimits, ReadFrom, ReadSpec};
use sandbar::config::WorkerConfig;
use sandbar_tests::contract::{Row, rows, within};
use sandbar_tests::in_process::{Worker, config, example};
use sandbar_tests::kafka_or_skip;
use sandbar_tests::rest::Rest;
use sandbar_tests::wait::{self, Seen};
use serde_json::{Value, json};

/// What one look into a topic returns at most, and how long it lasts.
const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 4 << 20 };
const WAIT: Duration = Duration::from_millis(100);

/// A worker on Kafka that answers on a port of its own.
pub(crate) async fn start(bootstrap: &str, group: &str) -> Result<(Worker, Rest)> {
    start_on(bootstrap, group, &format!("{group}-offsets")).await
}

/// The same, with a topic of source offsets that may be another's.
pub(crate) async fn start_on(bootstrap: &str, group: &str, offsets: &str) -> Result<(Worker, Rest)> {
    let folder = Arc::new(tempfile::tempdir()?);
    let settings = settings(folder.path(), bootstrap, group, offsets)?;
    let worker = Worker::start_with(folder, settings).await?;
    let rest = Rest::at(&worker.address().context("it listens")?.to_string());
    Ok((worker, rest))
}

pub(crate) fn settings(folder: &Path, bootstrap: &str, group: &str, offsets: &str) -> Result<WorkerConfig> {
    let text = format!(
        "group.id = \"{group}\"\noffset.storage.topic = \"{offsets}\"\n[rest]\nlisten = \"127.0.0.1:0\"\n[kafka]\nbootstrap.servers = \"{bootstrap}\"\n"
    );
    let parsed = WorkerConfig::parse(&folder.join("sandbar.toml"), text.as_bytes());
    let (read, _) = parsed.map_err(|errors| anyhow!("{errors:?}"))?;
    let own = config(folder);
    Ok(WorkerConfig { cache: own.cache, scan_interval: own.scan_interval, ..read })
}

/// Waits until a worker answers as it should.
pub(crate) async fn until(rest: &Rest, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    wait::until(what, wait::WITHIN, async || {
        let answer = rest.get(path).await?;
        let seen = answer.json().unwrap_or_default();
        Ok(if is_so(&seen) { Seen::Done(seen) } else { Seen::NotYet(answer.text()) })
    })
    .await
}

fn all_are(status: &Value, state: &str) -> bool {
    let tasks = status["tasks"].as_array();
    let tasks = tasks.is_some_and(|tasks| !tasks.is_empty() && tasks.iter().all(|task| task["state"] == state));
    status["connector"]["state"] == state && tasks
}

/// What workers have asked each other so far, by the topic of their states.
async fn questions(worker: &Worker, topic: &str) -> Result<Vec<String>> {
    let spec = ReadSpec { topic: topic.to_owned(), partitions: None, from: ReadFrom::Beginning };
    let mut reader = worker.broker().reader(spec).await?;
    within("the questions so far", async {
        let mut asked = Vec::new();
        while !reader.at_end() {
            for batch in reader.next(LIMITS, WAIT).await? {
                asked.extend(rows(&batch)?.iter().map(Row::text).filter(|text| text.contains("\"ask\"")));
            }
        }
        Ok(asked)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_worker_answers_for_all() -> Result<()> {
    let bootstrap = kafka_or_skip!(Ok(()));
    let group = format!("rest-workers-{}", std::process::id());
    let (first, one) = start(&bootstrap, &group).await?;
    let (second, two) = start(&bootstrap, &group).await?;
    for worker in [&first, &second] {
        worker.put("shout.wasm", &example("shout")?)?;
    }
    for rest in [&one, &two] {
        until(rest, "/connector-plugins", "the plugin is there", |all| {
            all.as_array().is_some_and(|all| !all.is_empty())
        })
        .await?;
        until(rest, "/health", "it is in its group", |health| health["status"] == "healthy").await?;
        until(rest, "/v1/status", "it holds its share of the slots", |all| all["worker"]["slots"] == 30).await?;
    }
    let (quiet, loud) = (format!("{group}-quiet"), format!("{group}-loud"));
    first.write(&quiet, &["a"]).await?;
    let config = json!({"connector.class": "shout", "topics": quiet, "topic": loud, "tasks.max": "4"});
    let body = json!({"name": "shout", "config": config});
    one.send(Method::POST, "/connectors", Some(&body)).await?.expect(201)?;
    let path = "/connectors/shout/status";
    // Each tells of all tasks, wherever they run.
    let seen = until(&two, path, "all tasks run", |status| all_are(status, "RUNNING")).await?;
    until(&one, path, "the other one sees the same", |status| *status == seen).await?;
    let workers: Vec<_> = seen["tasks"].as_array().into_iter().flatten().map(|task| &task["worker_id"]).collect();
    let names = [json!(one.address()), json!(two.address())];
    ensure!(workers.len() == 4 && workers.iter().all(|worker| names.contains(worker)), "{seen}");
    second.read(&loud, 1).await?;

    // So is what only the worker knows that runs a task: at least one of the two has to ask the other.
    first.write(&quiet, &["b"]).await?;
    for rest in [&one, &two] {
        let all_run = |all: &Value| {
            let tasks = all["connectors"][0]["tasks"].as_array().cloned().unwrap_or_default();
            let records: u64 = tasks.iter().filter_map(|task| task["progress"]["records_in"].as_u64()).sum();
            let run = tasks.iter().all(|task| task["state"] == "RUNNING");
            run && tasks.iter().all(|task| names.contains(&task["worker_id"])) && tasks.len() == 4 && records > 0
        };
        let all = until(rest, "/v1/status", "all tasks and what they did", all_run).await?;
        ensure!(all["connectors"][0]["state"] == "RUNNING" && all["connectors"][0]["reason"].is_null(), "{all}");
        until(rest, "/connectors/shout/topics", "both topics", |topics| {
            topics["shout"]["topics"] == json!([loud, quiet])
        })
        .await?;
        for task in seen["tasks"].as_array().into_iter().flatten() {
            let path = format!("/v1/connectors/shout/tasks/{}", task["id"]);
            until(rest, &format!("{path}/trace"), "it runs", |trace| trace["state"] == "RUNNING").await?;
            until(rest, &format!("{path}/logs"), "it has lines", |logs| logs["lines"].is_array()).await?;
        }
    }

    // Of a connector that nobody defined there is nothing to ask the other one.
    let nobody = format!("{group}-nobody");
    let topics = one.get(&format!("/connectors/{nobody}/topics")).await?.expect(200)?;
    ensure!(topics[&nobody]["topics"] == json!([]), "{topics}");
    let reset = one.send(Method::PUT, &format!("/connectors/{nobody}/topics/reset"), None).await?;
    ensure!(reset.status == 202 && reset.body.is_empty());
    let asked = questions(&first, &format!("sandbar-status-{group}")).await?;
    ensure!(asked.iter().any(|what| what.contains("\"shout\"")), "{asked:?}");
    ensure!(!asked.iter().any(|what| what.contains(&nobody)), "{asked:?}");

    // What one was told all do.
    ensure!(two.send(Method::PUT, "/connectors/shout/pause", None).await?.status == 202);
    for rest in [&one, &two] {
        until(rest, path, "it is paused", |status| status["connector"]["state"] == "PAUSED").await?;
    }
    ensure!(one.send(Method::PUT, "/connectors/shout/resume", None).await?.status == 202);
    until(&two, path, "it runs again", |status| all_are(status, "RUNNING")).await?;

    // Of two that create at the same time one comes too late.
    let both = json!({"name": "both", "config": config});
    let (a, b) = tokio::join!(
        one.send(Method::POST, "/connectors", Some(&both)),
        two.send(Method::POST, "/connectors", Some(&both))
    );
    let mut answers = [a?.status, b?.status];
    answers.sort_unstable();
    ensure!(answers == [201, 409], "{answers:?}");

    // One ends: the other takes its tasks over, and says so.
    first.stop().await?;
    let left = json!(two.address());
    let taken = |status: &Value| {
        let tasks = status["tasks"].as_array();
        all_are(status, "RUNNING") && tasks.is_some_and(|tasks| tasks.iter().all(|task| task["worker_id"] == left))
    };
    until(&two, path, "the one that is left runs everything", taken).await?;
    second.stop().await?;
    Ok(())
}
