//! The faults that a native test survives. The others are for the tests of the host, which run them in a sandbox.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use faulty::{Faulty, SANDBAR_MANIFEST};
use sandbar_plugin::ErrorClass;
use sandbar_plugin::serde_json::{self, Value, json};
use sandbar_plugin::testing::{self, TestRecord};

fn records(values: &[&str]) -> Vec<TestRecord> {
    values.iter().map(|value| TestRecord::value(*value)).collect()
}

#[test]
fn every_mode_and_place_of_the_manifest_can_be_configured() {
    let schema = testing::manifest(SANDBAR_MANIFEST).unwrap().config.unwrap();
    for key in ["mode", "at"] {
        for value in schema["properties"][key]["enum"].as_array().unwrap() {
            // A place other than opening, or a mode that is harmless, so that opening does no more than read it.
            serde_json::from_value::<<Faulty as sandbar_plugin::Sink>::Config>(json!({key: value})).unwrap();
        }
    }
}

#[test]
fn errors_of_every_class_end_after_so_many_times() {
    for (mode, class) in
        [("retryable", ErrorClass::Retryable), ("fatal", ErrorClass::Fatal), ("throttled", ErrorClass::Throttled)]
    {
        let mut sink = testing::sink::<Faulty>(json!({"mode": mode, "times": 2})).unwrap();
        for _ in 0..2 {
            assert_eq!(sink.write(&records(&["a"])).unwrap_err().0, class);
        }
        sink.write(&records(&["a"])).unwrap();
    }
}

#[test]
fn only_the_poison_is_at_fault() {
    let config = json!({"mode": "fail-record", "poison": "bad", "message": "no"});
    let mut transform = testing::transform::<Faulty>(config.clone()).unwrap();
    let out = transform.transform(&records(&["a", "bad", "b"])).unwrap();
    let values: Vec<_> = out.records.iter().map(TestRecord::text).collect();
    assert_eq!(values, ["a", "b"]);
    assert_eq!(out.results[1].2.as_deref(), Some("no"));
    let mut sink = testing::sink::<Faulty>(config).unwrap();
    assert_eq!(sink.write(&records(&["a", "bad"])).unwrap().results[1].2.as_deref(), Some("no"));
}

#[test]
fn a_sink_that_takes_one_record_a_call_asks_for_the_rest() {
    use sandbar_plugin::Disposition::{NotAttempted, Ok as Done};
    let mut sink = testing::sink::<Faulty>(json!({"mode": "one-record"})).unwrap();
    let out = sink.write(&records(&["a", "b", "c"])).unwrap();
    let dispositions: Vec<_> = out.results.iter().map(|(_, disposition, _)| *disposition).collect();
    assert_eq!(dispositions, [Done, NotAttempted, NotAttempted]);
    assert!(sink.write(&records(&["c"])).unwrap().results.is_empty());
}

#[test]
#[should_panic(expected = "boom")]
fn a_panic_says_what_it_is_told() {
    let mut source = testing::source::<Faulty>(json!({"mode": "panic", "poison": "2", "message": "boom"})).unwrap();
    for n in 0..3 {
        assert_eq!(source.poll(10).unwrap().records[0].text(), n.to_string());
    }
}

#[test]
fn each_place_can_fail() {
    let at = |at: &str| json!({"mode": "fatal", "at": at});
    let fatal = |result: Result<(), (ErrorClass, String)>| assert_eq!(result.unwrap_err().0, ErrorClass::Fatal);
    fatal(testing::sink::<Faulty>(at("open")).map(drop));
    fatal(testing::sink::<Faulty>(at("check")).unwrap().check());
    fatal(testing::sink::<Faulty>(at("flush")).unwrap().flush());
    fatal(testing::sink::<Faulty>(at("assigned")).unwrap().assigned(Vec::new()).map(drop));
    fatal(testing::sink::<Faulty>(at("revoked")).unwrap().revoked(Vec::new()));
    fatal(testing::sink::<Faulty>(at("close")).unwrap().close(sandbar_plugin::CloseReason::Stop));
}

#[test]
fn floods_and_outputs_past_all_bounds() {
    let open = |config: Value| testing::transform::<Faulty>(config).unwrap();
    let mut flood = open(json!({"mode": "log-flood", "count": 50}));
    flood.transform(&records(&["a"])).unwrap();
    assert_eq!(flood.logs().len(), 50);

    let mut flood = open(json!({"mode": "state-flood", "count": 50}));
    flood.transform(&records(&["a"])).unwrap();
    flood.commit();
    assert_eq!(flood.state().len(), 50);

    let mut many = open(json!({"mode": "many-outputs", "count": 50}));
    assert_eq!(many.transform(&records(&["a"])).unwrap().records.len(), 50);

    let mut huge = open(json!({"mode": "huge-output"}));
    assert_eq!(huge.transform(&records(&["a"])).unwrap_err().0, ErrorClass::Contract);
}

#[test]
fn a_source_without_fault_counts_on_after_a_crash() {
    let mut source = testing::source::<Faulty>(json!({})).unwrap();
    assert_eq!(source.poll(1).unwrap().records[0].text(), "0");
    source.commit();
    source.crash().unwrap();
    assert_eq!(source.poll(1).unwrap().records[0].text(), "1");
    let mut idle = testing::source::<Faulty>(json!({"mode": "idle"})).unwrap();
    assert!(idle.poll(1).unwrap().records.is_empty());
}
