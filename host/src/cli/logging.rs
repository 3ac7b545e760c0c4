//! Sets logging up: what is logged, how it looks, and that it goes through the console.

use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use super::console::Console;
use super::failure::{Failure, Outcome};
use super::lines::Lines;
use crate::api::{AUDIT, Loggers, Logs};
use crate::config::LogFormat;
use crate::wiring::Process;

/// What is logged by commands that answer and end: what is wrong, but for what librdkafka says while it tries again and
/// again. The error a command ends with repeats the last of that.
const QUIET: &str = "warn,librdkafka=off,rdkafka=off";

/// How messages look, once it is known where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines for people.
    Lines(Lines),
    /// One JSON object a line.
    Json,
}

impl Format {
    /// What a configured format means on a terminal, or elsewhere.
    pub fn of(format: LogFormat, is_terminal: bool, colour: bool) -> Self {
        match (format, is_terminal) {
            (LogFormat::Json, _) | (LogFormat::Auto, false) => Self::Json,
            (LogFormat::Auto | LogFormat::Plain, true) => Self::Lines(Lines::Watched { colour }),
            (LogFormat::Plain, false) => Self::Lines(Lines::Kept),
        }
    }

    /// Whether somebody watches, who is served by a status block.
    pub fn is_watched(self) -> bool {
        matches!(self, Self::Lines(Lines::Watched { .. }))
    }
}

/// Logs to the console from now on: what `RUST_LOG` says if it is set, else everything down to `level`.
pub(super) fn start(level: &str, format: Format, console: &Console) -> Outcome<Process> {
    install(&directives(level), format, console)
}

/// Logging for commands that answer and end.
pub(super) fn start_quietly() -> Outcome {
    let console = Console::stderr();
    install(QUIET, Format::Lines(Lines::Watched { colour: colour(&console) }), &console).map(drop)
}

fn install(directives: &str, format: Format, console: &Console) -> Outcome<Process> {
    let variable = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.is_empty());
    let filter = match &variable {
        Some(text) => EnvFilter::try_new(text)
            .map_err(|error| Failure::new(format!("RUST_LOG: {error}")).hint("a value that works is RUST_LOG=debug"))?,
        None => EnvFilter::try_new(directives).map_err(Failure::new)?,
    };
    let base = filter.to_string();
    let (filter, handle) = reload::Layer::new(filter);
    let logs = Logs::default();
    let registry = tracing_subscriber::registry().with(filter).with(logs.clone());
    let console = console.clone();
    let started = match format {
        Format::Json => registry.with(layer().json().flatten_event(true).with_writer(console)).try_init(),
        Format::Lines(lines) => registry.with(layer().event_format(lines).with_writer(console)).try_init(),
    };
    started.map_err(Failure::new)?;
    let loggers = Loggers::new(&base, move |filter| handle.reload(filter).map_err(|error| error.to_string()));
    Ok(Process { logs, loggers })
}

/// Whether to use colours: <https://no-color.org>.
pub(super) fn colour(console: &Console) -> bool {
    console.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The level is that of Sandbar and its plugins. Its libraries, whose details drown everything else, stay at `info`;
/// librdkafka, which reports every connection it makes, at `warn`.
fn directives(level: &str) -> String {
    match level {
        "off" => level.to_owned(),
        "error" | "warn" => format!("{level},{AUDIT}=info"),
        "info" => "info,librdkafka=warn,rdkafka=warn".to_owned(),
        level => format!("info,sandbar={level},plugin={level},librdkafka=warn,rdkafka=warn"),
    }
}

#[cfg(test)]
mod tests {
    //! What is logged, and how.

    use super::*;

    #[test]
    fn a_terminal_gets_lines_and_a_pipe_gets_json_unless_told() {
        let of = |format, terminal| Format::of(format, terminal, false);
        assert!(of(LogFormat::Auto, true).is_watched() && of(LogFormat::Plain, true).is_watched());
        assert_eq!(of(LogFormat::Auto, false), Format::Json);
        assert_eq!(of(LogFormat::Json, true), Format::Json);
        assert_eq!(of(LogFormat::Plain, false), Format::Lines(Lines::Kept));
    }

    #[test]
    fn libraries_are_quieter_than_the_host() {
        for level in ["off", "error", "warn", "info", "debug", "trace"] {
            assert!(EnvFilter::try_new(directives(level)).is_ok(), "{level}");
        }
        assert!(EnvFilter::try_new(QUIET).is_ok());
        assert_eq!(directives("error"), "error,audit=info");
        assert!(directives("trace").contains("sandbar=trace") && directives("trace").contains("librdkafka=warn"));
    }
}
