//! The alerts and the dashboard of `monitoring/`, and what the documentation says of metrics, held against the metrics of a
//! host at work.

mod documented;
mod exposition;
mod expressions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use hyper::Method;
use sandbar::control::ConnectorState;
use sandbar_tests::wait::{self, Seen};
use serde::Deserialize;
use serde_json::Value;

use self::exposition::Metric;
use self::expressions::uses;
use crate::Served;

/// Those that a host on the embedded broker without tracing has none of, and their labels.
const ELSEWHERE: [(&str, &[&str]); 3] =
    [("sandbar_worker_slots", &["group"]), ("sandbar_spans_exported_total", &[]), ("sandbar_spans_dropped_total", &[])];
/// Labels that Prometheus itself gives every metric.
const OF_TARGETS: [&str; 2] = ["instance", "job"];
const SEVERITIES: [&str; 2] = ["critical", "warning"];

/// A host with a source, a transform that has dead letters, and a sink that is behind.
async fn at_work() -> Result<BTreeMap<String, Metric>> {
    let mut served = Served::start(&["datagen", "json_transform", "file_sink"]).await?;
    served.worker.put("refused.wasm", b"no plugin")?;
    served.generate("numbers", "numbers", 7).await?;
    served.worker.wait("numbers", |numbers| numbers.state == ConnectorState::Completed).await?;
    served.add_letters("picky").await?;
    let out = served.path("out");
    std::fs::create_dir(&out)?;
    let out = out.display().to_string();
    let file = format!("{out}/{{topic}}");
    let sink = [("connector.class", "file-sink"), ("topics", "numbers"), ("path", &file), ("sandbox.fs.write", &out)];
    served.create("archive", &sink).await?;
    served.worker.wait("archive", |archive| archive.totals().commits > 0).await?;
    ensure!(served.rest.send(Method::PUT, "/connectors/archive/pause", None).await?.status == 202);
    served.worker.wait("archive", |archive| archive.state == ConnectorState::Paused).await?;
    served.worker.write("numbers", &["late", "later"]).await?;
    let text = wait::until("the sink is behind, and a file is refused", wait::WITHIN, async || {
        let text = served.rest.get("/metrics").await?.text();
        let lines = ["sandbar_connector_lag_records{connector=\"archive\"} 2", "sandbar_plugins_refused 1"];
        let is_there = |line: &&str| text.lines().any(|known| known == *line);
        Ok(if lines.iter().all(is_there) { Seen::Done(text) } else { Seen::NotYet(text) })
    });
    exposition::read(&text.await?)
}

#[tokio::test]
async fn every_metric_is_documented_as_it_is() -> Result<()> {
    let (metrics, documented) = (at_work().await?, documented::read(&file("docs/rest.md")?)?);
    for (name, metric) in &metrics {
        let known = documented.get(name).with_context(|| format!("docs/rest.md does not name {name}"))?;
        ensure!(metric.samples > 0, "nothing has {name}");
        ensure!(known.kind == metric.kind, "{name} is a {}, not a {}", metric.kind, known.kind);
        let labels: BTreeSet<_> = known.labels.iter().map(String::as_str).collect();
        ensure!(labels == metric.names(), "{name} has the labels {:?}, not {labels:?}", metric.names());
    }
    for name in documented.keys() {
        let is_there = metrics.contains_key(name) || ELSEWHERE.iter().any(|(known, _)| known == name);
        ensure!(is_there, "docs/rest.md names {name}, and there is none");
    }
    Ok(())
}

#[tokio::test]
async fn the_alerts_ask_for_what_there_is() -> Result<()> {
    let rules: Rules = serde_saphyr::from_str(&file("monitoring/alerts.yaml")?)?;
    let (metrics, mut names) = (at_work().await?, BTreeSet::new());
    for rule in rules.groups.iter().flat_map(|group| &group.rules) {
        let Rule { alert, expr, labels, annotations, .. } = rule;
        ensure!(names.insert(alert), "there are two {alert}");
        ensure!(SEVERITIES.contains(&labels.severity.as_str()), "{alert}: {}", labels.severity);
        let asked = uses(expr).with_context(|| alert.clone())?;
        hold(&asked, &metrics).with_context(|| alert.clone())?;
        let known: BTreeSet<_> =
            asked.iter().flat_map(|one| &one.labels).map(String::as_str).chain(OF_TARGETS).collect();
        for text in [&annotations.summary, &annotations.description] {
            for label in text.split("$labels.").skip(1).filter_map(|rest| rest.split([' ', '}', '\n']).next()) {
                ensure!(known.contains(label), "{alert} tells the label {label}, which it has not: {text}");
            }
        }
    }
    ensure!(!names.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_dashboard_asks_for_what_there_is() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&file("monitoring/grafana-dashboard.json")?)?;
    for key in ["title", "uid", "schemaVersion", "panels", "templating"] {
        ensure!(!dashboard[key].is_null(), "the dashboard has no {key}");
    }
    let (metrics, mut found) = (at_work().await?, Vec::new());
    expressions_in(&dashboard, &mut found);
    ensure!(!found.is_empty());
    for expression in found {
        // What fills a variable is a function of Grafana's.
        let expression = match expression.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')) {
            Some(arguments) => {
                let (series, label) = arguments.rsplit_once(", ").with_context(|| expression.clone())?;
                format!("count by ({label}) ({series})")
            }
            None => expression.clone(),
        };
        hold(&uses(&expression)?, &metrics).with_context(|| expression.clone())?;
    }
    Ok(())
}

/// Holds that there is what expressions ask for.
fn hold(asked: &[expressions::Use], metrics: &BTreeMap<String, Metric>) -> Result<()> {
    ensure!(!asked.is_empty(), "no metric is asked for");
    for one in asked {
        let name = exposition::base(&one.series);
        if let Some((_, labels)) = ELSEWHERE.iter().find(|(known, _)| *known == one.series) {
            let unknown = one.labels.iter().find(|label| !labels.contains(&label.as_str()) && !is_of_targets(label));
            ensure!(unknown.is_none(), "{} has no label {unknown:?}, but {labels:?}", one.series);
            continue;
        }
        let Some(metric) = metrics.get(&one.series).or_else(|| metrics.get(name)) else {
            bail!("there is no {}", one.series);
        };
        let is_series = one.series != name;
        ensure!(!is_series || metric.kind == "histogram", "{} is no histogram", one.series);
        let labels = metric.names();
        for label in one.labels.iter().filter(|label| !is_of_targets(label)) {
            ensure!(labels.contains(label.as_str()), "{} has no label {label}, but {labels:?}", one.series);
        }
        for (label, value) in &one.values {
            let values = &metric.labels[label];
            ensure!(values.contains(value), "{label} of {} is never {value}, but {values:?}", one.series);
        }
    }
    Ok(())
}

fn is_of_targets(label: &str) -> bool {
    OF_TARGETS.contains(&label)
}

/// What panels and variables ask Prometheus, wherever it stands.
fn expressions_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("expr", Value::String(text)) => found.push(text.clone()),
                    ("query", Value::String(text)) if text.contains("sandbar_") => found.push(text.clone()),
                    _ => expressions_in(value, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| expressions_in(value, found)),
        _ => {}
    }
}

fn file(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// A file of rules, as Prometheus reads it. Keys that it does not know are refused, as there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[allow(dead_code, reason = "it has to be there")]
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    #[allow(dead_code, reason = "it has to be there")]
    lasts: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    description: String,
}
