//! `file-source` as the host sees it: every line once, through rotation, truncation and crashes.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use file_source::{FileSource, SANDBAR_MANIFEST};
use sandbar_plugin::host::offsets;
use sandbar_plugin::serde_json::{Value, json};
use sandbar_plugin::testing::{self, Harness, TestRecord};
use sandbar_plugin::{ErrorClass, NoSink, NoTransform};

/// A source on a directory of its own.
struct Rig {
    source: Harness<FileSource, NoSink, NoTransform>,
    directory: tempfile::TempDir,
}

/// Files to begin with, and the configuration save for its path.
fn rig(files: &[(&str, &str)], mut config: Value) -> Rig {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let path = match config.get("path") {
        Some(name) => directory.path().join(name.as_str().unwrap()),
        None => directory.path().to_owned(),
    };
    config["path"] = json!(path);
    Rig { source: testing::source::<FileSource>(config).unwrap(), directory }
}

impl Rig {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Polls until nothing more comes.
    fn records(&mut self) -> Vec<TestRecord> {
        let mut records = Vec::new();
        loop {
            let more = self.source.poll(100).unwrap().records;
            if more.is_empty() {
                return records;
            }
            records.extend(more);
        }
    }

    fn lines(&mut self) -> Vec<String> {
        self.records().iter().map(TestRecord::text).collect()
    }

    /// Has a task begin where Kafka Connect, which knows files by their names alone, says that it stopped.
    fn continue_from_connect(&mut self, name: &str, position: u64) {
        offsets::put(&json!({"filename": self.path(name)}), &json!({"position": position})).unwrap();
        // It counts with the next call that succeeds.
        self.source.check().unwrap();
        self.source.commit();
        self.source.crash().unwrap();
    }

    fn position(&self, name: &str) -> u64 {
        let key = json!({"filename": self.path(name)}).to_string();
        self.source.offsets()[&key]["position"].as_u64().unwrap()
    }
}

#[test]
fn the_manifest_is_valid() {
    assert!(testing::manifest(SANDBAR_MANIFEST).unwrap().exactly_once);
}

#[test]
fn lines_come_when_they_are_complete() {
    let mut rig = rig(&[("a.log", "one\ntwo\r\n\nfo")], json!({}));
    assert_eq!(rig.lines(), ["one", "two", ""]);
    rig.append("a.log", "ur");
    assert!(rig.lines().is_empty());
    rig.append("a.log", "\nfive\n");
    assert_eq!(rig.lines(), ["four", "five"]);
    rig.source.commit();
    assert_eq!(rig.position("a.log"), 20);
}

#[test]
fn the_pattern_chooses_and_the_key_and_header_tell_the_file() {
    let mut rig = rig(&[("a.log", "a\n"), ("b.txt", "b\n")], json!({"pattern": "*.log", "key": "file"}));
    let records = rig.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key.as_deref(), Some(&b"a.log"[..]));
    let path = rig.path("a.log").to_str().unwrap().as_bytes().to_vec();
    assert_eq!(records[0].headers, [("file.path".to_owned(), Some(path))]);
}

#[test]
fn a_crash_repeats_what_was_not_committed_and_nothing_else() {
    let mut rig = rig(&[("a.log", "1\n2\n3\n")], json!({}));
    assert_eq!(rig.source.poll(2).unwrap().records.len(), 2);
    rig.source.commit();
    assert_eq!(rig.lines(), ["3"]);
    rig.source.crash().unwrap();
    assert_eq!(rig.lines(), ["3"]);
    rig.source.commit();
    rig.source.crash().unwrap();
    rig.append("a.log", "4\n");
    assert_eq!(rig.lines(), ["4"]);
}

