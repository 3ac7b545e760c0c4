//! `sandbar conformance` as people and programs use it: what it prints, and its exit codes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use sandbar::conformance::RULES;
use sandbar_abi::names;
use sandbar_tests::built;
use sandbar_tests::wat::Guest;
use serde_json::{Value, json};

/// Runs the program, and returns its exit code and what it printed.
pub(crate) fn conformance(folder: &Path, args: &[&str]) -> Result<(Option<i32>, String, String)> {
    let output = Command::new(built::sandbar()?).arg("conformance").args(args).current_dir(folder).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes);
    Ok((output.status.code(), text(output.stdout)?, text(output.stderr)?))
}

/// A folder with a guest of that name in it.
pub(crate) fn with(guest: &Guest) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("wat.wasm"), guest.build()?)?;
    Ok(folder)
}

#[test]
fn people_get_a_line_for_each_rule_and_failures_in_full() -> Result<()> {
    let folder = with(&Guest::new().with(names::WRITE, "(i64.const -9)"))?;
    let (code, out, _) = conformance(folder.path(), &["wat.wasm", "--calls", "1000", "--kind", "sink"])?;
    assert_eq!(code, Some(1));
    assert!(out.starts_with("wat 1.2.3 (sink)\n\nsection 1, The module\n  pass  R1   one core module"), "{out}");
    for line in ["  FAIL  R73  a number below zero", "  host  R10  ", "  skip  R17  "] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let failure = "\nR73 failed: a number below zero is an error class, and the sign bit nothing else\n  \
        seen: write: contract violation: sandbar_write returned -9, which is no error class (case buffer, as a sink)\n";
    assert!(out.contains(failure), "{out}");
    assert!(out.contains("\n  rule: R73 in docs/abi.md, section 4, Return values\n"), "{out}");
    let summary = out.lines().last().unwrap_or_default();
    assert!(summary.contains(" passed, 1 failed, ") && summary.contains(" are the host's, in "), "{summary}");
    Ok(())
}

#[test]
fn programs_get_one_object_of_a_shape_that_stays() -> Result<()> {
    let folder = with(&Guest::new())?;
    let (code, out, _) = conformance(folder.path(), &["wat.wasm", "--calls", "2000", "--kind", "transform", "--json"])?;
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&out)?;
    let keys =
        |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    assert_eq!(keys(&report), ["format", "growth", "not_opened", "plugin", "rules", "seconds", "summary"]);
    assert_eq!(report["format"], 1);
    assert_eq!(keys(&report["plugin"]), ["kinds", "name", "sha256", "version"]);
    assert_eq!(report["plugin"]["kinds"], json!(["transform"]));
    let growth = &report["growth"][0];
    assert_eq!(keys(growth), ["bytes_after", "bytes_before", "calls", "kind", "records", "seconds"]);
    assert_eq!((&growth["calls"], &growth["kind"]), (&json!(2000), &json!("transform")));
    let rules = report["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(rules.len(), RULES.len());
    let passed = json!({"rule": "R1", "where": "docs/abi.md, section 1, The module", "verdict": "pass",
        "says": "one core module, of a size that is taken"});
    assert_eq!(rules[0], passed);
    let of = |number: &str| rules.iter().find(|rule| rule["rule"] == number).cloned().unwrap_or_default();
    assert_eq!((&of("R10")["verdict"], &of("R15")["verdict"]), (&json!("host"), &json!("skipped")));
    assert_eq!(of("R15")["reason"], "it is about a source");
    let count = |verdict: &str| rules.iter().filter(|rule| rule["verdict"] == verdict).count();
    let summary = json!({"passed": count("pass"), "failed": 0, "skipped": count("skipped"), "host": count("host")});
    assert_eq!(report["summary"], summary);
    Ok(())
}

#[test]
fn a_file_that_is_refused_fails_its_rule_and_is_not_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("wat.wasm"), "nonsense")?;
    let (code, out, _) = conformance(folder.path(), &["wat.wasm", "--json"])?;
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!((code, &report["plugin"]), (Some(1), &Value::Null));
    let finding = json!([{"case": null, "kind": null, "seen": "the file is not WebAssembly: it looks like text"}]);
    assert_eq!((&report["rules"][0]["verdict"], &report["rules"][0]["findings"]), (&json!("fail"), &finding));
    Ok(())
}

