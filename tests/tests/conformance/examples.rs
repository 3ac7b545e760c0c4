//! The example plugins pass, `faulty` fails what it is told to break; both by way of the program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::{built, plugins};
use serde_json::{Value, json};

/// How many calls there are at least in a run that says something of memory.
const CALLS: &str = "3000";

/// Runs the kit on an example, in an empty folder.
pub(crate) fn run(folder: &Path, package: &str, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(built::sandbar()?);
    command.arg("conformance").arg(plugins::path(package)?).args(["--calls", CALLS]).args(args);
    command.current_dir(folder).env_remove("RUST_LOG").output().context("the program")
}

/// Runs it with a configuration, and returns the report and the rules that are broken.
fn report(folder: &Path, package: &str, config: &Value, more: &[&str]) -> Result<(Value, BTreeSet<String>)> {
    let config = config.to_string();
    let args = [&["--json", "--config", &config], more].concat();
    let output = run(folder, package, &args)?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| error)?;
    let rules = report["rules"].as_array().context("rules")?;
    let failed = rules.iter().filter(|rule| rule["verdict"] == "fail").filter_map(|rule| rule["rule"].as_str());
    let failed: BTreeSet<_> = failed.map(str::to_owned).collect();
    ensure!(output.status.code() == Some(i32::from(!failed.is_empty())), "{}", output.status);
    Ok((report, failed))
}

/// The example breaks no rule, and was seen to keep these.
pub(crate) fn passes(package: &str, config: &Value, kept: &[&str], more: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    passes_in(folder.path(), package, config, kept, more)
}

fn passes_in(folder: &Path, package: &str, config: &Value, kept: &[&str], more: &[&str]) -> Result<()> {
    let (report, failed) = report(folder, package, config, more)?;
    ensure!(failed.is_empty(), "{package}: {failed:?} of {report:#}");
    for rule in report["rules"].as_array().context("rules")? {
        let wanted = kept.iter().any(|kept| rule["rule"] == *kept);
        ensure!(!wanted || rule["verdict"] == "pass", "{package}: {rule}");
    }
    let calls = &report["growth"][0]["calls"];
    ensure!(*calls == 3000 || !kept.contains(&"R71"), "{package}: {calls} calls");
    Ok(())
}

/// What every plugin that takes records and returns some is seen to keep.
const TRANSFORM: &[&str] =
    &["R11", "R12", "R13", "R14", "R22", "R24", "R26", "R28", "R38", "R44", "R46", "R51", "R55", "R70", "R71", "R72"];

#[test]
fn transforms_pass() -> Result<()> {
    passes("shout", &json!({}), TRANSFORM, &[])?;
    passes("word-count", &json!({}), TRANSFORM, &[])?;
    passes("word-count", &json!({"emit": "batch-end"}), TRANSFORM, &[])?;
    let operations = r#"[{"op": "set", "field": "by", "value": 1}, {"op": "drop", "fields": ["text"]}]"#;
    passes("json-transform", &json!({"operations": operations}), &[TRANSFORM, &["R29"]].concat(), &[])?;
    passes("json-transform", &json!({"operations": operations, "on.invalid": "pass"}), TRANSFORM, &[])
}

#[test]
fn sources_pass() -> Result<()> {
    let source = ["R11", "R12", "R13", "R14", "R15", "R16", "R18", "R37", "R55", "R71", "R74"];
    passes("datagen", &json!({"rate": 0}), &source, &[])?;
    passes("datagen", &json!({"rate": 0, "count": 100}), &["R17"], &[])?;
    let folder = tempfile::tempdir()?;
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    std::fs::write(folder.path().join("a.log"), lines)?;
    let config = json!({"path": folder.path(), "sandbox.fs.read": folder.path()});
    passes_in(folder.path(), "file-source", &config, &["R11", "R14", "R15", "R16", "R37", "R71"], &[])
}

