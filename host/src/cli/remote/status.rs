//! `sandbar status`: what the connectors of a running host do.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::super::failure::{Failure, Outcome};
use super::super::text::{self, Table};
use super::super::{print, print_json};
use super::{HostArgs, read};
use crate::api::client::Asked;

/// Show what a running host does
///
/// Shows each connector with its state and, where it does not run or does not get on, the reason. RUNNING means that it
/// gets on or has nothing to do; STALLED that it runs and does not get on.
///
/// With a name it shows that connector's tasks, and which worker runs each.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar status
  sandbar status orders
  sandbar status --json | jq -r '.connectors[] | select(.state == \"FAILED\").name'")]
pub(in crate::cli) struct StatusArgs {
    /// Only this connector, with its tasks
    connector: Option<String>,
    /// Print JSON: everything that is known, counters and consumption included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// What is shown of the answer.
#[derive(Deserialize)]
struct Connector {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    plugin: Option<(String, String)>,
    state: String,
    reason: Option<String>,
    tasks: Vec<Task>,
}

/// The worker's place in its group.
#[derive(Deserialize)]
struct Worker {
    group: String,
    id: String,
    slots: usize,
    of: usize,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Task {
    id: u32,
    state: String,
    /// Which worker says so; of an older one it is not known.
    worker_id: Option<String>,
    trace: Option<String>,
    progress: Progress,
}

#[derive(Deserialize)]
struct Progress {
    records_in: u64,
    records_out: u64,
    dead_letters: u64,
}

/// Shows the status.
pub(in crate::cli) fn run(args: &StatusArgs) -> Outcome {
    let mut status = args.host.ask(Asked::get(&["v1", "status"]))?;
    if let Some(name) = &args.connector {
        let connectors = status.get_mut("connectors").and_then(Value::as_array_mut);
        let found = connectors.and_then(|all| all.iter().position(|c| c["name"] == **name).map(|at| all.remove(at)));
        let found = found.ok_or_else(|| Failure::new(format!("connector {name} not found")))?;
        return if args.json { print_json(&found) } else { print(tasks(&read(found)?)) };
    }
    if args.json {
        return print_json(&status);
    }
    let all = status.get_mut("connectors").map(Value::take).unwrap_or_default();
    let worker = status.get_mut("worker").map(Value::take).unwrap_or_default();
    let share = read::<Option<Worker>>(worker)?.map(|worker| worker.describe()).unwrap_or_default();
    print(format!("{}{share}", connectors(&read::<Vec<Connector>>(all)?)))
}

impl Worker {
    fn describe(&self) -> String {
        let Self { group, id, slots, of, reason } = self;
        let reason = reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let line = format!("worker {id} holds {slots} of {of} slots of group {group}{reason}");
        format!("\n{}\n", text::shown(&line))
    }
}

fn connectors(all: &[Connector]) -> String {
    let mut table =
        Table::new(&["NAME", "TYPE", "PLUGIN", "STATE", "TASKS", "IN", "OUT", "DEAD LETTERS", "REASON"], &[4, 5, 6, 7]);
    for connector in all {
        let sum = |count: fn(&Progress) -> u64| connector.tasks.iter().map(|task| count(&task.progress)).sum();
        let plugin = connector.plugin.as_ref().map(|(name, version)| format!("{name} {version}"));
        table.row([
            connector.name.as_str(),
            &connector.kind,
            plugin.as_deref().unwrap_or("-"),
            &connector.state,
            &connector.tasks.len().to_string(),
            &text::grouped(sum(|p| p.records_in)),
            &text::grouped(sum(|p| p.records_out)),
            &text::grouped(sum(|p| p.dead_letters)),
            connector.reason.as_deref().unwrap_or_default(),
        ]);
    }
    table.text("")
}

fn tasks(connector: &Connector) -> String {
    let mut table = Table::new(&["TASK", "STATE", "WORKER", "IN", "OUT", "DEAD LETTERS", "REASON"], &[0, 3, 4, 5]);
    for task in &connector.tasks {
        table.row([
            &task.id.to_string(),
            task.state.as_str(),
            task.worker_id.as_deref().unwrap_or("-"),
            &text::grouped(task.progress.records_in),
            &text::grouped(task.progress.records_out),
            &text::grouped(task.progress.dead_letters),
            task.trace.as_deref().unwrap_or_default(),
        ]);
    }
    let plugin =
        connector.plugin.as_ref().map_or_else(|| "-".to_owned(), |(name, version)| format!("{name} {version}"));
    let reason = connector.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let head = format!("{} ({}, {plugin}) {}{reason}", connector.name, connector.kind, connector.state);
    format!("{}\n{}", text::shown(&head), table.text("  "))
}

#[cfg(test)]
mod tests {
    //! What is shown of a host's answer.

    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        let progress = json!({"records_in": 1500, "records_out": 1499, "dead_letters": 1, "calls": 7});
        json!({
            "name": "orders", "type": "sink", "plugin": ["file-sink", "0.1.0"], "file": "orders.json",
            "state": "STALLED", "reason": "no progress for 40 s: disk full", "quarantined": [],
            "tasks": [{"id": 0, "state": "STALLED", "worker_id": "10.0.0.7:8083", "trace": "no progress for 40 s: disk full", "progress": progress}],
        })
    }

    #[test]
    fn a_line_for_each_connector() {
        let shown = connectors(&read::<Vec<_>>(json!([answer()])).unwrap());
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "NAME    TYPE  PLUGIN           STATE    TASKS     IN    OUT  DEAD LETTERS  REASON");
        assert_eq!(
            lines[1],
            "orders  sink  file-sink 0.1.0  STALLED      1  1,500  1,499             1  no progress for 40 s: disk full"
        );
    }

    #[test]
    fn a_connector_with_its_tasks() {
        let shown = tasks(&read(answer()).unwrap());
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "orders (sink, file-sink 0.1.0) STALLED: no progress for 40 s: disk full");
        assert!(lines[2].trim_start().starts_with("0  STALLED  10.0.0.7:8083"), "{shown}");
    }

    #[test]
    fn a_worker_tells_its_share() {
        let worker: Worker =
            read(json!({"group": "west", "id": "a1", "slots": 0, "of": 60, "reason": "no broker"})).unwrap();
        assert_eq!(worker.describe(), "\nworker a1 holds 0 of 60 slots of group west: no broker\n");
    }

    #[test]
    fn an_answer_of_another_version_says_so() {
        assert!(read::<Vec<Connector>>(json!({"all": []})).is_err());
    }
}
