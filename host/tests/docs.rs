//! Holds the documentation to the code: what `docs/` says of keys, of the ABI and of its golden frame is what the tables
//! in the code say, word for word, so that neither changes alone.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sandbar::config::keys::connect::CONNECT_KEYS;
use sandbar::config::keys::{KEYS, Key, Kind, MAX_REPLICAS, WORKER_KEYS};
use sandbar::conformance::{Case, Keeper, RULES};
use sandbar_abi::signatures::{EXPORTS, IMPORTS};
use sandbar_abi::{Disposition, Manifest, names};

/// How the header of a table of keys begins.
const KEY_TABLE: &str = "| key | value | default |";

#[test]
fn every_key_is_in_the_reference_as_the_code_has_it() {
    has_lines("docs/configuration.md", rows());
}

#[test]
fn the_reference_has_no_key_that_the_code_has_not() {
    let (text, rows) = (read("docs/configuration.md"), rows());
    let mut in_table = false;
    for line in text.lines() {
        in_table = line.starts_with(KEY_TABLE) || (in_table && line.starts_with('|'));
        let is_row = in_table && line.starts_with("| `");
        assert!(!is_row || rows.iter().any(|row| row == line), "not as the code has it: {line}");
    }
}

#[test]
fn the_readme_shows_the_first_plugin_as_it_is_built_and_tested() {
    let plugin = read("examples-plugins/shout/src/lib.rs");
    assert!(read("README.md").contains(plugin.trim()), "README.md shows another plugin than examples-plugins/shout");
    assert!(plugin.lines().count() < 40);
}

#[test]
fn every_key_of_kafka_connect_is_accounted_for() {
    let text = read("docs/configuration.md");
    let section = after(&text, "## Keys of Kafka Connect");
    for key in CONNECT_KEYS {
        assert!(section.contains(&format!("`{}`", key.name)), "{} is not mentioned", key.name);
    }
}

#[test]
fn the_abi_has_every_function_with_its_type() {
    has_lines("docs/abi.md", IMPORTS.iter().map(|import| format!("| `{}` | `{import}` |", import.name)));
    let exports = EXPORTS.iter().map(|export| &export.signature);
    has_lines_that_start("docs/abi.md", exports.map(|export| format!("| `{}` | `{export}` | ", export.name)));
}

#[test]
fn the_abi_has_every_limit() {
    let limits = [
        ("frame, and any output", names::MAX_FRAME_BYTES),
        ("manifest", names::MAX_MANIFEST_BYTES),
        ("key of `config_get`, `offset_*`, `state_*`", names::MAX_KEY_BYTES),
        ("value of `offset_put`, `state_put`", names::MAX_VALUE_BYTES),
        ("log line, error message", names::MAX_TEXT_BYTES),
        ("metric name", names::MAX_METRIC_NAME_BYTES),
        ("request of `http_send`, head and body", names::MAX_HTTP_REQUEST_BYTES),
        ("head of a request of `http_send`", names::MAX_HTTP_HEAD_BYTES),
        ("alignment of input buffers and sections", names::ALIGN),
    ];
    has_lines("docs/abi.md", limits.map(|(what, bytes)| format!("| {what} | {bytes} |")));
}

#[test]
fn the_abi_has_every_disposition() {
    let words = [
        (Disposition::Ok, "ok"),
        (Disposition::Filtered, "filtered"),
        (Disposition::Failed, "failed"),
        (Disposition::Retry, "retry"),
        (Disposition::NotAttempted, "not attempted"),
    ];
    let rows = words.map(|(disposition, word)| {
        let resolved = if disposition.is_resolved() { "yes" } else { "no" };
        format!("| {} | {word} | {resolved} | ", disposition.code())
    });
    has_lines_that_start("docs/abi.md", rows);
}

#[test]
fn the_worked_example_is_the_golden_frame_byte_by_byte() {
    let golden = read("abi/tests/golden/one-record.hex");
    let text = read("docs/abi.md");
    let example = after(&text, "## 11. A worked example");
    assert!(example.contains(&golden), "the frame is not shown");
    let mut bytes = Vec::new();
    for line in example.lines().skip_while(|line| !line.starts_with("| at |")).skip(2) {
        let mut cells = line.split(" | ");
        let (Some(at), Some(hex)) = (cells.next().and_then(|cell| cell.strip_prefix("| ")), cells.next()) else {
            break;
        };
        assert_eq!(at.parse(), Ok(bytes.len()), "{line}");
        bytes.extend(octets(&hex.replace('`', "")));
    }
    assert_eq!(bytes, octets(&golden));
}