#[test]
fn sinks_pass() -> Result<()> {
    for format in ["value", "json"] {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("{topic}-{partition}.txt");
        let config = json!({"path": path, "format": format, "sandbox.fs.write": folder.path()});
        let kept = ["R11", "R12", "R13", "R14", "R19", "R20", "R21", "R25", "R28", "R51", "R55", "R70", "R71", "R72"];
        passes_in(folder.path(), "file-sink", &config, &kept, &[])?;
        let written = std::fs::metadata(folder.path().join("sandbar-conformance-0.txt"))?.len();
        assert!(written > 100_000, "it was really run");
    }
    Ok(())
}

#[test]
fn faulty_passes_as_everything_it_is_while_it_behaves() -> Result<()> {
    let (report, failed) = report(tempfile::tempdir()?.path(), "faulty", &json!({}), &[])?;
    assert_eq!(failed, BTreeSet::new());
    assert_eq!(report["plugin"]["kinds"], json!(["source", "sink", "transform"]));
    assert_eq!(report["growth"].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[test]
fn faulty_fails_the_rules_it_breaks_and_no_others() -> Result<()> {
    // With the mode, the kind, and the budget, and what is broken.
    let cases: &[(&str, &str, Value, &[&str])] = &[
        ("panic", "sink", json!({"poison": ""}), &["R70"]),
        ("trap", "transform", json!({"poison": ""}), &["R70"]),
        ("abort", "sink", json!({"poison": ""}), &["R70"]),
        ("exit", "sink", json!({"poison": ""}), &["R70"]),
        ("loop", "sink", json!({"poison": "", "sandbox.fuel.per.call": 1_000_000_000}), &["R70"]),
        ("recurse", "transform", json!({"poison": ""}), &["R70"]),
        ("allocate", "sink", json!({"poison": "", "sandbox.memory.max.bytes": 33_554_432}), &["R70"]),
        ("leak", "source", json!({}), &["R71"]),
        ("sleep", "source", json!({"poison": "0", "millis": 300}), &[]),
        ("many-outputs", "source", json!({"count": 20}), &["R15"]),
        ("huge-output", "transform", json!({"poison": ""}), &["R73"]),
        ("panic", "source", json!({"at": "close"}), &["R70"]),
        ("trap", "source", json!({"at": "committed"}), &["R18", "R70"]),
        ("panic", "sink", json!({"at": "open"}), &["R70"]),
        ("panic", "sink", json!({"at": "assigned"}), &["R70"]),
        ("state-flood", "sink", json!({"poison": "", "sandbox.state.max.bytes": 1_000_000}), &[]),
        ("log-flood", "sink", json!({"poison": "", "count": 2000}), &[]),
        ("metric-flood", "sink", json!({"poison": "", "count": 2000}), &[]),
        ("stdout-flood", "sink", json!({"poison": "", "count": 2000}), &[]),
        ("retryable", "sink", json!({}), &[]),
        ("fatal", "transform", json!({}), &[]),
        ("throttled", "source", json!({"millis": 1}), &[]),
        ("fail-record", "sink", json!({}), &[]),
        ("retry-record", "transform", json!({}), &[]),
        ("retry-record", "sink", json!({"times": 3}), &[]),
        ("many-outputs", "transform", json!({"poison": "", "count": 20}), &[]),
        ("idle", "source", json!({}), &[]),
    ];
    for (mode, kind, config, expected) in cases {
        let mut config = config.clone();
        config["mode"] = (*mode).into();
        let (report, failed) = report(tempfile::tempdir()?.path(), "faulty", &config, &["--kind", kind])?;
        let findings: Vec<_> = report["rules"].as_array().into_iter().flatten().map(|rule| &rule["findings"]).collect();
        let findings: Vec<_> = findings.into_iter().filter(|findings| !findings.is_null()).collect();
        let expected: BTreeSet<_> = expected.iter().map(|rule| (*rule).to_owned()).collect();
        ensure!(failed == expected, "{mode} as a {kind}: {failed:?} found, {expected:?} expected: {findings:#?}");
    }
    Ok(())
}
