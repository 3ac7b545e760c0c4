//! Everything that is counted, for Prometheus: made of the status whenever somebody asks, so that what is gone is gone.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::app::App;
use crate::control::{ConnectorState, ConnectorStatus, Status, TaskStatus};
use crate::sandbox::Usage;
use crate::task::{Distribution, Snapshot};

/// What Prometheus is told the answer is.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted of a task: the name of the metric, what it says, and how it is read.
type Counter = (&'static str, &'static str, fn(&Snapshot) -> f64);

const COUNTERS: &[Counter] = &[
    ("sandbar_task_records_in_total", "Records consumed, or polled from a source, and dealt with.", |s| {
        s.records_in as f64
    }),
    ("sandbar_task_records_out_total", "Records staged for topics, or written by a sink.", |s| s.records_out as f64),
    ("sandbar_task_bytes_in_total", "Bytes of batches consumed or polled.", |s| s.bytes_in as f64),
    ("sandbar_task_bytes_out_total", "Bytes of batches staged or written.", |s| s.bytes_out as f64),
    ("sandbar_task_dead_letters_total", "Records sent to the dead letter queue.", |s| s.dead_letters as f64),
    ("sandbar_task_records_dropped_total", "Records that failed and had no dead letter queue to go to.", |s| {
        s.dropped as f64
    }),
    ("sandbar_task_commits_total", "Transactions committed.", |s| s.commits as f64),
    ("sandbar_task_calls_total", "Calls into plugins that carried or asked for records.", |s| s.calls as f64),
    ("sandbar_task_instances_total", "Instances of plugins started.", |s| s.instances as f64),
    ("sandbar_task_starts_total", "Times the task was started; all but the first are restarts.", |s| s.runs as f64),
];

/// The same of one plugin of a task.
type StageCounter = (&'static str, &'static str, fn(&Usage) -> f64);

