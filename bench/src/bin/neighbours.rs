//! What a bad neighbour costs: nine connectors in one host, alone and beside a tenth that burns, floods or dies in a loop,
//! in turn. What the nine do is done in guests almost alone: records are made, and a transform looks at each and drops it.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbar::control::{ConnectorState, Status};
use sandbar_bench::{Host, median, plugin, row, table};
use serde_json::{Value, json};

const NINE: usize = 9;
const ROUNDS: usize = 7;
/// How long throughput is counted for, each time.
const WINDOW: Duration = Duration::from_secs(2);
/// How long things settle after the tenth came or went.
const SETTLE: Duration = Duration::from_millis(300);
/// The part of what they could do that connectors with a rate are asked to do.
const PART: f64 = 0.4;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let full = run(None).await?;
    #[allow(clippy::cast_precision_loss)] // nine
    let rate = (full * PART / NINE as f64).round();
    run(Some(rate)).await?;
    Ok(())
}

/// Runs the nine, as fast as they can or at a rate each, beside every tenth in turn. Returns what they do alone, in
/// records a second.
async fn run(rate: Option<f64>) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let plugins = folder.path().join("plugins");
    std::fs::create_dir_all(&plugins)?;
    for package in ["datagen", "json-transform", "faulty"] {
        let from = plugin(package)?;
        std::fs::copy(&from, plugins.join(format!("{package}.wasm")))?;
    }
    for n in 0..NINE {
        define(&plugins, &format!("neighbour-{n}"), &working(rate.unwrap_or(0.0)))?;
    }
    let mut host = Host::start(folder.path()).await?;
    host.wait("the nine run", |s| s.ready && running(s, "neighbour") == NINE).await?;
    tokio::time::sleep(SETTLE).await;

    let mut all = Vec::new();
    let title = match rate {
        None => "Nine connectors as fast as they can".to_owned(),
        Some(rate) => format!("Nine connectors at {rate:.0} records a second each"),
    };
    table(&format!("{title}, and a tenth"));
    for (what, config) in tenths() {
        let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let without = throughput(&host).await;
            let file = define(&host.plugins, "tenth", &config)?;
            host.wait("the tenth is there", |s| {
                s.connectors.iter().any(|c| c.name == "tenth" && c.totals().instances > 0)
            })
            .await?;
            tokio::time::sleep(SETTLE).await;
            let with = throughput(&host).await;
            std::fs::remove_file(file)?;
            host.wait("the tenth is gone", |s| s.connectors.len() == NINE).await?;
            tokio::time::sleep(SETTLE).await;
            alone.push(without / 1e3);
            beside.push(with / 1e3);
            ratios.push(with / without * 100.0);
        }
        row(&format!("alone, before it {what}"), "thousand records/s", &alone);
        row(&format!("beside one that {what}"), "thousand records/s", &beside);
        row("beside / alone", "%", &ratios);
        all.extend(alone);
    }
    host.stop().await?;
    Ok(median(all) * 1e3)
}

/// A connector that works: makes records and drops them again.
fn working(rate: f64) -> Value {
    json!({
        "connector.class": "datagen", "topic": "out", "rate": rate.to_string(),
        "template": "{\"n\": \"{{seq}}\", \"user\": {\"name\": \"{{pick Ada Grace Edsger}}\"}, \"total\": \"{{int 1 1000}}\"}",
        "transforms": "t", "transforms.t.type": "json-transform",
        "transforms.t.operations": "[{\"op\": \"mask\", \"field\": \"user.name\"}, {\"op\": \"filter\", \"field\": \"total\", \"lt\": 0}]",
    })
}

/// Connectors that misbehave.
fn tenths() -> Vec<(&'static str, Value)> {
    let faulty = |mode: &str, more: Value| {
        let mut config =
            json!({"connector.class": "faulty", "connector.type": "source", "topic": "tenth", "mode": mode});
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    };
    let dying = json!({
        "connector.class": "datagen", "topic": "tenth", "rate": "0", "errors.tolerance": "all",
        "transforms": "t", "transforms.t.type": "faulty", "transforms.t.mode": "trap",
    });
    vec![
        ("burns, a second a call", faulty("spin", json!({"millis": "1000"}))),
        ("burns, two milliseconds a call", faulty("spin", json!({"millis": "2"}))),
        ("floods the log", faulty("log-flood", json!({"count": "1000000"}))),
        ("floods its state", faulty("state-flood", json!({"count": "1000"}))),
        ("traps on every record", dying),
        ("works as they do", working(0.0)),
    ]
}

/// How many records a second the nine get on by.
async fn throughput(host: &Host) -> f64 {
    let done = |status: &Status| -> u64 {
        let nine = status.connectors.iter().filter(|c| c.name.starts_with("neighbour"));
        nine.map(|c| c.totals().records_in).sum()
    };
    let (before, started) = (done(&host.status.borrow()), Instant::now());
    tokio::time::sleep(WINDOW).await;
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let records = (done(&host.status.borrow()) - before) as f64;
    records / started.elapsed().as_secs_f64()
}

fn running(status: &Status, prefix: &str) -> usize {
    status.connectors.iter().filter(|c| c.name.starts_with(prefix) && c.state == ConnectorState::Running).count()
}

fn define(plugins: &Path, name: &str, config: &Value) -> anyhow::Result<std::path::PathBuf> {
    let (part, file) = (plugins.join(format!("{name}.part")), plugins.join(format!("{name}.json")));
    std::fs::write(&part, json!({"name": name, "config": config}).to_string())?;
    std::fs::rename(&part, &file)?;
    Ok(file)
}