#[test]
fn manifests_in_the_documents_can_be_read() {
    for document in ["docs/abi.md", "docs/writing-plugins.md"] {
        let text = read(document);
        let blocks = text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        let manifests: Vec<_> = blocks.filter(|block| block.contains("\"kinds\"")).collect();
        assert!(!manifests.is_empty(), "{document} shows no manifest");
        for manifest in manifests {
            Manifest::from_json(manifest.as_bytes()).unwrap_or_else(|error| panic!("{document}: {error}"));
        }
    }
}

#[test]
fn the_conformance_kit_knows_every_rule_and_the_section_it_stands_in() {
    let (mut section, mut rules) = (0, Vec::new());
    for line in read("docs/abi.md").lines() {
        if let Some((number, _)) = line.strip_prefix("## ").and_then(|heading| heading.split_once(". ")) {
            section = number.parse().unwrap();
        }
        let number = line.strip_prefix("- **R").and_then(|line| line.split_once("**"));
        rules.extend(number.map(|(number, _)| (number.parse::<u16>().unwrap(), section)));
    }
    let known: Vec<_> = RULES.iter().map(|rule| (rule.number, rule.section.heading().0)).collect();
    assert_eq!(rules, known, "the rules of docs/abi.md, and those of conformance/rules.rs, with their sections");
    let numbers: BTreeSet<_> = rules.iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), rules.len(), "a number is given twice");
}

#[test]
fn sections_have_the_headings_that_the_conformance_kit_names() {
    let headings = RULES.iter().map(|rule| rule.section.heading());
    has_lines("docs/abi.md", headings.map(|(number, heading)| format!("## {number}. {heading}")));
}

#[test]
fn the_conformance_kits_rules_and_cases_are_listed() {
    let rules = RULES.iter().map(|rule| {
        let cases: Vec<_> = rule.cases().map(|case| format!("`{}`", case.name())).collect();
        let by = match (rule.keeper, cases.is_empty(), rule.is_everywhere()) {
            (Keeper::Host, ..) => "the host's to keep".to_owned(),
            (Keeper::Module, ..) => "the file's bytes".to_owned(),
            (Keeper::Plugin, true, true) => "every answer".to_owned(),
            (Keeper::Plugin, false, true) => format!("every answer, {}", cases.join(", ")),
            (Keeper::Plugin, false, false) => cases.join(", "),
            (Keeper::Plugin, true, false) => panic!("R{} is tried by no case", rule.number),
        };
        format!("| R{} | {} | {by} |", rule.number, rule.says)
    });
    has_lines("docs/conformance.md", rules);
    let cases = Case::ALL.iter().map(|case| {
        let kinds: Vec<_> = case.kinds().iter().map(|kind| kind.name()).collect();
        let kinds = if kinds.len() == 3 { "all".to_owned() } else { kinds.join(", ") };
        format!("| `{}` | {kinds} | {} |", case.name(), case.does())
    });
    has_lines("docs/conformance.md", cases);
}

/// Invariants 1 to 4 of `ARCHITECTURE.md`.
#[test]
fn names_stay_where_the_map_says() {
    let only = [
        ("wasmtime::", &["sandbox/"][..]),
        ("wasmtime_wasi::", &["sandbox/"]),
        ("rdkafka::", &["broker/kafka/"]),
        ("rusqlite::", &["broker/local/"]),
        ("reqwest::", &["http/"]),
        ("rustls::", &["http/", "door/", "api/client/"]),
        ("axum::", &["api/", "door/"]),
        ("utoipa", &["api/"]),
        ("opentelemetry::", &["telemetry/"]),
        ("opentelemetry_", &["telemetry/"]),
        ("prost::", &["telemetry/"]),
    ];
    let beside_tasks = ["batch", "broker", "sandbox", "task", "telemetry"];
    for (path, source) in sources() {
        for (name, folders) in only {
            let may = folders.iter().any(|folder| path.starts_with(folder));
            assert!(may || !source.contains(name), "{path} names {name}");
        }
        let names = source.split("crate::").skip(1).filter(|_| path.starts_with("task/"));
        for name in names.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()) {
            assert!(beside_tasks.contains(&name), "{path} names crate::{name}");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            assert!(path.exists(), "{}: {target} leads nowhere", document.display());
            let there = anchor.is_empty() || headings(&path).iter().any(|heading| heading == anchor);
            assert!(there, "{}: {target} names no heading", document.display());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the repository; an absolute path stays what it is.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn after<'a>(text: &'a str, heading: &str) -> &'a str {
    text.split_once(heading).unwrap_or_else(|| panic!("there is no \"{heading}\"")).1
}

