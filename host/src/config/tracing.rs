//! What `sandbar.toml` says of traces: where they are sent, with which headers, and how many there are.

use super::error::ErrorKind;
use super::keys;
use super::reader::{self, Reader};
use super::rest::NOWHERE;
use super::secrets::SecretValue;
use crate::http::check_header;

/// What the names of headers begin with.
const HEADERS: &str = "tracing.headers.";
/// How many headers there may be.
const MAX_HEADERS: usize = 32;

/// What the file says; where it says nothing, the environment counts. It shows no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracingConfig {
    /// Where traces are sent.
    pub endpoint: Endpoint,
    /// Headers that are sent along.
    pub headers: Vec<(String, SecretValue)>,
    /// The share of traces that is recorded.
    pub ratio: Option<Ratio>,
    /// What the worker is called.
    pub service_name: Option<String>,
}

/// Where traces are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// The file does not say it.
    #[default]
    Silent,
    /// Nowhere, whatever the environment says.
    Nowhere,
    /// To the collector with this URL.
    At(String),
}

/// A share from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

// A share is a number: it equals itself.
impl Eq for Ratio {}

impl Ratio {
    /// Everything.
    pub const ALL: Self = Self(1.0);
    /// Nothing.
    pub const NONE: Self = Self(0.0);

    /// Reads a number, which must be one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        keys::TRACING_SAMPLING_RATIO.kind.check(text)?;
        text.parse().map(Self).map_err(|_| "must be a number".to_owned())
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> TracingConfig {
    let endpoint = match reader.text(&keys::TRACING_ENDPOINT) {
        None => Endpoint::Silent,
        Some(text) if text == NOWHERE => Endpoint::Nowhere,
        Some(url) => Endpoint::At(url),
    };
    let headers = headers(reader);
    if let (Some((first, _)), Endpoint::Nowhere) = (headers.first(), &endpoint) {
        reader.warning(&format!("{HEADERS}{first}"), "has no effect: tracing.endpoint is none");
    }
    TracingConfig {
        endpoint,
        headers,
        ratio: reader.text(&keys::TRACING_SAMPLING_RATIO).and_then(|text| Ratio::parse(&text).ok()),
        service_name: reader.text(&keys::TRACING_SERVICE_NAME),
    }
}

fn headers(reader: &mut Reader<'_>) -> Vec<(String, SecretValue)> {
    let entries = reader.entries;
    let mut headers = Vec::new();
    for (key, value) in entries {
        let Some(name) = key.strip_prefix(HEADERS).filter(|name| !name.is_empty()) else { continue };
        let text = reader::text(value).filter(|text| !text.is_empty());
        let checked = check_header(name).and_then(|_| text.ok_or_else(|| "must be a single value".to_owned()));
        match checked.and_then(|text| SecretValue::new(reader.origin, key, text)) {
            Ok(_) if headers.len() == MAX_HEADERS => {
                reader.error(ErrorKind::Invalid, key, format!("is one too many, the limit is {MAX_HEADERS}"));
                return headers;
            }
            Ok(value) => headers.push((name.to_owned(), value)),
            Err(message) => reader.error(ErrorKind::Invalid, key, message),
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::WorkerConfig;

    fn parse(text: &str) -> Result<TracingConfig, Vec<String>> {
        let parsed = WorkerConfig::parse(Path::new("/s.toml"), text.as_bytes());
        parsed.map(|(config, _)| config.tracing).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_says_where_traces_go_and_shows_no_header() {
        let text = "[tracing]\nendpoint = \"https://o.example.com/otlp\"\nsampling.ratio = 0.5\nservice.name = \"west\"\n[tracing.headers]\nAuthorization = \"Basic s3\"\n";
        let config = parse(text).unwrap();
        assert_eq!(config.endpoint, Endpoint::At("https://o.example.com/otlp".to_owned()));
        assert_eq!((config.ratio.map(Ratio::get), config.service_name.as_deref()), (Some(0.5), Some("west")));
        assert_eq!(config.headers[0].0, "Authorization");
        assert!(!format!("{config:?}").contains("s3"), "{config:?}");
        assert_eq!(parse("").unwrap(), TracingConfig::default());
        assert_eq!(parse("tracing.endpoint = \"none\"").unwrap().endpoint, Endpoint::Nowhere);
    }

    #[test]
    fn faults_are_told_without_what_may_be_a_secret() {
        let text = "[tracing]\nendpoint = \"http://me:s3@x\"\nsampling.ratio = 2\n[tracing.headers]\nhost = \"x\"\nok = \"${env:}\"\n";
        let expected = [
            "/s.toml:2:1: tracing.endpoint: must not have a user or a password in it: credentials belong into a header",
            "/s.toml:3:1: tracing.sampling.ratio: must be a number from 0 to 1, not \"2\"",
            "/s.toml:5:1: tracing.headers.host: the header host is set by the host alone",
            "/s.toml:6:1: tracing.headers.ok: ${env:...} must name an environment variable",
        ];
        assert_eq!(parse(text).unwrap_err(), expected);
    }
}
