//! The configuration: what `manifest.json` describes, and what of it only a look at all of it shows to be wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbar_plugin::{Error, Result};
use serde::Deserialize;

use crate::body::{BodyTemplate, Format, NullValues};
use crate::statuses::Statuses;
use crate::target::{TargetTemplate, check_header_name};

/// The configuration; `manifest.json` describes the keys.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Where to.
    pub url: String,
    /// The method.
    #[serde(default = "post")]
    pub method: String,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What the body is.
    #[serde(default, rename = "content.type")]
    pub content_type: Option<String>,
    /// How many records a request carries.
    #[serde(default)]
    pub mode: Mode,
    /// How they make a body.
    #[serde(default, rename = "batch.format")]
    pub batch_format: BatchFormat,
    /// The most records of a batch.
    #[serde(default = "five_hundred", rename = "batch.max.records")]
    pub batch_max_records: usize,
    /// The most bytes of a batch.
    #[serde(default = "one_mebibyte", rename = "batch.max.bytes")]
    pub batch_max_bytes: usize,
    /// What is sent of a record.
    #[serde(default)]
    pub body: Option<String>,
    /// What becomes of records without a value.
    #[serde(default, rename = "null.values")]
    pub null_values: NullValues,
    /// After which statuses a request is made again.
    #[serde(default, rename = "retry.statuses")]
    pub retry_statuses: Statuses,
    /// A header for the name of what is sent.
    #[serde(default, rename = "idempotency.header")]
    pub idempotency_header: Option<String>,
    /// How long a request may take.
    #[serde(default = "ten_seconds", rename = "request.timeout.ms")]
    pub request_timeout_ms: u64,
}

/// How many records a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One.
    #[default]
    Record,
    /// Several.
    Batch,
}

/// How the records of a batch make a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchFormat {
    /// A JSON array.
    #[default]
    Array,
    /// A line each.
    Lines,
}

/// The configuration as the sink uses it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) target: TargetTemplate,
    pub(crate) body: BodyTemplate,
    pub(crate) method: String,
    pub(crate) content_type: String,
    pub(crate) format: Format,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
    pub(crate) retry: Statuses,
    pub(crate) idempotency_header: Option<String>,
    pub(crate) timeout: Duration,
}

impl Settings {
    pub(crate) fn new(config: Config) -> Result<Self> {
        if let Some(name) = config.headers.keys().find(|name| name.eq_ignore_ascii_case("content-type")) {
            return Err(Error::fatal(format!(
                "configuration key \"headers\", \"{name}\": use the key \"content.type\" for it"
            )));
        }
        if let Some(name) = &config.idempotency_header {
            check_header_name(name)
                .map_err(|what| Error::fatal(format!("configuration key \"idempotency.header\": {what}")))?;
        }
        let (format, default_type) = match (config.mode, config.batch_format) {
            (Mode::Record, _) => (Format::Single, "application/json"),
            (Mode::Batch, BatchFormat::Array) => (Format::Array, "application/json"),
            (Mode::Batch, BatchFormat::Lines) => (Format::Lines, "application/x-ndjson"),
        };
        let content_type = config.content_type.unwrap_or_else(|| default_type.to_owned());
        let json = is_json(&content_type);
        Ok(Self {
            target: TargetTemplate::new(&config.url, &config.headers).map_err(Error::fatal)?,
            body: BodyTemplate::new(config.body.as_deref(), json, format, config.null_values).map_err(Error::fatal)?,
            method: config.method,
            content_type,
            format,
            max_records: if format == Format::Single { 1 } else { config.batch_max_records },
            max_bytes: config.batch_max_bytes,
            retry: config.retry_statuses,
            idempotency_header: config.idempotency_header,
            timeout: Duration::from_millis(config.request_timeout_ms),
        })
    }
}

/// Whether a content type is JSON, or lines of it.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("json") || essence.ends_with("/jsonl")
}

fn post() -> String {
    "POST".to_owned()
}

fn five_hundred() -> usize {
    500
}

fn one_mebibyte() -> usize {
    1 << 20
}

fn ten_seconds() -> u64 {
    10_000
}
