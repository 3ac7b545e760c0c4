//! `topic`: what is written is what is read.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::{fails, fed, folder, sandbar, text};

#[test]
fn topics_are_written_and_read() {
    let folder = folder();
    let topic = |args: &[&str], input: &str| fed(folder.path(), &[&["topic"], args].concat(), input);
    let told = fails(folder.path(), &["topic", "list"], 1);
    assert!(told.contains("error: there is no data folder data") && told.contains("hint: "), "{told}");
    assert!(!folder.path().join("data").exists(), "looking must not make anything");

    topic(&["create", "pairs", "--cleanup-policy", "compact"], "");
    assert!(fails(folder.path(), &["topic", "create", "pairs"], 1).contains("exists already"));
    topic(&["create", "pairs", "--if-not-exists"], "");
    topic(&["write", "pairs", "--key-separator", ":", "--null", "NULL"], "a:1\nb:\nc:NULL\n");
    assert_eq!(topic(&["read", "pairs", "--keys"], ""), "a\t1\nb\t\nc\tnull\n");
    assert_eq!(topic(&["read", "pairs", "--from", "1", "--count", "1"], ""), "\n");
    assert_eq!(topic(&["read", "pairs", "--from", "end"], ""), "");
    assert_eq!(topic(&["read", "pairs", "--from", "@0", "-n", "1"], ""), "1\n");

    topic(
        &["write", "bytes", "--json"],
        "{\"value\":{\"base64\":\"/wA=\"},\"headers\":[{\"key\":\"h\",\"value\":\"1\"}]}\n",
    );
    let lines = topic(&["read", "bytes", "--json"], "");
    let record: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&record["value"]["base64"], &record["headers"][0]["key"]), (&"/wA=".into(), &"h".into()));
    topic(&["write", "copy", "--json", "--partitions", "3"], &lines);
    let copied: Value = serde_json::from_str(&topic(&["read", "copy", "--json"], "")).unwrap();
    assert_eq!((&copied["timestamp"], &copied["value"]), (&record["timestamp"], &record["value"]));

    let list = topic(&["list"], "");
    assert!(list.lines().nth(1).unwrap().starts_with("bytes "), "{list}");
    let list: Value = serde_json::from_str(&topic(&["list", "--json"], "")).unwrap();
    assert_eq!(list[1]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!((&list[2]["records"], &list[2]["cleanup_policy"]), (&3.into(), &"compact".into()));
    let told = fails(folder.path(), &["topic", "read", "nothing"], 1);
    assert!(told.contains("error: ") && told.contains("hint: `sandbar topic list`"), "{told}");
}

#[test]
fn a_reader_that_goes_away_is_a_clean_end() {
    let folder = folder();
    let lines: String = (0..50_000).map(|n| format!("{n} {}\n", "x".repeat(100))).collect();
    fed(folder.path(), &["topic", "write", "t"], &lines);
    let mut child = sandbar(folder.path(), &["topic", "read", "t", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.starts_with("0 x"));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