fn octets(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

/// Lines that a document lacks are shown ready to be pasted.
#[track_caller]
fn has(document: &str, lines: impl IntoIterator<Item = String>, is: impl Fn(&str, &str) -> bool) {
    let text = read(document);
    let missing: Vec<_> = lines.into_iter().filter(|line| !text.lines().any(|there| is(there, line))).collect();
    assert!(missing.is_empty(), "{document} lacks:\n{}", missing.join("\n"));
}

#[track_caller]
fn has_lines(document: &str, lines: impl IntoIterator<Item = String>) {
    has(document, lines, |there, line| there == line);
}

#[track_caller]
fn has_lines_that_start(document: &str, starts: impl IntoIterator<Item = String>) {
    has(document, starts, |there, start| there.starts_with(start));
}

/// Every key as a row of the reference.
fn rows() -> Vec<String> {
    WORKER_KEYS.iter().chain(KEYS).map(row).collect()
}

fn row(key: &Key) -> String {
    let default = key.default.filter(|text| !text.is_empty()).map_or(String::new(), |text| format!("`{text}`"));
    let mut cells = vec![format!("`{}`", key.name), value(key.kind), default];
    match key.applies.len() {
        0 => {}
        3 => cells.push("all".to_owned()),
        _ => cells.push(key.applies.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")),
    }
    cells.push(key.doc().to_owned());
    format!("| {} |", cells.join(" | "))
}

fn value(kind: Kind) -> String {
    let range = |what: &str, min: i64, max: i64| match max {
        i64::MAX => format!("{what}, {min} or more"),
        max => format!("{what}, {min} to {max}"),
    };
    match kind {
        Kind::Integer(min, max) => range("whole number", min, max),
        Kind::Millis(min, max) => range("milliseconds", min, max),
        Kind::Bytes(min, max) => range("bytes", min, max),
        Kind::Replicas => format!("replicas, 1 to {MAX_REPLICAS}, or -1"),
        Kind::OneOf(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            format!("one of {}", words.join(", "))
        }
        Kind::Text => "text".to_owned(),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Topic => "topic".to_owned(),
        Kind::Topics => "topics".to_owned(),
        Kind::Regex => "regular expression".to_owned(),
        Kind::Version => "version requirement".to_owned(),
        Kind::Names => "names".to_owned(),
        Kind::Directories => "absolute directories".to_owned(),
        Kind::Digests => "sha256 sums".to_owned(),
        Kind::PublicKeys => "public keys".to_owned(),
        Kind::Hosts => "hosts".to_owned(),
        Kind::Address => "`host:port`, or `none`".to_owned(),
        Kind::Endpoint => "URL, or `none`".to_owned(),
        Kind::Ratio => "number, 0 to 1".to_owned(),
        Kind::Addresses => "addresses".to_owned(),
        Kind::Properties => "properties".to_owned(),
    }
}

/// The host's sources: their paths below `host/src`, and their text.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (Vec::from([src.clone()]), Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
                sources.push((name, read(&path)));
            }
        }
    }
    sources
}

/// The Markdown files of the top level and of `docs/`.
fn documents() -> Vec<PathBuf> {
    let list = |folder: &str| std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = ["", "docs", "docs/adr"].into_iter().flat_map(list);
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The anchors of a document's headings, as Markdown viewers make them.
fn headings(document: &Path) -> Vec<String> {
    let text = read(document);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor =
        |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(|c| !kept(c), "").replace(' ', "-");
    headings.map(anchor).collect()
}
