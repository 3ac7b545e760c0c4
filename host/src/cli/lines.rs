//! Log lines for people: time, level, message, then the fields as `key=value`, on one line whatever is in them.

use std::fmt::{self, Debug, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::text;

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// For somebody who watches: the local time of day, in colour or not.
    Watched {
        /// Whether levels have colours.
        colour: bool,
    },
    /// For a file: date and time in UTC.
    Kept,
}

impl Lines {
    fn time(self, now: Timestamp) -> String {
        match self {
            Self::Watched { .. } => now.to_zoned(TimeZone::system()).strftime("%H:%M:%S.%3f").to_string(),
            Self::Kept => format!("{now:.3}"),
        }
    }

    fn write(self, to: &mut dyn fmt::Write, now: Timestamp, level: Level, fields: &Fields) -> fmt::Result {
        let (dim, colour, reset) = match self {
            Self::Watched { colour: true } => (DIM, colour_of(level), RESET),
            _ => ("", "", ""),
        };
        let (time, level) = (self.time(now), level.as_str());
        writeln!(to, "{dim}{time}{reset} {colour}{level:>5}{reset} {}{dim}{}{reset}", fields.message, fields.others)
    }
}

fn colour_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.write(&mut writer, Timestamp::now(), *event.metadata().level(), &fields)
    }
}

/// An event's fields as text that is safe to show.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        if name == "message" {
            self.message = text::shown(value).into_owned();
        } else if !name.starts_with("log.") {
            // Those are where a crate that logs without `tracing` was called: of no use to the reader.
            let value = text::shown(value);
            let quote = if value.is_empty() || value.contains([' ', '=', '"']) { "\"" } else { "" };
            let escaped = if quote.is_empty() { value } else { value.replace('"', "\\\"").into() };
            // Writing to a string does not fail.
            let _ = write!(self.others, " {name}={quote}{escaped}{quote}");
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    //! How lines look.

    use super::*;

    fn fields() -> Fields {
        let mut fields = Fields::default();
        fields.add("message", "ready\x1b[2J");
        for (name, value) in [("plugins", "3"), ("reason", "a \"b\"\nc"), ("empty", ""), ("log.line", "1")] {
            fields.add(name, value);
        }
        fields
    }

    fn line(lines: Lines) -> String {
        let (mut text, now) = (String::new(), "2026-01-02T03:04:05.678901Z".parse().unwrap());
        lines.write(&mut text, now, Level::WARN, &fields()).unwrap();
        text
    }

    #[test]
    fn a_kept_line_has_the_date_and_no_colour() {
        let expected =
            "2026-01-02T03:04:05.678Z  WARN ready\\u{1b}[2J plugins=3 reason=\"a \\\"b\\\"\\nc\" empty=\"\"\n";
        assert_eq!(line(Lines::Kept), expected);
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        assert!(line(Lines::Watched { colour: true }).contains("\x1b[33m WARN\x1b[0m"));
        assert!(!line(Lines::Watched { colour: false }).contains('\x1b'));
    }
}
