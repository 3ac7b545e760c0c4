//! `file-sink` as the host sees it: every record once, whatever breaks off where.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use file_sink::{FileSink, SANDBAR_MANIFEST};
use sandbar_plugin::serde_json::{Value, json};
use sandbar_plugin::testing::{self, Harness, TestRecord};
use sandbar_plugin::{AssignedPartition, ErrorClass, NoSource, NoTransform};

type Sink = Harness<NoSource, FileSink, NoTransform>;

fn open(config: Value) -> Sink {
    testing::sink::<FileSink>(config).unwrap()
}

/// Records of a partition of topic "t", whose values name their partition and offset.
fn records(partition: i32, offsets: Range<i64>) -> Vec<TestRecord> {
    offsets.map(|o| TestRecord::value(format!("{partition}:{o}")).at("t", partition, o)).collect()
}

fn partition(partition: i32) -> AssignedPartition {
    AssignedPartition { topic: "t".into(), partition, offset: None }
}

/// Where a sink wants to start in a partition.
fn start(sink: &mut Sink, number: i32) -> Option<i64> {
    sink.assigned(vec![partition(number)]).unwrap().first().and_then(|answer| answer.offset)
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_manifest_is_valid() {
    let manifest = testing::manifest(SANDBAR_MANIFEST).unwrap();
    assert!(manifest.idempotent_write && manifest.exactly_once);
}

#[test]
fn what_was_not_flushed_is_cut_off_and_comes_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/out.log");
    let mut sink = open(json!({"path": path}));
    assert_eq!(start(&mut sink, 0), None);
    sink.write(&records(0, 0..3)).unwrap();
    sink.flush().unwrap();
    sink.write(&records(0, 3..5)).unwrap();
    assert_eq!(lines(&path).len(), 5);

    sink.crash().unwrap();
    assert_eq!(start(&mut sink, 0), Some(3));
    assert_eq!(lines(&path), ["0:0", "0:1", "0:2"]);
    sink.write(&records(0, 3..6)).unwrap();
    sink.flush().unwrap();
    assert_eq!(lines(&path), ["0:0", "0:1", "0:2", "0:3", "0:4", "0:5"]);
}

#[test]
fn a_crash_before_the_first_flush_leaves_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    fs::write(&path, "mine\n").unwrap();
    let mut sink = open(json!({"path": path}));
    sink.write(&records(0, 0..2)).unwrap();
    sink.crash().unwrap();
    assert_eq!(start(&mut sink, 0), None);
    assert_eq!(lines(&path), ["mine"]);
}

#[test]
fn records_that_come_again_are_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let mut sink = open(json!({"path": path}));
    sink.write(&records(0, 0..4)).unwrap();
    sink.write(&records(0, 2..6)).unwrap();
    assert_eq!(lines(&path), ["0:0", "0:1", "0:2", "0:3", "0:4", "0:5"]);
}

#[test]
fn partitions_that_share_a_file_are_cut_back_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let mut sink = open(json!({"path": path}));
    sink.write(&[records(0, 0..2), records(1, 5..6)].concat()).unwrap();
    sink.flush().unwrap();
    sink.write(&records(1, 6..7)).unwrap();
    // A partition that arrives while others are being written cuts nothing off.
    assert_eq!(start(&mut sink, 2), None);
    assert_eq!(lines(&path).len(), 4);
    sink.crash().unwrap();
    let answers = sink.assigned(vec![partition(0), partition(1), partition(2)]).unwrap();
    let offsets: Vec<_> = answers.iter().map(|answer| (answer.partition, answer.offset)).collect();
    assert_eq!(offsets, [(0, Some(2)), (1, Some(6))]);
    assert_eq!(lines(&path), ["0:0", "0:1", "1:5"]);
}

#[test]
fn a_revoked_partition_is_taken_over_as_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("{topic}-{partition}.log");
    let mut sink = open(json!({"path": path}));
    sink.write(&records(7, 0..2)).unwrap();
    sink.flush().unwrap();
    sink.write(&records(7, 2..3)).unwrap();
    sink.revoked(vec![partition(7)]).unwrap();
    assert_eq!(start(&mut sink, 7), Some(2));
    assert_eq!(lines(&directory.path().join("t-7.log")), ["7:0", "7:1"]);
}

