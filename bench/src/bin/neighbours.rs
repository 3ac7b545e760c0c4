//! What a bad neighbour costs: nine connectors in one host, alone and beside a tenth that burns, floods or dies in a loop,
//! in turn. What the nine do is done in guests almost alone: records are made, and a transform looks at each and drops it.
//! Throughput is told by the second, and by the second of processor time that the host got: a busy machine changes the
//! first, not the second.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbar::control::{ConnectorState, Status};
use sandbar_bench::{Host, median, plugin, process_time, row, table};
use serde_json::{Value, json};

const NINE: usize = 9;
const ROUNDS: usize = 5;
/// How long throughput is counted for, each time.
const WINDOW: Duration = Duration::from_millis(1500);
/// How long things settle after the tenth came or went.
const SETTLE: Duration = Duration::from_millis(300);
/// The part of what they could do that connectors with a rate are asked to do.
const PART: f64 = 0.4;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let full = nine(None).await?;
    #[allow(clippy::cast_precision_loss)] // nine
    let rate = (full * PART / NINE as f64).round();
    nine(Some(rate)).await?;
    Ok(())
}

/// Runs the nine, as fast as they can or at a rate each, beside every tenth in turn. Returns what they do alone, in
/// records a second.
async fn nine(rate: Option<f64>) -> anyhow::Result<f64> {
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
        let (mut by_time, mut shares) = (Vec::new(), Vec::new());
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
            alone.push(without.second / 1e3);
            beside.push(with.second / 1e3);
            ratios.push(with.second / without.second * 100.0);
            by_time.push(with.processor / without.processor * 100.0);
            shares.push(with.tenth * 100.0);
        }
        row(&format!("alone, before it {what}"), "thousand records/s", &alone);
        row(&format!("beside one that {what}"), "thousand records/s", &beside);
        row("beside / alone", "%", &ratios);
        if rate.is_none() {
            row("beside / alone, by processor time", "%", &by_time);
        }
        row("its share of what guests compute", "%", &shares);
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

/// How many records the nine get on by.
struct Throughput {
    /// In a second.
    second: f64,
    /// In a second of processor time.
    processor: f64,
    /// The part of the time guests held threads for that the tenth had.
    tenth: f64,
}

async fn throughput(host: &Host) -> Throughput {
    let look = || {
        let (mut records, mut nine, mut tenth) = (0, 0.0, 0.0);
        for connector in &host.status.borrow().connectors {
            let totals = connector.totals();
            if connector.name == "tenth" {
                tenth += totals.usage.busy.as_secs_f64();
            } else {
                records += totals.records_in;
                nine += totals.usage.busy.as_secs_f64();
            }
        }
        (records, nine, tenth)
    };
    let ((records, nine, tenth), processor, started) = (look(), process_time(), Instant::now());
    tokio::time::sleep(WINDOW).await;
    let (records_now, nine_now, tenth_now) = look();
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let records = (records_now - records) as f64;
    let (nine, tenth) = (nine_now - nine, tenth_now - tenth);
    Throughput {
        second: records / started.elapsed().as_secs_f64(),
        processor: records / (process_time() - processor).as_secs_f64(),
        tenth: tenth / (nine + tenth),
    }
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
