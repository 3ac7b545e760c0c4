//! What tasks and their plugins logged lately: the last lines of each task, kept in memory for whoever asks.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use utoipa::ToSchema;

use crate::text::cut;

/// Lines that are kept of a task.
const LINES: usize = 500;
/// Tasks of which lines are kept. Of those beyond, the one that was silent for longest is forgotten.
const TASKS: usize = 1_000;

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// By connector and task; `None`: of the connector as a whole.
    tasks: BTreeMap<(String, Option<u64>), Lines>,
    /// Counts lines.
    clock: u64,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<LogLine>,
    last: u64,
}

/// A line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LogLine {
    /// When, by RFC 3339, in UTC.
    #[schema(example = "2026-11-28T01:02:03.123Z")]
    time: String,
    /// How severe it is: `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    level: &'static str,
    /// What was said.
    message: String,
    /// The plugin that said it; without one the host did.
    plugin: Option<String>,
    /// Which line it is of all: many come in one millisecond.
    #[serde(skip)]
    number: u64,
}

impl Logs {
    /// The last lines of a task, those about its connector as a whole among them, the oldest first.
    pub(super) fn of(&self, connector: &str, task: u64, limit: usize) -> Vec<LogLine> {
        let kept = self.lock();
        let lines = |task| kept.tasks.get(&(connector.to_owned(), task)).into_iter().flat_map(|kept| &kept.lines);
        let mut all: Vec<_> = lines(Some(task)).chain(lines(None)).cloned().collect();
        all.sort_by_key(|line| line.number);
        all.split_off(all.len().saturating_sub(limit))
    }

    fn keep(&self, connector: String, task: Option<u64>, mut line: LogLine) {
        let mut kept = self.lock();
        kept.clock += 1;
        let clock = kept.clock;
        let lines = kept.tasks.entry((connector, task)).or_default();
        lines.last = clock;
        line.number = clock;
        if lines.lines.len() >= LINES {
            lines.lines.pop_front();
        }
        lines.lines.push_back(line);
        if kept.tasks.len() > TASKS
            && let Some(oldest) = kept.tasks.iter().min_by_key(|(_, lines)| lines.last).map(|(key, _)| key.clone())
        {
            kept.tasks.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Logs {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut read = Read::default();
        event.record(&mut read);
        let Some(connector) = read.connector else { return };
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        let message = cut(&(read.message + &read.fields)).to_owned();
        let plugin = read.plugin.filter(|_| event.metadata().target() == "plugin");
        self.keep(connector, read.task, LogLine { time: now(), level, message, plugin, number: 0 });
    }
}

fn now() -> String {
    jiff::Timestamp::try_from(SystemTime::now()).map_or_else(|_| String::new(), |now| format!("{now:.3}"))
}

/// What an event says.
#[derive(Default)]
struct Read {
    connector: Option<String>,
    task: Option<u64>,
    plugin: Option<String>,
    message: String,
    fields: String,
}

impl Visit for Read {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "task" => self.task = Some(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

impl Read {
    fn take(&mut self, field: &Field, value: &str) {
        match field.name() {
            "connector" => self.connector = Some(value.to_owned()),
            "plugin" => self.plugin = Some(value.to_owned()),
            "message" => self.message.push_str(value),
            // Writing to a string does not fail.
            name => drop(write!(self.fields, " {name}={value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn lines_are_kept_by_task() {
        let logs = Logs::default();
        let subscriber = tracing_subscriber::registry().with(logs.clone());
        tracing::subscriber::with_default(subscriber, || {
            let name = "orders".to_owned();
            tracing::warn!(target: "plugin", connector = %name, task = 3_u32, plugin = "p", "hot");
            tracing::info!(connector = %name, "definition changed");
            tracing::info!(connector = %name, task = 4_u32, records = 7, "committed");
            tracing::info!("of nobody");
        });
        let told = |task| logs.of("orders", task, 10).into_iter().map(|line| line.message).collect::<Vec<_>>();
        assert_eq!(told(3), ["hot", "definition changed"]);
        assert_eq!(told(4), ["definition changed", "committed records=7"]);
        assert_eq!(logs.of("orders", 3, 1)[0].message, "definition changed");
        assert_eq!(logs.of("orders", 3, 9)[0].plugin.as_deref(), Some("p"));
        assert!(logs.of("others", 3, 9).is_empty());
    }

    #[test]
    fn neither_lines_nor_tasks_grow_without_bound() {
        let logs = Logs::default();
        let line = || LogLine { time: now(), level: "INFO", message: String::new(), plugin: None, number: 0 };
        for task in 0..TASKS as u64 + 5 {
            logs.keep("c".to_owned(), Some(task), line());
        }
        assert_eq!(logs.lock().tasks.len(), TASKS);
        assert!(logs.of("c", 0, 1).is_empty());
        for _ in 0..LINES + 5 {
            logs.keep("c".to_owned(), Some(9), line());
        }
        assert_eq!(logs.of("c", 9, usize::MAX).len(), LINES);
    }
}
