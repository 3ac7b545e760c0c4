//! What is traced in the end: what the file says, and where it is silent OpenTelemetry's own environment variables.

use percent_encoding::percent_decode_str;

use super::error::ConfigError;
use super::keys;
use super::rest::NOWHERE;
use super::secrets::{Secret, SecretSource};
use super::tracing::{Endpoint, Ratio, TracingConfig};
use crate::http::Injection;

/// The path at a collector that takes traces.
const PATH: &str = "v1/traces";

/// What is traced. It shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingOptions {
    /// The URL that takes traces.
    pub url: String,
    /// Headers that are sent along.
    pub headers: Vec<(String, Secret)>,
    /// The share of traces that is recorded.
    pub ratio: Ratio,
    /// Whether what others record is recorded here too.
    pub follows: bool,
    /// What the worker is called, where anybody says it.
    pub service_name: Option<String>,
}

impl TracingConfig {
    /// What is traced, or nothing, and what is odd in the environment. As OpenTelemetry has it, a variable that cannot be
    /// used is as one that is not set.
    pub fn resolve(&self, source: &dyn SecretSource) -> Result<(Option<TracingOptions>, Vec<String>), ConfigError> {
        let mut env = Env { source, warnings: Vec::new() };
        let url = match &self.endpoint {
            Endpoint::Nowhere => None,
            Endpoint::At(url) => Some(with_path(url)),
            Endpoint::Silent => env.url(),
        };
        let Some(url) = url else { return Ok((None, env.warnings)) };
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.clone(), value.resolve(source)?));
        }
        if headers.is_empty() {
            headers = env.headers();
        }
        let (ratio, follows) = self.ratio.map_or_else(|| env.sampler(), |ratio| (ratio, true));
        let service_name = self.service_name.clone().or_else(|| env.text("OTEL_SERVICE_NAME").map(|(_, name)| name));
        let is_silent = ratio == Ratio::NONE && !follows;
        let options = TracingOptions { url, headers, ratio, follows, service_name };
        Ok(((!is_silent).then_some(options), env.warnings))
    }
}

fn with_path(base: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}/{PATH}") }
}

struct Env<'a> {
    source: &'a dyn SecretSource,
    warnings: Vec<String>,
}