#[test]
fn it_goes_on_where_kafka_connect_stopped() {
    let mut rig = rig(&[("a.log", "1\n2\n3\n")], json!({"from": "end"}));
    rig.continue_from_connect("a.log", 2);
    assert_eq!(rig.lines(), ["2", "3"]);
    rig.source.commit();
    assert_eq!(rig.position("a.log"), 6);
    // Connect has been at it meanwhile: what it says counts.
    rig.append("a.log", "4\n5\n");
    rig.continue_from_connect("a.log", 8);
    assert_eq!(rig.lines(), ["5"]);
    // There is less than it has read: it is another file.
    rig.continue_from_connect("a.log", 100);
    assert_eq!(rig.lines(), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_rotated_file_is_read_to_its_end_before_the_new_one() {
    for (pattern, renamed) in [("*", "a.log.1"), ("*.log", "a.log.1"), ("*.log", "z.log")] {
        let mut rig = rig(&[("a.log", "1\n2\n")], json!({"pattern": pattern}));
        assert_eq!(rig.lines(), ["1", "2"]);
        rig.append("a.log", "3\n");
        rig.rename("a.log", renamed);
        rig.append("a.log", "5\n");
        rig.append(renamed, "4\n");
        assert_eq!(rig.lines(), ["3", "4", "5"], "{pattern} {renamed}");
        // A program may go on writing to the old file for a while.
        rig.append(renamed, "6\n");
        rig.append("a.log", "7\n");
        let mut more = rig.lines();
        more.sort();
        assert_eq!(more, ["6", "7"], "{pattern} {renamed}");
    }
}

#[test]
fn a_rotation_while_the_task_is_down_loses_nothing() {
    for pattern in ["*", "*.log"] {
        let mut rig = rig(&[("a.log", "1\n2\n")], json!({"pattern": pattern}));
        assert_eq!(rig.lines(), ["1", "2"]);
        rig.source.commit();
        rig.append("a.log", "3\n");
        rig.rename("a.log", "a.log.1");
        rig.append("a.log", "4\n");
        rig.source.crash().unwrap();
        assert_eq!(rig.lines(), ["3", "4"], "{pattern}");
        rig.source.commit();
        rig.source.crash().unwrap();
        assert!(rig.lines().is_empty(), "{pattern}");
    }
}

#[test]
fn a_chain_of_rotations_moves_the_offsets_along() {
    let mut rig = rig(&[("a.log", "1\n"), ("a.log.1", "0\n")], json!({}));
    assert_eq!(rig.lines().len(), 2);
    rig.rename("a.log.1", "a.log.2");
    rig.rename("a.log", "a.log.1");
    rig.append("a.log", "2\n");
    assert_eq!(rig.lines(), ["2"]);
    rig.source.commit();
    rig.source.crash().unwrap();
    assert!(rig.lines().is_empty());
}

#[test]
fn a_deleted_file_is_read_to_its_end_while_it_is_open() {
    let mut rig = rig(&[("a.log", "1\n2\n3\n")], json!({}));
    assert_eq!(rig.source.poll(1).unwrap().records.len(), 1);
    fs::remove_file(rig.path("a.log")).unwrap();
    assert_eq!(rig.lines(), ["2", "3"]);
}

#[test]
fn a_truncated_file_begins_anew() {
    let mut rig = rig(&[("a.log", "first\nsecond\n")], json!({}));
    assert_eq!(rig.lines().len(), 2);
    fs::write(rig.path("a.log"), "new\n").unwrap();
    assert_eq!(rig.lines(), ["new"]);
    // Emptied and filled past where it was before anyone looked.
    fs::write(rig.path("a.log"), "another\nand more of it\n").unwrap();
    assert_eq!(rig.lines(), ["another", "and more of it"]);
    // Emptied and filled to the same length.
    fs::write(rig.path("a.log"), "AnotheR\nand more of it\n").unwrap();
    assert_eq!(rig.lines(), ["AnotheR", "and more of it"]);
    assert!(rig.source.logs().iter().any(|line| line.contains("is shorter than what has been read of it")));
    assert!(rig.source.logs().iter().any(|line| line.contains("begins otherwise than it did")));
}

#[test]
fn another_file_with_the_same_inode_is_noticed_after_a_crash() {
    let mut rig = rig(&[("a.log", "first\n")], json!({}));
    assert_eq!(rig.lines(), ["first"]);
    rig.source.commit();
    // Written over in place, so that the inode is certain to be the same.
    fs::write(rig.path("a.log"), "other, longer\n").unwrap();
    rig.source.crash().unwrap();
    assert_eq!(rig.lines(), ["other, longer"]);
    assert!(rig.source.logs().iter().any(|line| line.contains("is not the file it was")));
}

#[test]
fn from_the_end_means_the_end_of_the_first_start() {
    let mut rig = rig(&[("a.log", "old\npart")], json!({"from": "end"}));
    assert!(rig.lines().is_empty());
    rig.source.commit();
    rig.append("a.log", "ial\n");
    assert_eq!(rig.lines(), ["partial"]);
    rig.append("b.log", "later\n");
    assert_eq!(rig.lines(), ["later"]);
    rig.source.commit();
    rig.append("c.log", "while it was down\n");
    rig.source.crash().unwrap();
    assert_eq!(rig.lines(), ["while it was down"]);
}

#[test]
fn long_lines_are_cut_off_and_say_so() {
    let long = "x".repeat(1_000_000);
    let mut rig = rig(&[("a.log", &format!("ab\nabcd\nabcde\n{long}"))], json!({"max.line.bytes": 4}));
    let told = |records: &[TestRecord]| -> Vec<(String, bool)> {
        let cut = |r: &TestRecord| r.headers.iter().any(|(name, _)| name == "truncated");
        records.iter().map(|r| (r.text(), cut(r))).collect()
    };
    let pair = |text: &str, cut| (text.to_owned(), cut);
    let expected = [pair("ab", false), pair("abcd", false), pair("abcd", true), pair("xxxx", true)];
    assert_eq!(told(&rig.records()), expected);
    // The rest is skipped, also by a task that comes after a crash.
    rig.source.commit();
    rig.source.crash().unwrap();
    rig.append("a.log", &format!("{long}\nok\n"));
    assert_eq!(told(&rig.records()), [pair("ok", false)]);
}

#[test]
fn one_file_that_comes_later_and_rotates() {
    let mut rig = rig(&[("other.log", "x\n")], json!({"path": "a.log"}));
    assert!(rig.source.check().is_err());
    assert!(rig.lines().is_empty());
    rig.append("a.log", "1\n");
    rig.source.check().unwrap();
    assert_eq!(rig.lines(), ["1"]);
    rig.append("a.log", "2\n");
    rig.rename("a.log", "a.log.old");
    rig.append("a.log", "3\n");
    assert_eq!(rig.lines(), ["2", "3"]);
}

#[test]
fn polls_are_bounded_by_records_and_bytes() {
    let text: String = (0..1000).map(|n| format!("{n:09}\n")).collect();
    let mut rig = rig(&[("a.log", &text)], json!({}));
    assert_eq!(rig.source.poll_within(10, 1 << 20).unwrap().records.len(), 10);
    let bytes = rig.source.poll_within(1000, 1000).unwrap().records;
    assert!(!bytes.is_empty() && bytes.len() < 100);
    assert_eq!(rig.lines().len(), 990 - bytes.len());
}

#[test]
fn more_files_than_may_be_open() {
    let mut rig = rig(&[], json!({}));
    for round in 0..3 {
        for n in 0..150 {
            rig.append(&format!("{n}.log"), &format!("{n}:{round}\n"));
        }
        let mut lines = rig.lines();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 150, "round {round}");
    }
}

#[test]
fn a_busy_file_does_not_starve_the_others() {
    let mut rig = rig(&[("a.log", &"a\n".repeat(1_000_000)), ("b.log", "b\n")], json!({}));
    let mut polls = 0;
    while !rig.source.poll(1000).unwrap().records.iter().any(|record| record.text() == "b") {
        polls += 1;
        assert!(polls < 50);
    }
}

#[test]
fn what_is_missing_may_come() {
    let config = json!({"path": Path::new("/nowhere/at/all")});
    let mut source = testing::source::<FileSource>(config).unwrap();
    let (class, message) = source.poll(10).unwrap_err();
    assert_eq!(class, ErrorClass::Retryable);
    assert!(message.contains("/nowhere/at/all"), "{message}");
    assert!(testing::source::<FileSource>(json!({"path": "relative"})).err().unwrap().1.contains("must be absolute"));
}