#[test]
fn what_cannot_be_tried_is_told_apart_from_what_fails() -> Result<()> {
    let said = "(call $set_error (i32.const -2) (i32.const 8) (i32.const 7)) (i64.const -2)";
    let guest = Guest::new().field(r#"(data (i32.const 8) "no path")"#).with(names::OPEN, said);
    let folder = with(&guest)?;
    let (code, out, error) = conformance(folder.path(), &["wat.wasm", "--kind", "sink"])?;
    assert_eq!(code, Some(2), "{out}");
    assert!(
        error.contains("wat.wasm: could not be opened, as a sink: open: fatal: no path\nhint: --definition"),
        "{error}"
    );
    for (args, words) in [
        (&["none.wasm"][..], "error: none.wasm: "),
        (&["wat.wasm", "--config", "{"], "error: --config: "),
        (&["wat.wasm", "--config", r#"{"tasks.max": "many"}"#], "error: --config: tasks.max: "),
        (&["wat.wasm", "--definition", "none.json"], "error: none.json: "),
        (&["wat.wasm", "--records", "none.jsonl"], "error: none.jsonl: "),
        (&["wat.wasm", "--rule", "R999"], "there is no rule R999"),
        (&["wat.wasm", "--calls", "0"], "--calls"),
    ] {
        let (code, out, error) = conformance(folder.path(), args)?;
        assert!(code == Some(2) && error.contains(words), "{args:?}: {code:?} {out} {error}");
    }
    Ok(())
}

#[test]
fn one_rule_of_a_file_that_is_no_plugin_is_not_tried() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("wat.wasm"), "nonsense")?;
    let (code, out, error) = conformance(folder.path(), &["wat.wasm", "--rule", "R13"])?;
    assert_eq!(code, Some(2), "{out}");
    let told =
        "error: wat.wasm: R13 was not tried, R1 is broken: the file is not WebAssembly: it looks like text\nhint: ";
    assert!(error.contains(told), "{error}");
    let (code, out, _) = conformance(folder.path(), &["wat.wasm", "--rule", "R1", "--json"])?;
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!((code, report.get("others")), (Some(1), None), "{out}");
    Ok(())
}

#[test]
fn one_rule_of_a_plugin_that_traps_when_it_is_opened_is_not_tried() -> Result<()> {
    let folder = with(&Guest::new().with(names::OPEN, "unreachable"))?;
    let ask = |more: &[&str]| -> Result<_> {
        let (code, out, error) =
            conformance(folder.path(), &[&["wat.wasm", "--kind", "sink", "--json"], more].concat())?;
        Ok((code, serde_json::from_str::<Value>(&out)?, error))
    };
    let (code, report, error) = ask(&["--rule", "R13"])?;
    assert_eq!((code, &report["rules"][0]["verdict"]), (Some(2), &json!("skipped")), "{report:#}");
    assert!(error.contains("error: wat.wasm: R13 was not tried, R70 is broken: open: "), "{error}");
    assert_eq!((&report["others"][0]["rule"], &report["others"][0]["verdict"]), (&json!("R70"), &json!("fail")));
    // What it breaks is told as ever, and what is read from its bytes needs no opening.
    for (rule, expected) in [("R70", 1), ("R1", 0)] {
        let (code, report, _) = ask(&["--rule", rule])?;
        assert_eq!((code, report.get("others")), (Some(expected), None), "{report:#}");
    }
    let (code, report, _) = ask(&[])?;
    assert_eq!((code, &report["not_opened"][0]["kind"]), (Some(1), &json!("sink")));
    let reason = report["not_opened"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("open: "), "{reason}");
    Ok(())
}

#[test]
fn a_plugin_that_breaks_a_rule_after_it_was_opened_was_opened() -> Result<()> {
    let folder = with(&Guest::new().with(names::CLOSE, "unreachable"))?;
    let (code, out, error) = conformance(folder.path(), &["wat.wasm", "--kind", "sink", "--rule", "R13", "--json"])?;
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!((code, &report["not_opened"]), (Some(2), &json!([])), "{report:#}");
    assert!(error.contains("R13 was not tried, R70 is broken: close: "), "{error}");
    Ok(())
}

#[test]
fn a_definition_says_how_the_plugin_is_opened_and_records_are_its_own() -> Result<()> {
    // It refuses to open as anything but a transform of the connector that the definition names.
    let guest = Guest::new().manifest("config", json!({"properties": {"mode": {"type": "integer"}}}));
    let folder = with(&guest)?;
    let put = |name: &str, content: String| std::fs::write(folder.path().join(name), content);
    let config =
        json!({"connector.class": "wat", "connector.type": "transform", "topics": "a", "topic": "b", "mode": "7"});
    put("orders.json", json!({"name": "orders", "config": config}).to_string())?;
    put("records.jsonl", "{\"value\":\"a\"}\n\n{\"key\":\"k\",\"value\":null}\n".to_owned())?;
    let args = ["wat.wasm", "--definition", "orders.json", "--records", "records.jsonl", "--calls", "1500", "--json"];
    let (code, out, error) = conformance(folder.path(), &args)?;
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!(report["plugin"]["kinds"], json!(["transform"]));
    put("records.jsonl", "{\"value\":\"a\"}\n{\"valeu\":1}\n".to_owned())?;
    let (code, _, error) = conformance(folder.path(), &args)?;
    assert!(code == Some(2) && error.contains("error: records.jsonl:2: "), "{error}");
    put("records.jsonl", "{}\n".to_owned())?;
    put("orders.json", json!({"name": "orders", "config": {"connector.class": "other"}}).to_string())?;
    let (code, _, error) = conformance(folder.path(), &args)?;
    assert!(code == Some(2) && error.contains("plugin other is not there"), "{error}");
    Ok(())
}