const STAGE_COUNTERS: &[StageCounter] = &[
    ("sandbar_plugin_calls_total", "Calls into the plugin, of every kind.", |u| u.calls as f64),
    ("sandbar_plugin_fuel_total", "Fuel used: about one unit an instruction.", |u| u.fuel as f64),
    ("sandbar_plugin_call_seconds_total", "Time that calls lasted, waits included.", |u| u.time.as_secs_f64()),
    ("sandbar_plugin_busy_seconds_total", "Time that calls held a thread of the host.", |u| u.busy.as_secs_f64()),
    ("sandbar_plugin_host_calls_total", "Calls of host functions.", |u| u.host_calls as f64),
];

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain")))]
pub(super) async fn get(State(app): State<App>) -> Response {
    let status = app.status().borrow().clone();
    let text = text(&status, |connector| app.lags.of(connector), app.tracer.counts());
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// `spans` are those that were sent, and those that were dropped.
fn text(status: &Status, lag: impl Fn(&str) -> Option<u64>, spans: Option<(u64, u64)>) -> String {
    let mut page = Page::default();
    page.worker(status);
    page.spans(spans);
    page.connectors(status, lag);
    page.tasks(status);
    page.plugins(status);
    page.0
}

/// The page as it grows. Writing to a string does not fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn worker(&mut self, status: &Status) {
        self.head("sandbar_build_info", "gauge", "Which version this is; always 1.");
        self.line("sandbar_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        self.head("sandbar_worker_ready", "gauge", "Whether everything in the folder that can start was started.");
        self.line("sandbar_worker_ready", &[], f64::from(u8::from(status.ready)));
        self.head("sandbar_plugins", "gauge", "Versions of plugins that can be used.");
        self.line("sandbar_plugins", &[], status.world.registry.iter().count() as f64);
        self.head("sandbar_plugins_refused", "gauge", "Plugin files that cannot be used.");
        self.line("sandbar_plugins_refused", &[], status.refused.len() as f64);
        if let Some(worker) = &status.worker {
            self.head("sandbar_worker_slots", "gauge", "Slots of the worker group that this worker holds.");
            self.line("sandbar_worker_slots", &[("group", &worker.group)], worker.slots as f64);
        }
    }

    fn spans(&mut self, spans: Option<(u64, u64)>) {
        let Some((exported, dropped)) = spans else { return };
        self.head("sandbar_spans_exported_total", "counter", "Spans that the collector has taken.");
        self.line("sandbar_spans_exported_total", &[], exported as f64);
        self.head("sandbar_spans_dropped_total", "counter", "Spans that the collector has not taken.");
        self.line("sandbar_spans_dropped_total", &[], dropped as f64);
    }

    fn connectors(&mut self, status: &Status, lag: impl Fn(&str) -> Option<u64>) {
        self.head("sandbar_connector_info", "gauge", "A connector and what it runs; always 1.");
        for connector in &status.connectors {
            let (plugin, version) = connector.plugin.as_ref().map_or(("", ""), |(name, version)| (name, version));
            let kind = connector.kind.map_or("unknown", |kind| kind.name());
            let labels =
                [("connector", connector.name.as_str()), ("type", kind), ("plugin", plugin), ("version", version)];
            self.line("sandbar_connector_info", &labels, 1.0);
        }
        self.head("sandbar_connector_state", "gauge", "1 for the state a connector is in, 0 for the others.");
        for connector in &status.connectors {
            for state in ConnectorState::ALL {
                let labels = [("connector", connector.name.as_str()), ("state", state.name())];
                self.line("sandbar_connector_state", &labels, f64::from(u8::from(connector.state == state)));
            }
        }
        self.head("sandbar_connector_lag_records", "gauge", "Records that are still to be consumed.");
        for connector in &status.connectors {
            if let Some(lag) = lag(&connector.name) {
                self.line("sandbar_connector_lag_records", &[("connector", &connector.name)], lag as f64);
            }
        }
        self.head(
            "sandbar_connector_quarantined",
            "gauge",
            "Versions of a connector's plugins that failed and are not tried again.",
        );
        for connector in &status.connectors {
            let labels = [("connector", connector.name.as_str())];
            self.line("sandbar_connector_quarantined", &labels, connector.quarantined.len() as f64);
        }
    }

    fn tasks(&mut self, status: &Status) {
        let snapshots: Vec<_> = tasks(status).map(|(c, task)| (c, task, task.progress.snapshot())).collect();
        for (name, help, read) in COUNTERS {
            self.head(name, "counter", help);
            for (connector, task, snapshot) in &snapshots {
                let number = task.id.to_string();
                self.line(name, &[("connector", &connector.name), ("task", &number)], read(snapshot));
            }
        }
        self.head("sandbar_task_state", "gauge", "1 for the state a task is in, 0 for the others.");
        for (connector, task) in tasks(status) {
            let number = task.id.to_string();
            for state in ConnectorState::ALL {
                let labels = [("connector", connector.name.as_str()), ("task", &number), ("state", state.name())];
                self.line("sandbar_task_state", &labels, f64::from(u8::from(task.state == state)));
            }
        }
        self.histograms("sandbar_task_commit_duration_seconds", "How long commits took.", status, |task| {
            task.progress.commit_time()
        });
        self.histograms("sandbar_task_batch_records", "How many records batches had.", status, |task| {
            task.progress.batch_size()
        });
    }

    fn histograms(&mut self, name: &str, help: &str, status: &Status, read: fn(&TaskStatus) -> Distribution) {
        self.head(name, "histogram", help);
        for (connector, task) in tasks(status) {
            let number = task.id.to_string();
            let labels = [("connector", connector.name.as_str()), ("task", number.as_str())];
            let Distribution { buckets, sum } = read(task);
            let mut count = 0;
            for (bound, more) in buckets {
                count += more;
                let bound = if bound == f64::MAX { "+Inf".to_owned() } else { bound.to_string() };
                let labels = [labels[0], labels[1], ("le", bound.as_str())];
                self.line(&format!("{name}_bucket"), &labels, count as f64);
            }
            self.line(&format!("{name}_sum"), &labels, sum);
            self.line(&format!("{name}_count"), &labels, count as f64);
        }
    }

    fn plugins(&mut self, status: &Status) {
        let stages: Vec<_> = tasks(status)
            .flat_map(|(connector, task)| {
                let stages = task.progress.snapshot().stages;
                stages.into_iter().map(move |stage| (connector, task.id.to_string(), stage))
            })
            .collect();
        for (name, help, read) in STAGE_COUNTERS {
            self.head(name, "counter", help);
            for (connector, task, stage) in &stages {
                let labels = [("connector", connector.name.as_str()), ("task", task), ("stage", &stage.stage)];
                self.line(name, &labels, read(&stage.usage));
            }
        }
        let name = "sandbar_plugin_memory_peak_bytes";
        self.head(name, "gauge", "The most linear memory that one instance has had.");
        for (connector, task, stage) in &stages {
            let labels = [("connector", connector.name.as_str()), ("task", task), ("stage", &stage.stage)];
            self.line(name, &labels, stage.usage.memory_peak as f64);
        }
    }
}

fn tasks(status: &Status) -> impl Iterator<Item = (&ConnectorStatus, &TaskStatus)> {
    status.connectors.iter().flat_map(|connector| connector.tasks.iter().map(move |task| (connector, task)))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_any_name() {
        let mut page = Page::default();
        page.line("m", &[("a", "x\"y\\z\n"), ("b", "")], 1.5);
        page.line("n", &[], 2.0);
        assert_eq!(page.0, "m{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1.5\nn 2\n");
    }

    #[test]
    fn an_empty_worker_has_metrics_of_its_own() {
        let text = text(&Status::default(), |_| None, Some((1, 2)));
        assert!(text.contains("\nsandbar_worker_ready 0\n"), "{text}");
        assert!(text.contains("\nsandbar_spans_dropped_total 2\n"), "{text}");
        // Every metric says what it is.
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split([' ', '{']).next().unwrap();
            assert!(text.contains(&format!("# TYPE {name} ")), "{line}");
        }
    }
}
