//! `sandbar logs`: what a task and its plugins logged lately.

use clap::Args;
use serde::Deserialize;

use super::super::failure::Outcome;
use super::super::text::shown;
use super::super::{print, print_json};
use super::{HostArgs, read};
use crate::api::client::Asked;

/// Show what a connector's task logged lately
///
/// The host keeps the last lines of each task, those of its plugins among them, in memory.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar logs orders
  sandbar logs orders --task 2 --limit 20")]
pub(in crate::cli) struct LogsArgs {
    /// The connector's name
    connector: String,
    /// The task's number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    task: u32,
    /// The most lines, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Deserialize)]
struct Lines {
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    time: String,
    level: String,
    message: String,
    plugin: Option<String>,
}

/// Shows them.
pub(in crate::cli) fn run(args: &LogsArgs) -> Outcome {
    let task = args.task.to_string();
    let path = ["v1", "connectors", &args.connector, "tasks", &task, "logs"];
    let answer = args.host.ask(Asked::get(&path).query(format!("limit={}", args.limit)))?;
    if args.json {
        return print_json(&answer);
    }
    let Lines { lines } = read(answer)?;
    let line = |Line { time, level, message, plugin }: &Line| {
        let who = plugin.as_deref().map_or_else(String::new, |plugin| format!("{plugin}: "));
        format!("{time} {level:<5} {}\n", shown(&format!("{who}{message}")))
    };
    print(lines.iter().map(line).collect::<String>())
}
