//! `datagen` as the host sees it: pace, end, and the same records again after a crash.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use datagen::{Config, Datagen, SANDBAR_MANIFEST};
use sandbar_plugin::serde_json::{Value, json};
use sandbar_plugin::testing::{self, TestRecord};

fn texts(records: &[TestRecord]) -> Vec<String> {
    records.iter().map(TestRecord::text).collect()
}

#[test]
fn the_manifest_and_the_defaults_agree() {
    let manifest = testing::manifest(SANDBAR_MANIFEST).unwrap();
    assert!(manifest.exactly_once);
    let schema = manifest.config.unwrap();
    let defaults = Config::default();
    assert_eq!(schema["properties"]["template"]["default"], defaults.template);
    assert_eq!(schema["properties"]["rate"]["default"].as_f64(), Some(defaults.rate));
    assert_eq!(schema["properties"]["seed"]["default"].as_u64(), Some(defaults.seed));
}

#[test]
fn it_counts_to_the_end_and_says_so() {
    let mut source = testing::source::<Datagen>(json!({"rate": 0, "count": 5, "template": "{{seq}}"})).unwrap();
    let first = source.poll(3).unwrap();
    assert_eq!(texts(&first.records), ["0", "1", "2"]);
    assert!(!first.end_of_data);
    let second = source.poll(3).unwrap();
    assert_eq!(texts(&second.records), ["3", "4"]);
    assert!(second.end_of_data);
    source.commit();
    source.crash().unwrap();
    let after = source.poll(3).unwrap();
    assert!(after.records.is_empty() && after.end_of_data);
}

#[test]
fn a_crash_neither_loses_nor_changes_a_record() {
    let config = json!({"rate": 0, "key": "{{pick a b c}}", "seed": 9,
        "template": {"n": "{{seq}}", "id": "{{uuid}}", "x": "{{float 0 1}}"}});
    let mut source = testing::source::<Datagen>(config.clone()).unwrap();
    let whole: Vec<_> = source.poll(40).unwrap().records;

    let mut source = testing::source::<Datagen>(config).unwrap();
    let mut pieces = source.poll(10).unwrap().records;
    source.commit();
    source.poll(7).unwrap();
    source.crash().unwrap();
    pieces.extend(source.poll(30).unwrap().records);
    let contents = |records: &[TestRecord]| -> Vec<_> { records.iter().map(|r| (r.key.clone(), r.text())).collect() };
    assert_eq!(contents(&pieces), contents(&whole));
    source.commit();
    assert_eq!(source.offsets()[r#"{"task":0}"#], json!({"seq": 40}));
}

#[test]
fn the_first_poll_of_a_slow_source_is_one_record() {
    let mut source = testing::source::<Datagen>(json!({"rate": 0.001})).unwrap();
    assert_eq!(source.poll(500).unwrap().records.len(), 1);
    assert_eq!(source.poll(500).unwrap().records.len(), 0);
}

#[test]
fn the_work_splits_without_remainder() {
    let mut source = testing::source::<Datagen>(json!({"rate": 9, "count": 11})).unwrap();
    let parts = source.task_configs(3).unwrap().unwrap();
    let numbers = |key: &str| -> Vec<f64> { parts.iter().map(|part| part[key].as_f64().unwrap()).collect() };
    assert_eq!(numbers("count"), [4.0, 4.0, 3.0]);
    assert_eq!(numbers("rate"), [3.0, 3.0, 3.0]);
    assert_eq!(parts[0]["template"], Config::default().template);
    let mut source = testing::source::<Datagen>(json!({"count": 2})).unwrap();
    assert_eq!(source.task_configs(8).unwrap().unwrap().len(), 2);
}

#[test]
fn tasks_make_different_records_under_their_own_offset() {
    let config = json!({"rate": 0, "count": 2, "template": "{{uuid}}"});
    let mut source = testing::source::<Datagen>(config).unwrap();
    let first = texts(&source.poll(2).unwrap().records);
    source.commit();
    source.move_to(1, 2).unwrap();
    let second = texts(&source.poll(2).unwrap().records);
    assert_eq!(second.len(), 2);
    assert!(second.iter().all(|text| !first.contains(text)));
    source.commit();
    let partitions: Vec<_> = source.offsets().into_keys().collect();
    assert_eq!(partitions, [r#"{"task":0}"#, r#"{"task":1}"#]);
}

#[test]
fn faults_of_the_configuration_name_the_key() {
    let open = |config: Value| testing::source::<Datagen>(config).err().unwrap().1;
    assert!(open(json!({"template": {"a": "{{nope}}"}})).starts_with("configuration key \"template\": {{nope}}"));
    assert!(open(json!({"key": "{{int x 1}}"})).starts_with("configuration key \"key\":"));
    assert!(open(json!({"rate": -1})).starts_with("configuration key \"rate\":"));
    assert!(open(json!({"count": "many"})).starts_with("configuration key \"count\":"));
}
