//! Plugins that send requests pass, with a server to send them to.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar_abi::http::{self, Request};
use sandbar_abi::names;
use sandbar_abi::status::Returned;
use sandbar_tests::http_server::{Asked, HttpServer, Reply};
use sandbar_tests::wat::Guest;
use serde_json::{Value, json};

use crate::calls::SLEEP;
use crate::cli::{conformance, with};
use crate::examples::passes;

/// Longer than a poll may sleep.
const SLOW: Duration = Duration::from_millis(300);

/// The configuration, and what grants the server.
fn reaching(server: &HttpServer, mut config: Value) -> Value {
    config["sandbox.http.hosts"] = server.origin().into();
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_passes() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("taken")).await?;
    let kept = ["R11", "R12", "R13", "R14", "R19", "R21", "R55", "R57", "R70", "R71", "R72"];
    let config = reaching(&server, json!({"url": server.url("/hook")}));
    tokio::task::spawn_blocking(move || passes("http-sink", &config, &kept, &[])).await??;
    let asked = server.asked().len();
    ensure!(asked > 1_000, "{asked} requests");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_passes() -> Result<()> {
    let server =
        HttpServer::start(|asked: &Asked| Reply::json(&json!([{ "id": asked.number }, { "id": asked.number + 1 }])))
            .await?;
    let kept = ["R11", "R12", "R13", "R14", "R15", "R16", "R37", "R55", "R57", "R71"];
    let config = json!({"url": server.url("/"), "cursor.record.pointer": "/id", "cursor.param": "since",
        "interval.ms": 1});
    let config = reaching(&server, config);
    tokio::task::spawn_blocking(move || passes("http-source", &config, &kept, &[])).await??;
    let asked = server.asked().len();
    ensure!(asked > 100, "{asked} requests");
    Ok(())
}

/// A source that, polled for 100 records as the case of its pace does, sends a request and then does this.
fn asking(server: &HttpServer, then: &str) -> Result<Guest> {
    let mut guest = Guest::new().manifest("capabilities", json!({"http": ["*"]}));
    let request = Request { method: "GET".to_owned(), url: server.url("/"), headers: Vec::new(), timeout_ms: None };
    let Returned::Frame { ptr, len } = Returned::unpack(guest.data(&http::encode(&request, &[])?)) else {
        anyhow::bail!("a request is no empty answer");
    };
    // There is no room for the answer, which is of no interest.
    let ask = format!("(drop (call $http_send (i32.const {ptr}) (i32.const {len}) (i32.const 0) (i32.const 0)))");
    let body = format!("(if (i32.eq (local.get 0) (i32.const 100)) (then {ask} {then})) (i64.const 0)");
    Ok(guest.with(names::POLL, &body))
}

/// Tests the guest as a source that reaches the server: the exit code and the report.
async fn tested(server: &HttpServer, guest: &Guest) -> Result<(Option<i32>, Value)> {
    let (folder, config) = (with(guest)?, reaching(server, json!({})).to_string());
    let run = move || {
        let args = ["wat.wasm", "--kind", "source", "--calls", "1500", "--json", "--config", &config];
        conformance(folder.path(), &args)
    };
    let (code, out, error) = tokio::task::spawn_blocking(run).await??;
    Ok((code, serde_json::from_str(&out).context(error)?))
}

fn rule<'a>(report: &'a Value, number: &str) -> &'a Value {
    let mut rules = report["rules"].as_array().into_iter().flatten();
    rules.find(|rule| rule["rule"] == number).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_for_a_slow_server_does_not_sleep() -> Result<()> {
    // It is the server that takes its time; the other thread takes connections meanwhile.
    let server = HttpServer::start(|_| {
        std::thread::sleep(SLOW);
        Reply::ok("at last")
    })
    .await?;
    let (code, report) = tested(&server, &asking(&server, "")?).await?;
    ensure!(code == Some(0) && rule(&report, "R16")["verdict"] == "pass", "{code:?}: {report:#}");
    ensure!(server.asked().len() == 4, "{} requests", server.asked().len());
    // Nobody waits for a million of them.
    for number in ["R17", "R71"] {
        let reason = rule(&report, number)["reason"].as_str().unwrap_or_default();
        ensure!(reason.starts_with("polls that wait for answers to requests took "), "{number}: {report:#}");
    }
    ensure!(report["growth"] == json!([]), "{report:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_no_excuse_for_a_poll_that_sleeps() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("at once")).await?;
    let (code, report) = tested(&server, &asking(&server, SLEEP)?).await?;
    ensure!(code == Some(1) && rule(&report, "R16")["verdict"] == "fail", "{code:?}: {report:#}");
    ensure!(report["summary"]["failed"] == 1, "{report:#}");
    Ok(())
}
