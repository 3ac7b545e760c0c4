//! `sandbar connectors`: list, show, create, change and delete connectors.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::failure::{Failure, Outcome};
use super::super::text::Table;
use super::super::{print, print_json};
use super::{HostArgs, read};
use crate::api::client::Asked;
use crate::config::{Definition, MAX_DEFINITION_BYTES};

/// List, create and delete the connectors of a running host
///
/// What is created here is kept where all workers of the group follow it. A connector that a file of the plugin folder
/// defines is listed too, and changed by changing the file.
#[derive(Args)]
pub(in crate::cli) struct ConnectorsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the connectors
    ///
    /// With their type, state and tasks.
    #[command(after_help = "Examples:\n  sandbar connectors list\n  sandbar connectors list --json | jq -r 'keys[]'")]
    List {
        /// Print JSON, as Kafka Connect's REST interface answers
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Show a connector's configuration
    ///
    /// Secrets that are written out in it are hidden.
    #[command(after_help = "Examples:\n  sandbar connectors show orders")]
    Show {
        /// The connector's name
        connector: String,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Create a connector, or change it
    ///
    /// Takes a file as the plugin folder does: JSON or TOML, with "name" and "config".
    #[command(after_help = "Examples:\n  sandbar connectors apply orders.json")]
    Apply {
        /// The definition
        file: PathBuf,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Delete a connector
    ///
    /// Its offsets and its state stay: one of the same name goes on where it was.
    #[command(after_help = "Examples:\n  sandbar connectors delete orders")]
    Delete {
        /// The connector's name
        connector: String,
        #[command(flatten)]
        host: HostArgs,
    },
}

#[derive(Deserialize)]
struct Row {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    name: String,
    connector: State,
    tasks: Vec<State>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct State {
    state: String,
    worker_id: String,
}

/// Does it.
pub(in crate::cli) fn run(args: &ConnectorsArgs) -> Outcome {
    match &args.what {
        What::List { json, host } => {
            let all = host.ask(Asked::get(&["connectors"]).query("expand=info&expand=status"))?;
            if *json { print_json(&all) } else { print(table(all)?) }
        }
        What::Show { connector, host } => print_json(&host.ask(Asked::get(&["connectors", connector, "config"]))?),
        What::Apply { file, host } => apply(file, host),
        What::Delete { connector, host } => host.ask(Asked::new(Method::DELETE, &["connectors", connector])).map(drop),
    }
}

fn apply(file: &Path, host: &HostArgs) -> Outcome {
    let length = std::fs::metadata(file).map(|found| found.len());
    let unreadable = |error| Failure::new(format!("{}: {error}", file.display()));
    if length.map_err(unreadable)? > MAX_DEFINITION_BYTES as u64 {
        return Err(Failure::new(format!("{} is larger than {MAX_DEFINITION_BYTES} bytes", file.display())));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let definition = Definition::parse(file, &bytes)?;
    let (name, config) = (definition.name.as_str(), json!(definition.config()));
    let known = host.ask(Asked::get(&["connectors"]))?;
    let is_known = known.as_array().is_some_and(|names| names.iter().any(|known| known == name));
    if is_known {
        return host.ask(Asked::new(Method::PUT, &["connectors", name, "config"]).json(&config)).map(drop);
    }
    let state = definition.initial_state.name();
    let body = json!({"name": name, "config": config, "initial_state": state});
    host.ask(Asked::new(Method::POST, &["connectors"]).json(&body)).map(drop)
}

fn table(all: Value) -> Outcome<String> {
    let all: std::collections::BTreeMap<String, Row> = read(all)?;
    let mut table = Table::new(&["NAME", "TYPE", "STATE", "TASKS", "RUNNING", "WORKER"], &[3, 4]);
    for Row { status } in all.into_values() {
        let running = status.tasks.iter().filter(|task| task.state == "RUNNING").count();
        table.row([
            status.name.as_str(),
            &status.kind,
            &status.connector.state,
            &status.tasks.len().to_string(),
            &running.to_string(),
            &status.connector.worker_id,
        ]);
    }
    Ok(table.text(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_connector() {
        let task = |state: &str| json!({"id": 0, "state": state, "worker_id": "a:1"});
        let status = json!({"name": "orders", "type": "sink", "connector": task("RUNNING"),
            "tasks": [task("RUNNING"), task("FAILED")]});
        let shown = table(json!({"orders": {"info": {}, "status": status}})).unwrap();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "NAME    TYPE  STATE    TASKS  RUNNING  WORKER");
        assert_eq!(lines[1], "orders  sink  RUNNING      2        1  a:1");
    }
}