#[test]
fn more_files_than_may_be_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(json!({"path": directory.path().join("{topic}-{partition}.log")}));
    for offset in 0..2 {
        let batch: Vec<_> = (0..150).flat_map(|partition| records(partition, offset..offset + 1)).collect();
        sink.write(&batch).unwrap();
    }
    sink.flush().unwrap();
    sink.crash().unwrap();
    for number in [0, 70, 149] {
        assert_eq!(start(&mut sink, number), Some(2));
        let path = directory.path().join(format!("t-{number}.log"));
        assert_eq!(lines(&path), [format!("{number}:0"), format!("{number}:1")]);
    }
}

#[test]
fn another_writer_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let mut sink = open(json!({"path": path}));
    sink.write(&records(0, 0..1)).unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x\n").unwrap();
    let (class, message) = sink.write(&records(0, 1..2)).unwrap_err();
    assert_eq!(class, ErrorClass::Fatal);
    assert!(message.contains("something else writes to it"), "{message}");
}

#[test]
fn a_file_that_was_moved_away_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let mut sink = open(json!({"path": path}));
    sink.write(&records(0, 0..2)).unwrap();
    sink.flush().unwrap();
    fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    sink.crash().unwrap();
    assert_eq!(start(&mut sink, 0), Some(2));
    sink.write(&records(0, 2..3)).unwrap();
    assert_eq!(lines(&path), ["0:2"]);
    assert!(sink.logs().iter().any(|line| line.contains("shorter than recorded")));
}

#[test]
fn a_failure_of_the_file_system_names_the_path_and_may_pass() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("blocked");
    fs::write(&blocked, "a file where a directory should be").unwrap();
    let path = blocked.join("out.log");
    let mut sink = open(json!({"path": path}));
    let (class, message) = sink.write(&records(0, 0..1)).unwrap_err();
    assert_eq!(class, ErrorClass::Retryable);
    assert!(message.contains(blocked.to_str().unwrap()), "{message}");
    assert_eq!(sink.check().unwrap_err().0, ErrorClass::Retryable);

    fs::remove_file(&blocked).unwrap();
    sink.check().unwrap();
    sink.write(&records(0, 0..1)).unwrap();
    assert_eq!(lines(&path), ["0:0"]);
}

#[test]
fn offsets_that_cannot_be_read_stop_the_task() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    fs::write(directory.path().join("out.log.offsets"), "{").unwrap();
    let mut sink = open(json!({"path": path}));
    let (class, message) = sink.assigned(vec![partition(0)]).unwrap_err();
    assert_eq!(class, ErrorClass::Fatal);
    assert!(message.contains("out.log.offsets\" does not hold offsets"), "{message}");
}

#[test]
fn json_lines_hold_the_whole_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let mut sink = open(json!({"path": path, "format": "json"}));
    let full = TestRecord {
        timestamp: Some(9),
        headers: vec![("h".into(), Some(b"1".to_vec())), ("n".into(), None)],
        ..TestRecord::new(vec![0xFF], "a\nb")
    };
    sink.write(&[full.at("t", 0, 4), TestRecord::default().at("t", 0, 5)]).unwrap();
    let lines: Vec<Value> =
        lines(&path).iter().map(|line| sandbar_plugin::serde_json::from_str(line).unwrap()).collect();
    let expected = json!({"topic": "t", "partition": 0, "offset": 4, "timestamp": 9, "key": {"base64": "/w=="},
        "value": "a\nb", "headers": [{"name": "h", "value": "1"}, {"name": "n", "value": null}]});
    assert_eq!(lines[0], expected);
    assert_eq!(lines[1]["value"], Value::Null);
}

#[test]
fn a_tombstone_has_no_line_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let mut sink = open(json!({"path": path}));
    let out = sink.write(&[records(0, 0..1), vec![TestRecord::default().at("t", 0, 1)]].concat()).unwrap();
    assert_eq!(out.results.len(), 2);
    sink.flush().unwrap();
    sink.crash().unwrap();
    assert_eq!(start(&mut sink, 0), Some(2));
    assert_eq!(lines(&path), ["0:0"]);
}

#[test]
fn several_tasks_need_a_file_for_each_partition() {
    let mut sink = open(json!({"path": "/nowhere/out.log"}));
    assert!(sink.move_to(0, 2).unwrap_err().1.contains("needs {topic} and {partition}"));
    let mut sink = open(json!({"path": "/nowhere/{topic}/{partition}.log"}));
    sink.move_to(0, 2).unwrap();
}
