//! The configuration: what `manifest.json` describes, and what of it only a look at all of it shows to be wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbar_plugin::host::{MAX_KEY_BYTES, offsets};
use sandbar_plugin::json::Pointer;
use sandbar_plugin::{Error, Result};
use serde::Deserialize;

use crate::offset::Partition;

/// The configuration; `manifest.json` describes the keys.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// What to ask.
    pub url: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The body of requests.
    #[serde(default)]
    pub body: Option<String>,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How long to wait once there is nothing new.
    #[serde(default = "one_minute", rename = "interval.ms")]
    pub interval_ms: u64,
    /// Where the records are in the answer.
    #[serde(default)]
    pub records: Pointer,
    /// Where the key is in a record.
    #[serde(default)]
    pub key: Option<Pointer>,
    /// Where the cursor is in the answer.
    #[serde(default, rename = "cursor.pointer")]
    pub cursor_pointer: Option<Pointer>,
    /// Where the cursor is in the last record.
    #[serde(default, rename = "cursor.record.pointer")]
    pub cursor_record_pointer: Option<Pointer>,
    /// The query parameter that carries the cursor.
    #[serde(default, rename = "cursor.param")]
    pub cursor_param: Option<String>,
    /// The cursor of the first request.
    #[serde(default, rename = "cursor.initial")]
    pub cursor_initial: Option<String>,
    /// Where the address of the next page is in the answer.
    #[serde(default, rename = "next.pointer")]
    pub next_pointer: Option<Pointer>,
    /// How long a request may take.
    #[serde(default = "thirty_seconds", rename = "request.timeout.ms")]
    pub request_timeout_ms: u64,
}

/// The configuration as the source uses it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) body: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) interval: Duration,
    pub(crate) records: Pointer,
    pub(crate) key: Option<Pointer>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) next: Option<Pointer>,
    pub(crate) timeout: Duration,
}

/// How a cursor is kept.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) param: String,
    pub(crate) from: CursorFrom,
    pub(crate) initial: Option<String>,
}

/// Where a cursor is read.
#[derive(Debug)]
pub(crate) enum CursorFrom {
    /// In the answer.
    Document(Pointer),
    /// In its last record.
    Record(Pointer),
}

impl Settings {
    pub(crate) fn new(config: Config) -> Result<Self> {
        let invalid = |key: &str, what: &str| Error::fatal(format!("configuration key \"{key}\": {what}"));
        let rest = config.url.strip_prefix("https://").or_else(|| config.url.strip_prefix("http://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        if authority.is_empty() || authority.contains('@') || config.url.contains('#') {
            return Err(invalid(
                "url",
                "must be http:// or https:// and a host, without a user and without a fragment",
            ));
        }
        let key = offsets::partition_bytes(&Partition { url: &config.url })?;
        if key > MAX_KEY_BYTES {
            let most = MAX_KEY_BYTES - (key - config.url.len());
            let what = format!(
                "has {} bytes and can have {most}: it is the source partition, a key of at most {MAX_KEY_BYTES}",
                config.url.len()
            );
            return Err(invalid("url", &what));
        }
        if config.body.is_some() && config.method == "GET" {
            return Err(invalid("body", "a GET has none; set \"method\" to POST"));
        }
        let from = match (config.cursor_pointer, config.cursor_record_pointer) {
            (Some(_), Some(_)) => return Err(invalid("cursor.pointer", "excludes \"cursor.record.pointer\"")),
            (Some(pointer), None) => Some(CursorFrom::Document(pointer)),
            (None, Some(pointer)) => Some(CursorFrom::Record(pointer)),
            (None, None) => None,
        };
        let cursor = match (config.cursor_param, from) {
            (Some(param), Some(from)) => Some(Cursor { param, from, initial: config.cursor_initial }),
            (Some(_), None) => {
                return Err(invalid("cursor.param", "needs \"cursor.pointer\" or \"cursor.record.pointer\""));
            }
            (None, Some(_)) => return Err(invalid("cursor.param", "must say how the cursor is sent")),
            (None, None) if config.cursor_initial.is_some() => {
                return Err(invalid("cursor.initial", "needs \"cursor.param\""));
            }
            (None, None) => None,
        };
        let mut headers: Vec<_> = config.headers.into_iter().collect();
        let mut default = |name: &str, value: &str| {
            if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        };
        default("Accept", "application/json");
        if config.body.is_some() {
            default("Content-Type", "application/json");
        }
        Ok(Self {
            url: config.url,
            method: config.method,
            body: config.body.unwrap_or_default(),
            headers,
            interval: Duration::from_millis(config.interval_ms),
            records: config.records,
            key: config.key,
            cursor,
            next: config.next_pointer,
            timeout: Duration::from_millis(config.request_timeout_ms),
        })
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn one_minute() -> u64 {
    60_000
}

fn thirty_seconds() -> u64 {
    30_000
}
