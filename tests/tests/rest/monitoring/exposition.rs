//! What `/metrics` says: each metric with its type, its labels and their values.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

/// What histograms add to their names.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// A metric.
#[derive(Debug, Default)]
pub(super) struct Metric {
    pub(super) kind: String,
    /// The labels of its samples, with the values that were seen.
    pub(super) labels: BTreeMap<String, BTreeSet<String>>,
    pub(super) samples: usize,
}

impl Metric {
    /// The names of the labels.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.labels.keys().map(String::as_str).collect()
    }
}

/// Reads the text: metrics by their names.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, Metric>> {
    let mut metrics = BTreeMap::<String, Metric>::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(|| line.to_owned())?;
            metrics.entry(name.to_owned()).or_default().kind = kind.to_owned();
        }
        if line.starts_with('#') {
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let metric = metrics.get_mut(base(name)).with_context(|| format!("no type of {line}"))?;
        metric.samples += 1;
        for (label, value) in labels(line)? {
            metric.labels.entry(label).or_default().insert(value);
        }
    }
    Ok(metrics)
}

/// The metric that a series belongs to.
pub(super) fn base(series: &str) -> &str {
    SERIES.iter().find_map(|suffix| series.strip_suffix(suffix)).unwrap_or(series)
}

/// The labels of a sample. No value of these tests holds a quote.
fn labels(line: &str) -> Result<Vec<(String, String)>> {
    let Some((_, rest)) = line.split_once('{') else { return Ok(Vec::new()) };
    let (inner, _) = rest.rsplit_once('}').with_context(|| line.to_owned())?;
    let mut labels = Vec::new();
    for part in inner.split_inclusive("\",").map(|part| part.trim_end_matches(',')) {
        let (name, value) = part.split_once('=').with_context(|| line.to_owned())?;
        ensure!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'), "{line}");
        labels.push((name.to_owned(), value.trim_matches('"').to_owned()));
    }
    Ok(labels)
}
