//! `sandbar validate`: everything that is wrong with plugins, definitions and `sandbar.toml`, at once and before they run.

mod check;
mod door;
mod input;
mod report;

use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};
use super::worker::DEFAULT_FILE;
use crate::config::WorkerConfig;
use check::Checker;
use report::Report;

/// Check plugins, connector definitions and sandbar.toml
///
/// Says everything that is wrong, each fault with its file, line, key and reason, where `sandbar run` would refuse one
/// thing after the other. Nothing is run, and no broker is asked.
///
/// What sandbar.toml says of the REST interface is checked as the host does when it starts: certificates, credentials,
/// names, and whether the address may be listened on; that its port is free is not. A secret that is not to be had here
/// is a warning.
///
/// Plugins (.wasm) are checked as the host checks them, with their signatures (.wasm.minisig) and what sandbar.toml says
/// of those it trusts. Definitions (.json, .toml) are held against the manifests of the plugins among PATHS and of those
/// in the plugins folder. Two definitions of one connector, and two files with the same version of one plugin, are faults
/// too.
///
/// The last line sums up. The exit code is 1 where anything is wrong; warnings alone are fine.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar validate                              sandbar.toml, and the plugins folder it names
  sandbar validate connectors/                  a folder
  sandbar validate orders.json --plugins /srv/plugins
  sandbar validate --json | jq -r '.findings[].message'")]
pub(super) struct ValidateArgs {
    /// Files, and folders as `run` would watch them [default: the plugins folder, and sandbar.toml if there is one]
    paths: Vec<PathBuf>,
    /// The worker's configuration, which is checked too [default: ./sandbar.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The plugins folder; overrides the file [default: plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks everything, and tells.
pub(super) fn run(args: &ValidateArgs) -> Outcome {
    let report = check(args);
    if args.json {
        super::print_json(&report)?;
    } else {
        super::print(report.text())?;
    }
    if report.is_ok() { Ok(()) } else { Err(Failure::Reported) }
}

fn check(args: &ValidateArgs) -> Report {
    let mut report = Report::default();
    let default = PathBuf::from(DEFAULT_FILE);
    let file = args.config.clone().or_else(|| default.exists().then_some(default));
    let mut worker = WorkerConfig::default();
    if let Some(file) = &file {
        // A worker with faults still has a plugins folder to look into: the default one.
        worker = report.worker(file).unwrap_or(worker);
    }
    if let Some(plugins) = &args.plugins {
        worker.plugins.clone_from(plugins);
    }
    let paths = if args.paths.is_empty() { std::slice::from_ref(&worker.plugins) } else { &args.paths };
    let inputs = input::gather(paths, &mut report);
    let mut checker = Checker::new(&worker, &mut report);
    for plugin in &inputs.plugins {
        checker.plugin(plugin);
    }
    if !args.paths.is_empty() {
        checker.look_up_in(&worker.plugins);
    }
    for definition in &inputs.definitions {
        checker.definition(definition);
    }
    let real = |path: &PathBuf| path.canonicalize().ok();
    let checked = file.as_ref().and_then(real);
    for other in inputs.workers.iter().filter(|other| checked.is_none() || real(other) != checked) {
        report.worker(other);
    }
    report
}
