//! `json-transform` as the host sees it: each operation, and what becomes of values that are none of its business.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use json_transform::{JsonTransform, SANDBAR_MANIFEST};
use sandbar_plugin::serde_json::{Value, json};
use sandbar_plugin::testing::{self, Output, TestRecord};

fn run(config: Value, records: &[TestRecord]) -> Output {
    testing::transform::<JsonTransform>(config).unwrap().transform(records).unwrap()
}

/// Applies operations to one value; `None` where nothing comes of it.
fn apply(operations: Value, value: &str) -> Option<String> {
    let out = run(json!({"operations": operations}), &[TestRecord::value(value)]);
    assert!(out.results.iter().all(|(_, _, message)| message.is_none()), "{:?}", out.results);
    out.records.first().map(TestRecord::text)
}

#[test]
fn the_manifest_is_valid() {
    testing::manifest(SANDBAR_MANIFEST).unwrap();
}

#[test]
fn operations_apply_in_order() {
    let operations = json!([
        {"op": "drop", "fields": ["password", "user.ssn"]},
        {"op": "rename", "from": "user.name", "to": "who"},
        {"op": "set", "field": "meta.source", "value": {"v": 1}},
        {"op": "mask", "field": "card"},
        {"op": "mask", "field": "user.mail", "with": "hash"},
        {"op": "keep", "fields": ["who", "card", "user", "meta.source.v", "id"]},
    ]);
    let value =
        r#"{"id":12345678901234567890.10,"user":{"ssn":1,"name":"Ann","mail":"abc"},"password":"x","card":4711,"x":0}"#;
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let expected = format!(
        r#"{{"id":12345678901234567890.10,"user":{{"mail":"{hash}"}},"card":"***","who":"Ann","meta":{{"source":{{"v":1}}}}}}"#
    );
    assert_eq!(apply(operations, value), Some(expected));
}

#[test]
fn filters() {
    let kept = |condition: Value, value: &str| {
        let mut filter = json!({"op": "filter", "field": "a.b"});
        filter.as_object_mut().unwrap().extend(condition.as_object().unwrap().clone());
        apply(json!([filter]), value).is_some()
    };
    let value = |json: &str| format!(r#"{{"a":{{"b":{json}}}}}"#);
    for (condition, field, expected) in [
        (json!({"equals": "x"}), "\"x\"", true),
        (json!({"equals": "x"}), "\"y\"", false),
        (json!({"equals": "A"}), r#""\u0041""#, true),
        (json!({"equals": 1}), "1.0", true),
        (json!({"equals": 9_007_199_254_740_993_i64}), "9007199254740992", false),
        (json!({"equals": null}), "null", true),
        (json!({"equals": null}), "0", false),
        (json!({"equals": {"x": [1]}}), r#"{ "x": [ 1 ] }"#, true),
        (json!({"matches": "^a+$"}), "\"aaa\"", true),
        (json!({"matches": "^a+$"}), "\"aab\"", false),
        (json!({"matches": "1"}), "1", false),
        (json!({"gt": 1, "lt": 3}), "2", true),
        (json!({"gt": 1, "lt": 3}), "3", false),
        (json!({"gt": 1}), "\"2\"", false),
        (json!({"exists": true}), "null", true),
        (json!({"exists": false}), "null", false),
        (json!({"equals": "x", "negate": true}), "\"x\"", false),
        (json!({"equals": "x", "negate": true}), "\"y\"", true),
    ] {
        assert_eq!(kept(condition.clone(), &value(field)), expected, "{condition} of {field}");
    }
    for (condition, expected) in [
        (json!({"exists": false}), true),
        (json!({"exists": true}), false),
        (json!({"equals": null}), false),
        (json!({"gt": 1, "negate": true}), true),
    ] {
        assert_eq!(kept(condition.clone(), "{}"), expected, "{condition} of nothing");
    }
}

#[test]
fn key_headers_and_timestamp_stay() {
    let record = TestRecord {
        timestamp: Some(5),
        headers: vec![("h".into(), Some(b"1".to_vec())), ("h".into(), None)],
        ..TestRecord::new("k", r#"{"a":1,"b":2}"#)
    };
    let out = run(json!({"operations": [{"op": "drop", "fields": ["a"]}]}), std::slice::from_ref(&record));
    let expected = TestRecord { value: Some(br#"{"b":2}"#.to_vec()), input: Some(0), ..record };
    assert_eq!(out.records, [expected]);
}

#[test]
fn a_tombstone_passes() {
    let record = TestRecord { key: Some(b"k".to_vec()), ..TestRecord::default() };
    let out = run(json!({"operations": [{"op": "keep", "fields": ["a"]}]}), &[record]);
    assert_eq!((out.records.len(), out.records[0].value.clone()), (1, None));
}

#[test]
fn what_is_no_object_fails_passes_or_goes() {
    let records = [TestRecord::value("{}"), TestRecord::value("[1"), TestRecord::value(vec![0xFF])];
    let config = |on: &str| json!({"operations": [], "on.invalid": on});

    let out = run(config("fail"), &records);
    assert_eq!(out.records.len(), 1);
    let messages: Vec<_> = out.results.iter().filter_map(|(_, _, message)| message.clone()).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].starts_with("the value is not a JSON object: ") && messages[0].contains("line 1 column"));

    assert_eq!(run(config("pass"), &records).records[1].text(), "[1");
    assert_eq!(run(config("drop"), &records).records.len(), 1);
}

#[test]
fn what_cannot_be_applied_names_the_operation() {
    let operations = json!([{"op": "drop", "fields": ["x"]}, {"op": "set", "field": "a.b", "value": 1}]);
    let out = run(json!({"operations": operations}), &[TestRecord::value(r#"{"a":1}"#)]);
    assert_eq!(out.results[0].2.as_deref(), Some("operations[1]: field \"a\" is not an object"));
}

#[test]
fn faults_of_the_configuration_name_the_place() {
    let fault =
        |operations: Value| testing::transform::<JsonTransform>(json!({"operations": operations})).err().unwrap().1;
    for operations in [
        json!([{"op": "nope"}]),
        json!([{"op": "keep", "fields": []}]),
        json!([{"op": "filter", "field": "a"}]),
        json!([{"op": "filter", "field": "a", "matches": "("}]),
        json!([{"op": "filter", "field": "a", "equal": 1}]),
        json!([{"op": "rename", "from": "a..b", "to": "c"}]),
    ] {
        let fault = fault(operations.clone());
        assert!(fault.starts_with("configuration key \"operations[0]"), "{operations}: {fault}");
    }
}