impl Env<'_> {
    /// The value of a variable, and its name; an empty one is not set.
    fn text(&self, name: &'static str) -> Option<(&'static str, String)> {
        let value = self.source.env(name)?.trim().to_owned();
        (!value.is_empty()).then_some((name, value))
    }

    fn url(&mut self) -> Option<String> {
        let is = |name, word: &str| self.text(name).is_some_and(|(_, value)| value.eq_ignore_ascii_case(word));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return None;
        }
        let whole = self.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let is_base = whole.is_none();
        let (name, text) = whole.or_else(|| self.text("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
        // The key has this word, too, and nobody means a host by it.
        if text.eq_ignore_ascii_case(NOWHERE) {
            return None;
        }
        let url = if is_base { with_path(&text) } else { text };
        if let Err(wrong) = keys::TRACING_ENDPOINT.kind.check(&url) {
            self.warnings.push(format!("{name} {wrong}; nothing is traced"));
            return None;
        }
        let protocol = self.text("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
        if let Some((name, protocol)) = protocol.or_else(|| self.text("OTEL_EXPORTER_OTLP_PROTOCOL"))
            && protocol != "http/protobuf"
        {
            let only = "traces are sent by http/protobuf only, so nothing is traced";
            self.warnings
                .push(format!("{name} is \"{protocol}\": {only}; tracing.endpoint names a collector for that"));
            return None;
        }
        Some(url)
    }

    /// `name=value,...`, values percent-encoded.
    fn headers(&mut self) -> Vec<(String, Secret)> {
        let list = self.text("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| self.text("OTEL_EXPORTER_OTLP_HEADERS"));
        let Some((variable, list)) = list else { return Vec::new() };
        let mut headers = Vec::new();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let header = item.split_once('=').and_then(|(name, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                let name = name.trim().to_ascii_lowercase();
                // For no host, and so to no end but to know whether it is a header.
                Injection::new(&name, &value, Vec::new()).ok()?;
                Some((name, Secret::new(value)))
            });
            match header {
                Some(header) => headers.push(header),
                // What it is may be a secret.
                None => self.warnings.push(format!(
                    "{variable} holds an item that is not name=value, or cannot be a header, it is left out"
                )),
            }
        }
        headers
    }

    /// The share, and whether others are followed.
    fn sampler(&mut self) -> (Ratio, bool) {
        let Some((name, sampler)) = self.text("OTEL_TRACES_SAMPLER") else { return (Ratio::ALL, true) };
        match sampler.as_str() {
            "always_on" => (Ratio::ALL, false),
            "always_off" => (Ratio::NONE, false),
            "traceidratio" => (self.ratio(), false),
            "parentbased_always_on" => (Ratio::ALL, true),
            "parentbased_always_off" => (Ratio::NONE, true),
            "parentbased_traceidratio" => (self.ratio(), true),
            _ => {
                self.warnings.push(format!("{name} is \"{sampler}\", which is not known; all traces are recorded"));
                (Ratio::ALL, true)
            }
        }
    }

    fn ratio(&mut self) -> Ratio {
        let Some((name, text)) = self.text("OTEL_TRACES_SAMPLER_ARG") else { return Ratio::ALL };
        Ratio::parse(&text).unwrap_or_else(|wrong| {
            self.warnings.push(format!("{name} {wrong}; all traces are recorded"));
            Ratio::ALL
        })
    }
}

#[cfg(test)]
mod tests {
    //! The file counts first, then the environment; a bad variable is told and left out.

    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::WorkerConfig;

    struct Fake(BTreeMap<&'static str, &'static str>);

    impl SecretSource for Fake {
        fn env(&self, name: &str) -> Option<String> {
            self.0.get(name).map(|value| (*value).to_owned())
        }

        fn file(&self, _: &Path) -> Result<String, String> {
            Err("not found".to_owned())
        }
    }

    fn resolve(
        file: &str,
        env: &[(&'static str, &'static str)],
    ) -> Result<(Option<TracingOptions>, Vec<String>), ConfigError> {
        let (config, _) = WorkerConfig::parse(Path::new("/s.toml"), file.as_bytes()).unwrap();
        config.tracing.resolve(&Fake(env.iter().copied().collect()))
    }

    #[track_caller]
    fn traced(file: &str, env: &[(&'static str, &'static str)]) -> TracingOptions {
        let (options, warnings) = resolve(file, env).unwrap();
        assert_eq!(warnings, [""; 0]);
        options.unwrap()
    }

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");
    const FILE: &str = "tracing.endpoint = \"https://f/otlp\"\n";

    #[test]
    fn nothing_is_traced_where_nobody_asks() {
        let silent: [(&str, &[(&str, &str)]); 9] = [
            ("", &[]),
            ("", &[("OTEL_SERVICE_NAME", "x")]),
            ("tracing.endpoint = \"none\"", &[BASE]),
            ("", &[BASE, ("OTEL_SDK_DISABLED", "true")]),
            ("", &[BASE, ("OTEL_TRACES_EXPORTER", "none")]),
            ("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "none")]),
            ("", &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "none")]),
            ("", &[BASE, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "None")]),
            ("", &[BASE, ("OTEL_TRACES_SAMPLER", "always_off")]),
        ];
        for (file, env) in silent {
            assert_eq!(resolve(file, env), Ok((None, Vec::new())), "{file} {env:?}");
        }
    }

    #[test]
    fn the_environment_counts_where_the_file_is_silent() {
        let options = traced("", &[BASE]);
        assert_eq!(
            (options.url.as_str(), options.ratio, options.follows),
            ("http://c:4318/v1/traces", Ratio::ALL, true)
        );
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x");
        assert_eq!(traced("", &[BASE, whole]).url, "http://t/x");
        let env = [
            BASE,
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20czM%3D, x-key=s3"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_SERVICE_NAME", "env"),
        ];
        let options = traced("", &env);
        let headers: Vec<_> = options.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("authorization", "Basic czM="), ("x-key", "s3")]);
        assert_eq!((options.ratio.get(), options.follows), (0.25, false));
        assert_eq!(options.service_name.as_deref(), Some("env"));
        assert!(!format!("{options:?}").contains("s3"), "{options:?}");
        let file = format!(
            "{FILE}tracing.sampling.ratio = 1\ntracing.service.name = \"file\"\ntracing.headers.a = \"${{env:OTEL_SERVICE_NAME}}\"\n"
        );
        let options = traced(&file, &env);
        assert_eq!((options.url.as_str(), options.follows), ("https://f/otlp/v1/traces", true));
        assert_eq!(options.headers, [("a".to_owned(), Secret::new("env"))]);
        assert_eq!(options.service_name.as_deref(), Some("file"));
    }

    #[test]
    fn what_cannot_be_used_is_told_and_left_out() {
        #[track_caller]
        fn warned(env: &[(&'static str, &'static str)], is_on: bool, part: &str) {
            let (options, warnings) = resolve("", env).unwrap();
            assert_eq!(options.is_some(), is_on, "{warnings:?}");
            assert!(warnings.len() == 1 && warnings[0].contains(part), "{warnings:?}");
            assert!(!warnings[0].contains("s3"), "{warnings:?}");
        }
        warned(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318")], false, "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL");
        warned(&[BASE, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], false, "http/protobuf only");
        warned(&[BASE, ("OTEL_TRACES_SAMPLER", "xray")], true, "\"xray\", which is not known");
        warned(&[BASE, ("OTEL_EXPORTER_OTLP_HEADERS", "s3")], true, "not name=value");
        for list in ["authorization=Basic%20s3%0A", "a b=s3", "host=s3", "x=s3%00", "x=s3%FF"] {
            warned(&[BASE, ("OTEL_EXPORTER_OTLP_HEADERS", list)], true, "cannot be a header");
        }
        let bad_ratio = [BASE, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "7")];
        warned(&bad_ratio, true, "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1");
    }

    #[test]
    fn a_secret_that_is_not_there_is_an_error() {
        let error = resolve(&format!("{FILE}tracing.headers.a = \"${{env:NOPE}}\""), &[]).unwrap_err();
        assert_eq!(error.to_string(), "/s.toml: tracing.headers.a: environment variable NOPE is not set");
    }
}
