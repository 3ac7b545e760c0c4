//! `sandbar conformance`: whether a plugin of any language keeps to the ABI, rule by rule.

mod input;
mod report;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sandbar_abi::manifest::Kind;

use super::failure::{Failure, Outcome};
use super::inspect::read_plugin;
use super::worker::runtime;
use super::{logging, text};
use crate::conformance::{self, Options, Report, Rule, RuleReport, Verdict};
use crate::plugins::{self, Admitted, Plugin, Refusal, Source};
use crate::sandbox::{Compiled, Engine};
use crate::trust::Policy;

/// How many calls it takes to see a leak of a byte a call.
const CALLS: u64 = 1_000_000;

/// Hold a plugin to the rules of the ABI
///
/// Runs a plugin through the rules of docs/abi.md (R1, R2, ...) and says of each whether it passed, failed, was skipped,
/// or is the host's to keep. Every case runs on fresh instances. Failures are told in full: what was seen, what the rule
/// says, and where it stands.
///
/// The plugin is run for real, with real records: what its configuration names is read and written. A sink that cannot be
/// opened without a configuration needs one of a system for tests, with --definition or --config.
///
/// A plugin of several kinds is tested as each of them, unless --kind or the definition names one. A plugin that refuses
/// a record with an error class or a disposition passes; one that traps does not.
///
/// The exit code is 1 where a rule is broken, and 2 where the plugin could not be tried. With --rule it is about that rule:
/// 2 where it was skipped and another is broken.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar conformance upper.wasm
  sandbar conformance sink.wasm --definition orders.json --calls 10000
  sandbar conformance sink.wasm --config '{\"path\": \"/tmp/out\", \"sandbox.fs.write\": \"/tmp\"}'
  sandbar conformance upper.wasm --rule R13
  sandbar conformance upper.wasm --json | jq -r '.rules[] | select(.verdict == \"fail\") | .rule'")]
pub(super) struct ConformanceArgs {
    /// The plugin
    file: PathBuf,
    /// A connector's definition: how the plugin is configured, what it is granted, and as what it runs
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    definition: Option<PathBuf>,
    /// The `config` of a definition, as JSON or as a file of it; class, topic and topics need not be there
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// As what it is tested [default: all that its manifest says]
    #[arg(long, value_name = "KIND")]
    kind: Option<KindArg>,
    /// Records that it makes sense of, a line each, as `sandbar topic write --json` takes them
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// How many calls are made to see whether memory grows
    #[arg(long, value_name = "N", default_value_t = CALLS, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
    /// Try one rule only
    #[arg(long, value_name = "RULE", value_parser = rule)]
    rule: Option<u16>,
    /// Where the other plugins of the definition are [default: the plugins folder]
    #[arg(long, value_name = "DIR", requires = "definition")]
    plugins: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    Source,
    Sink,
    Transform,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Source => Self::Source,
            KindArg::Sink => Self::Sink,
            KindArg::Transform => Self::Transform,
        }
    }
}

/// Tests the plugin, and tells.
pub(super) fn run(args: &ConformanceArgs) -> Outcome {
    logging::start_quietly()?;
    let report = test(args).map_err(Failure::untried)?;
    if args.json {
        super::print_json(&report)?;
    } else {
        super::print(report::text(&report))?;
    }
    if !report.is_ok() {
        return Err(Failure::Reported);
    }
    if let Some(untried) = untried(&args.file, &report) {
        return Err(untried);
    }
    let reasons = report.not_opened.iter().map(|not| format!("as a {}: {}", not.kind.name(), not.reason));
    let reasons: Vec<_> = reasons.collect();
    if reasons.is_empty() {
        return Ok(());
    }
    let message = format!("{}: could not be opened, {}", args.file.display(), reasons.join("; "));
    Err(Failure::new(message).hint("--definition or --config say how it is opened").untried())
}

/// That the one rule asked for was not tried while others are broken, which may be why.
fn untried(file: &Path, report: &Report) -> Option<Failure> {
    let wanted = report.rules.iter().find(|rule| rule.verdict == Verdict::Skipped)?;
    let seen = |rule: &RuleReport| rule.findings.first().map(|finding| format!(": {}", finding.seen));
    let others = report.others.iter().map(|rule| format!("{} is broken{}", rule.rule, seen(rule).unwrap_or_default()));
    let others: Vec<_> = others.collect();
    if others.is_empty() {
        return None;
    }
    let message = format!("{}: {} was not tried, {}", file.display(), wanted.rule, others.join("; "));
    Some(Failure::new(message).hint("without --rule, all that is broken is told in full").untried())
}

fn test(args: &ConformanceArgs) -> Outcome<Report> {
    let wasm = read_plugin(&args.file)?;
    // Whoever runs the kit on a file says by that that it may run.
    let Admitted { trust, inspection } = match plugins::admit(&wasm, None, &Policy::default()) {
        Ok(admitted) => admitted,
        Err(Refusal::Invalid(errors)) => return Ok(conformance::refused(&errors, args.rule)),
        Err(refusal @ Refusal::Untrusted(_)) => return Err(Failure::new(refusal)),
    };
    let records = args.records.as_deref().map(input::records).transpose()?;
    let engine = Engine::new().map_err(Failure::new)?;
    let compiled = Compiled::new(&engine, &wasm, None)
        .map_err(|error| Failure::new(format!("{}: {error}", args.file.display())))?;
    let source = Source { wasm: wasm.into(), signature: None };
    let plugin = Plugin { trust, inspection, compiled, source };
    let options = Options { calls: args.calls, only: args.rule, records };
    runtime()?.block_on(async {
        let subjects = input::subjects(args, &plugin).await?;
        Ok(conformance::run(&plugin.inspection, &subjects, &options).await)
    })
}

fn rule(name: &str) -> Result<u16, String> {
    let number = name.trim_start_matches(['R', 'r']).parse().ok().filter(|number| Rule::of(*number).is_some());
    number.ok_or_else(|| format!("there is no rule {}, docs/abi.md lists them: R1, R2, ...", text::shown(name)))
}
