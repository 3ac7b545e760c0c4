//! `word-count` as the host sees it: what it emits, what it stores, and that a crash counts nothing twice.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use sandbar_plugin::serde_json::{Value, json};
use sandbar_plugin::testing::{self, Output, TestRecord};
use word_count::{SANDBAR_MANIFEST, WordCount};

fn lines(lines: &[&str]) -> Vec<TestRecord> {
    lines.iter().map(|line| TestRecord::value(*line)).collect()
}

fn told(output: &Output) -> Vec<(String, u64)> {
    let told = output.records.iter().map(|record| {
        let value: Value = sandbar_plugin::serde_json::from_str(&record.text()).unwrap();
        assert_eq!(record.key.as_deref(), value["word"].as_str().map(str::as_bytes));
        (value["word"].as_str().unwrap().to_owned(), value["count"].as_u64().unwrap())
    });
    told.collect()
}

fn pairs(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect()
}

#[test]
fn the_manifest_is_valid() {
    testing::manifest(SANDBAR_MANIFEST).unwrap();
}

#[test]
fn every_word_is_told_as_it_is_counted() {
    let mut plugin = testing::transform::<WordCount>(json!({})).unwrap();
    let out = plugin.transform(&lines(&["To be, or not to be", "Ça va"])).unwrap();
    let expected = pairs(&[("to", 1), ("be", 1), ("or", 1), ("not", 1), ("to", 2), ("be", 2), ("ça", 1), ("va", 1)]);
    assert_eq!(told(&out), expected);
    assert_eq!(out.records[4].input, Some(0));
    assert_eq!(out.records[6].input, Some(1));
}

#[test]
fn at_the_end_of_a_batch_each_word_is_told_once() {
    let mut plugin = testing::transform::<WordCount>(json!({"emit": "batch-end", "min.length": 2})).unwrap();
    let out = plugin.transform(&lines(&["be a bee", "be"])).unwrap();
    assert_eq!(told(&out), pairs(&[("bee", 1), ("be", 2)]));
    assert_eq!(out.records[1].input, Some(1));
}

#[test]
fn counts_survive_a_crash_and_the_lost_call_counts_once() {
    let mut plugin = testing::transform::<WordCount>(json!({"lowercase": false})).unwrap();
    plugin.transform(&lines(&["a A a"])).unwrap();
    plugin.commit();
    plugin.transform(&lines(&["a"])).unwrap();
    plugin.crash().unwrap();
    assert_eq!(told(&plugin.transform(&lines(&["a"])).unwrap()), pairs(&[("a", 3)]));
    plugin.commit();
    assert_eq!(plugin.state()[&b"a"[..]], b"3");
    assert_eq!(plugin.state()[&b"A"[..]], b"1");
}

#[test]
fn what_is_not_text_fails_alone() {
    let mut plugin = testing::transform::<WordCount>(json!({})).unwrap();
    let records =
        [TestRecord::value("a"), TestRecord::value(vec![0xFF]), TestRecord::default(), TestRecord::value("a")];
    let out = plugin.transform(&records).unwrap();
    assert_eq!(told(&out), pairs(&[("a", 1), ("a", 2)]));
    let failed: Vec<_> = out.results.iter().filter(|(_, _, message)| message.is_some()).map(|(i, ..)| *i).collect();
    assert_eq!(failed, [1]);
}

#[test]
fn a_word_longer_than_a_key_is_left_out() {
    let mut plugin = testing::transform::<WordCount>(json!({})).unwrap();
    let out = plugin.transform(&[TestRecord::value(format!("{} ok", "x".repeat(2000)))]).unwrap();
    assert_eq!(told(&out), pairs(&[("ok", 1)]));
    assert_eq!(plugin.metric("words_too_long_total"), Some(1.0));
}
