//! `http-sink` as the host sees it: what is sent, what becomes of each record, and that nothing a server took is sent again.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use http_sink::{Config, HttpSink, SANDBAR_MANIFEST};
use sandbar_plugin::Disposition::{self, Failed, Filtered, NotAttempted, Ok as Done, Retry};
use sandbar_plugin::http::{Error, ErrorKind, Request, Response};
use sandbar_plugin::serde_json::{self, Value, json};
use sandbar_plugin::testing::{self, Harness, Http, Output, TestRecord};
use sandbar_plugin::{ErrorClass, NoSource, NoTransform};

type Sink = Harness<NoSource, HttpSink, NoTransform>;

fn open(mut config: Value) -> Sink {
    if config.get("url").is_none() {
        config["url"] = json!("https://hook/in");
    }
    testing::sink::<HttpSink>(config).unwrap()
}

fn refused(config: Value) -> String {
    let refused = testing::sink::<HttpSink>(config).err().unwrap();
    assert_eq!(refused.0, ErrorClass::Fatal);
    refused.1
}

/// A server that answers with these statuses in turn, then with 200.
fn server<const N: usize>(statuses: [u16; N]) -> Http {
    let mut statuses = statuses.into_iter();
    testing::http(move |_| Ok(answer(statuses.next().unwrap_or(200))))
}

fn answer(status: u16) -> Response {
    Response { status, body: b"because".to_vec(), ..Response::default() }
}

/// Records of topic "t", partition 0, with their offset as the value.
fn records(offsets: Range<i64>) -> Vec<TestRecord> {
    offsets.map(|offset| TestRecord::value(offset.to_string()).at("t", 0, offset)).collect()
}

fn bodies(http: &Http) -> Vec<String> {
    http.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
}

fn urls(http: &Http) -> Vec<String> {
    http.requests().into_iter().map(|request| request.url).collect()
}

fn dispositions(out: &Output) -> Vec<Disposition> {
    out.results.iter().map(|(_, disposition, _)| *disposition).collect()
}

fn message(out: &Output, record: usize) -> &str {
    out.results[record].2.as_deref().unwrap()
}

/// What became of each record in the end, and in how many calls.
struct Whole {
    dispositions: Vec<Disposition>,
    messages: Vec<String>,
    calls: usize,
}

/// Does what the host does: the rest comes again, until all is resolved.
fn write_all(sink: &mut Sink, records: &[TestRecord]) -> Whole {
    let mut whole = Whole { dispositions: Vec::new(), messages: Vec::new(), calls: 0 };
    while whole.dispositions.len() < records.len() {
        whole.calls += 1;
        assert!(whole.calls <= 100, "it does not come to an end");
        let from = whole.dispositions.len();
        let Ok(out) = sink.write(&records[from..]) else { continue };
        if out.results.is_empty() {
            whole.dispositions.resize(records.len(), Done);
        }
        for (_, disposition, message) in out.results {
            if matches!(disposition, Retry | NotAttempted) {
                break;
            }
            whole.dispositions.push(disposition);
            whole.messages.extend(message);
        }
    }
    whole
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_manifest_and_the_defaults_agree() {
    let manifest = testing::manifest(SANDBAR_MANIFEST).unwrap();
    assert_eq!(manifest.capabilities.http, ["*"]);
    let schema = manifest.config.unwrap();
    let mut defaults = json!({"url": "https://a"});
    for (key, property) in schema["properties"].as_object().unwrap() {
        if let Some(default) = property.get("default") {
            defaults[key] = default.clone();
        }
    }
    let all: Config = serde_json::from_value(defaults).unwrap();
    let none: Config = serde_json::from_value(json!({"url": "https://a"})).unwrap();
    assert_eq!(format!("{all:?}"), format!("{none:?}"));
}

#[test]
fn a_record_is_a_request_with_its_value() {
    let http = server([]);
    let mut sink = open(json!({"headers": {"X-Key": "k-${key}", "Authorization": "Bearer x"}}));
    let binary = TestRecord::new("a", vec![0xFF, 0]).at("t", 3, 9);
    assert!(sink.write(&[binary]).unwrap().results.is_empty());
    sink.flush().unwrap();
    let request = &http.requests()[0];
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://hook/in"));
    assert_eq!(request.body, [0xFF, 0]);
    assert_eq!(request.timeout, Some(std::time::Duration::from_secs(10)));
    let expected = [("Content-Type", "application/json"), ("Authorization", "Bearer x"), ("X-Key", "k-a")]
        .map(|(n, v)| (n.into(), v.into()));
    assert_eq!(request.headers, expected);
}

#[test]
fn placeholders_in_the_url_are_percent_encoded_and_cannot_lead_elsewhere() {
    let http = server([]);
    let url = "https://hook/${topic}/${partition}/${key}?o=${offset}&n=${value.user.name}&big=${value.n}";
    let mut sink = open(json!({"url": url}));
    let value = r#"{"user": {"name": "a&b=c#d é"}, "n": 12345678901234567890.10}"#;
    sink.write(&[TestRecord::new("../x?y", value).at("t", 3, 9)]).unwrap();
    assert_eq!(urls(&http), ["https://hook/t/3/..%2Fx%3Fy?o=9&n=a%26b%3Dc%23d%20%C3%A9&big=12345678901234567890.10"]);

    for (key, value, why) in [
        ("..", value, "lead elsewhere"),
        (".", value, "lead elsewhere"),
        ("", value, "would be empty"),
        ("k", "{", "not JSON"),
        ("k", r#"{"n": 1}"#, "no field \"user.name\""),
        ("k", r#"{"user": {"name": null}, "n": 1}"#, "no field \"user.name\""),
        ("k", r#"{"user": {"name": []}, "n": 1}"#, "is an object or an array"),
    ] {
        let out = sink.write(&[TestRecord::new(key, value).at("t", 3, 9)]).unwrap();
        assert_eq!(dispositions(&out), [Failed]);
        assert!(message(&out, 0).contains(why), "{}", message(&out, 0));
    }
    let out = sink.write(&[TestRecord::value(value).at("t", 3, 9)]).unwrap();
    assert!(message(&out, 0).contains("has no key"));
    assert!(urls(&http).is_empty());
}

#[test]
fn no_record_adds_a_header() {
    let http = server([]);
    let mut sink = open(json!({"headers": {"X-Key": "${key}"}}));
    for key in ["a\r\nX-Admin: 1", "a\nb", "a\0", "é"] {
        let out = sink.write(&[TestRecord::new(key, "1").at("t", 0, 0)]).unwrap();
        assert!(message(&out, 0).contains("header \"X-Key\""), "{}", message(&out, 0));
    }
    assert!(http.requests().is_empty());
}

#[test]
fn a_body_of_json_stays_json_whatever_a_record_holds() {
    let http = server([]);
    let body = r#"{"id": "${topic}/${key}", "key": ${key}, "at": ${offset}, "all": ${value}, "a": ${value.a}, "b": "${value.s}"}"#;
    let mut sink = open(json!({"body": body}));
    let value = r#"{"a": {"x": [1.0]}, "s": "q\"\\\n"}"#;
    sink.write(&[TestRecord::new("k\"},{\"", value).at("t", 0, 7)]).unwrap();
    let sent: Value = serde_json::from_slice(&http.requests()[0].body).unwrap();
    let expected = json!({"id": "t/k\"},{\"", "key": "k\"},{\"", "at": 7, "all": {"a": {"x": [1.0]}, "s": "q\"\\\n"},
        "a": {"x": [1.0]}, "b": "q\"\\\n"});
    assert_eq!(sent, expected);

    let out = sink.write(&[TestRecord::new("k", "no json").at("t", 0, 8)]).unwrap();
    assert!(message(&out, 0).contains("not JSON"));
    let out = sink.write(&[TestRecord::new(vec![0xFF], value).at("t", 0, 9)]).unwrap();
    assert!(message(&out, 0).contains("not UTF-8"));
}

#[test]
fn a_body_of_text_is_text() {
    let http = server([]);
    let mut sink = open(json!({"body": "${key}=${value.a};", "content.type": "text/plain", "method": "PUT"}));
    sink.write(&[TestRecord::new("k\"", r#"{"a": "\"x"}"#).at("t", 0, 7)]).unwrap();
    let request = &http.requests()[0];
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("PUT", &b"k\"=\"x;"[..]));
    assert_eq!(header(request, "Content-Type"), Some("text/plain"));
}

#[test]
fn null_values_are_skipped_sent_or_fail() {
    for (config, disposition, sent) in [
        (json!({}), Filtered, None),
        (json!({"null.values": "fail"}), Failed, None),
        (json!({"null.values": "send"}), Done, Some("")),
        (json!({"null.values": "send", "mode": "batch"}), Done, Some("[null]")),
        (json!({"null.values": "send", "mode": "batch", "batch.format": "lines"}), Done, Some("null\n")),
        (
            json!({"null.values": "send", "body": "{\"v\": ${value}, \"w\": ${value.w}}"}),
            Done,
            Some("{\"v\": null, \"w\": null}"),
        ),
    ] {
        let http = server([]);
        let mut sink = open(config.clone());
        let out = sink.write(&[TestRecord::default().at("t", 0, 0)]).unwrap();
        assert_eq!(dispositions(&out).first().copied().unwrap_or(Done), disposition, "{config}");
        assert_eq!(bodies(&http).first().map(String::as_str), sent, "{config}");
    }
}

#[test]
fn batches_keep_to_their_bounds_and_to_one_target() {
    let http = server([]);
    let mut sink = open(json!({"mode": "batch", "batch.max.records": 3}));
    sink.write(&records(0..7)).unwrap();
    assert_eq!(bodies(&http), ["[0,1,2]", "[3,4,5]", "[6]"]);

    let mut sink = open(json!({"mode": "batch", "batch.max.bytes": 7, "batch.format": "lines"}));
    sink.write(&records(8..13)).unwrap();
    assert_eq!(bodies(&http), ["8\n9\n10\n", "11\n12\n"]);
    // What is larger goes alone.
    sink.write(&[TestRecord::value("123456789").at("t", 0, 0)]).unwrap();
    assert_eq!(bodies(&http), ["123456789\n"]);

    let mut sink = open(json!({"mode": "batch", "url": "https://hook/${key}"}));
    let keyed: Vec<_> = [("a", 1), ("a", 2), ("b", 3), ("a", 4)]
        .map(|(key, offset)| TestRecord::new(key, offset.to_string()).at("t", 0, offset))
        .into();
    sink.write(&keyed).unwrap();
    let sent: Vec<_> = http.requests().into_iter().map(|r| (r.url, String::from_utf8(r.body).unwrap())).collect();
    let expected = [("a", "[1,2]"), ("b", "[3]"), ("a", "[4]")]
        .map(|(key, body)| (format!("https://hook/{key}"), body.to_owned()));
    assert_eq!(sent, expected);
}

#[test]
fn what_cannot_stand_in_a_batch_fails_alone() {
    let http = server([]);
    let mut sink = open(json!({"mode": "batch"}));
    let mut batch = records(0..4);
    batch[1].value = Some(b"1,2".to_vec());
    batch[2].value = Some(b" {\n}\n".to_vec());
    assert_eq!(write_all(&mut sink, &batch).dispositions, [Done, Failed, Done, Done]);
    assert_eq!(bodies(&http), ["[0]", "[{\n},3]"]);

    let mut sink = open(json!({"mode": "batch", "batch.format": "lines"}));
    batch[1].value = Some(b"two\nlines".to_vec());
    assert_eq!(write_all(&mut sink, &batch).dispositions, [Done, Failed, Done, Done]);
    assert_eq!(bodies(&http), ["0\n", " { } \n3\n"]);
}

#[test]
fn a_refusal_is_about_the_record_and_says_why() {
    let http = server([200, 404, 301]);
    let mut sink = open(json!({"url": "https://hook/in?token=secret"}));
    let out = write_all(&mut sink, &records(0..4));
    assert_eq!(out.dispositions, [Done, Failed, Failed, Done]);
    let why = ["POST https://hook/in answered 404: because", "POST https://hook/in answered 301: because"];
    assert_eq!(out.messages, why);
    assert_eq!(bodies(&http), ["0", "1", "2", "3"]);
}

#[test]
fn nothing_behind_a_record_that_failed_is_sent_in_the_same_call() {
    // Refused alone; to blame for the refusal of its batch; and never sent.
    let mut unsendable = records(0..6);
    unsendable[2].value = Some(b"not JSON".to_vec());
    for (config, batch, sent) in [
        (json!({}), records(0..6), &["0", "1", "2"][..]),
        (json!({"mode": "batch"}), records(0..6), &["[0,1,2,3,4,5]", "[0,1,2]", "[0]", "[1,2]", "[1]", "[2]"]),
        (json!({"mode": "batch"}), unsendable, &["[0,1]"]),
    ] {
        let http = testing::http(|request| {
            let bad = String::from_utf8_lossy(&request.body).contains('2');
            Ok(answer(if bad { 422 } else { 200 }))
        });
        let mut sink = open(config.clone());
        let out = sink.write(&batch).unwrap();
        assert_eq!(dispositions(&out), [Done, Done, Failed, NotAttempted, NotAttempted, NotAttempted], "{config}");
        assert_eq!(bodies(&http), sent, "{config}");
        // It costs no more than the one call that goes on behind it.
        assert_eq!(write_all(&mut sink, &batch[3..]).calls, 1, "{config}");
    }
    // Of what need not be sent to be known as bad, a row costs one call.
    let _http = server([]);
    let mut row = records(0..6);
    (2..5).for_each(|bad| row[bad].value = None);
    let out = write_all(&mut open(json!({"null.values": "fail"})), &row);
    assert_eq!((out.dispositions, out.calls), (vec![Done, Done, Failed, Failed, Failed, Done], 2));
}

#[test]
fn what_a_redirect_made_a_get_of_was_not_delivered() {
    let _http = testing::http(|request| {
        let kept = request.body == b"1";
        let method = if kept { request.method.clone() } else { "GET".to_owned() };
        Ok(Response { method, url: "https://hook/elsewhere".to_owned(), ..answer(200) })
    });
    let out = write_all(&mut open(json!({})), &records(0..2));
    assert_eq!(out.dispositions, [Failed, Done]);
    assert_eq!(out.messages, ["POST https://hook/in was redirected, and became GET https://hook/elsewhere"]);
}

#[test]
fn a_batch_that_is_refused_is_split_until_the_record_to_blame_is_alone() {
    let http = testing::http(|request| {
        let values: Vec<i64> = serde_json::from_slice(&request.body).unwrap();
        Ok(answer(if values.contains(&5) || values.contains(&6) { 422 } else { 200 }))
    });
    let mut sink = open(json!({"mode": "batch"}));
    let out = write_all(&mut sink, &records(0..16));
    let failed: Vec<_> = out.dispositions.iter().enumerate().filter(|(_, d)| **d == Failed).map(|(i, _)| i).collect();
    assert_eq!(failed, [5, 6]);
    let taken: Vec<i64> = bodies(&http)
        .iter()
        .flat_map(|body| {
            let values: Vec<i64> = serde_json::from_str(body).unwrap();
            if values.contains(&5) || values.contains(&6) { Vec::new() } else { values }
        })
        .collect();
    assert_eq!(taken, (0..16).filter(|n| ![5, 6].contains(n)).collect::<Vec<_>>(), "each once, and in order");

    // Who may not write at all is not asked for each record.
    let http = server([403]);
    let out = sink.write(&records(0..16)).unwrap();
    assert!(dispositions(&out).iter().all(|d| *d == Failed));
    assert_eq!(http.requests().len(), 1);
}

#[test]
fn what_was_taken_is_not_sent_again_after_a_failure_in_the_middle() {
    for (status, config) in [(429, json!({})), (503, json!({"mode": "batch", "batch.max.records": 1}))] {
        let http = server([200, 200, status]);
        let mut sink = open(config);
        let out = sink.write(&records(0..5)).unwrap();
        assert_eq!(dispositions(&out), [Done, Done, Retry, NotAttempted, NotAttempted]);
        assert!(message(&out, 2).contains(&status.to_string()));
        http.requests();
        sink.write(&records(2..5)).unwrap();
        assert_eq!(http.requests().len(), 3);
    }
}

#[test]
fn a_failure_at_the_start_is_one_of_the_call() {
    let _http = server([500]);
    let mut sink = open(json!({}));
    let (class, message) = sink.write(&records(0..2)).unwrap_err();
    assert_eq!((class, message.as_str()), (ErrorClass::Retryable, "POST https://hook/in answered 500: because"));
    assert!(sink.write(&records(0..2)).unwrap().results.is_empty());
}

#[test]
fn a_pause_a_server_asks_for_is_kept_even_if_it_comes_in_the_middle() {
    let pause = |status| Response { headers: vec![("Retry-After".into(), "7".into())], ..answer(status) };
    let calls = Rc::new(RefCell::new(0));
    let counted = Rc::clone(&calls);
    let http = testing::http(move |_| {
        *counted.borrow_mut() += 1;
        Ok(if *counted.borrow() == 2 { pause(429) } else { answer(200) })
    });
    let mut sink = open(json!({}));
    let out = sink.write(&records(0..3)).unwrap();
    assert_eq!(dispositions(&out), [Done, Retry, NotAttempted]);
    // The next call is too early, and asks nobody.
    let (class, message) = sink.write(&records(1..3)).unwrap_err();
    assert_eq!(class, ErrorClass::Throttled);
    let (millis, why) = message.split_once('\n').unwrap();
    assert!((6_000..=7_000).contains(&millis.parse::<u64>().unwrap()), "{message}");
    assert!(why.contains("answered 429"), "{why}");
    assert_eq!(http.requests().len(), 2);

    let _http = testing::http(move |_| Ok(pause(503)));
    let mut sink = open(json!({}));
    let (class, message) = sink.write(&records(0..3)).unwrap_err();
    assert_eq!((class, message.split('\n').next()), (ErrorClass::Throttled, Some("7000")));
}

#[test]
fn no_answer_is_retried_where_it_may_pass_and_fatal_where_not() {
    for (kind, class) in [(ErrorKind::Timeout, ErrorClass::Retryable), (ErrorKind::Denied, ErrorClass::Fatal)] {
        let _http = testing::http(move |_| Err(Error::new(kind, "no")));
        let mut sink = open(json!({}));
        assert_eq!(sink.write(&records(0..2)).unwrap_err(), (class, "POST https://hook/in: no".to_owned()));
    }
    // An answer that is too long is one: the record may have been taken.
    let _http = testing::http(|_| Err(Error::new(ErrorKind::TooLarge, "too long")));
    let out = open(json!({})).write(&records(0..1)).unwrap();
    assert_eq!(dispositions(&out), [Failed]);
}

#[test]
fn which_statuses_are_retried_is_configured() {
    let _http = server([409, 500]);
    let mut sink = open(json!({"retry.statuses": "409"}));
    assert_eq!(sink.write(&records(0..1)).unwrap_err().0, ErrorClass::Retryable);
    assert_eq!(dispositions(&sink.write(&records(0..1)).unwrap()), [Failed]);
}

fn names(http: &Http) -> Vec<String> {
    http.requests().iter().map(|request| header(request, "Idempotency-Key").unwrap().to_owned()).collect()
}

#[test]
fn records_have_names_that_stay_the_same_when_they_come_again() {
    let http = server([200, 200, 500]);
    let mut sink = open(json!({"idempotency.header": "Idempotency-Key"}));
    // Behind a transform several records may come of one.
    let same = |value: &str| TestRecord::value(value).at("t", 2, 8);
    let all = [TestRecord::value("0").at("t", 2, 7), same("a"), same("b"), same("c")];
    sink.write(&all).unwrap();
    assert_eq!(names(&http), ["t-2-7", "t-2-8", "t-2-8:1"]);
    sink.write(&all[2..]).unwrap();
    assert_eq!(names(&http), ["t-2-8:1", "t-2-8:2"]);

    let out = sink.write(&[TestRecord::value("1")]).unwrap();
    assert!(message(&out, 0).contains("no partition and offset"), "{out:?}");

    let mut sink = open(json!({"idempotency.header": "Idempotency-Key", "mode": "batch", "batch.max.records": 2}));
    sink.write(&records(0..3)).unwrap();
    assert_eq!(names(&http), ["t-0-0..1", "t-0-2"]);
}

#[test]
fn no_two_records_have_the_same_name() {
    let at = |topic: &str, offset| TestRecord::value("1").at(topic, 0, offset);
    // What comes of one record need not come in a row, and may fail in between; another topic is another place.
    let all = [at("t", 5), at("t", 6), at("t", 5), at("u", 6), at("t", 6), at("t", 5)];
    let expected = ["t-0-5", "t-0-6", "t-0-5:1", "u-0-6", "t-0-6:1", "t-0-5:2"];
    for statuses in [[200; 3], [200, 404, 404], [404, 200, 200]] {
        let http = server(statuses);
        let mut sink = open(json!({"idempotency.header": "Idempotency-Key"}));
        write_all(&mut sink, &all);
        assert_eq!(names(&http), expected, "{statuses:?}");
    }
    // A batch that comes again as a whole has its names again, whether it was taken or left half way.
    let http = server([200, 200, 200, 200, 200, 200, 200, 503]);
    let mut sink = open(json!({"idempotency.header": "Idempotency-Key"}));
    sink.write(&all).unwrap();
    sink.write(&all).unwrap();
    assert_eq!(names(&http), [&expected[..], &expected[..2]].concat());
    // So has one that comes in other parts, from where the last commit was.
    sink.revoked(Vec::new()).unwrap();
    sink.assigned(Vec::new()).unwrap();
    sink.write(&all[..4]).unwrap();
    assert_eq!(names(&http), expected[..4]);
    // The last of a batch is named in full where it is of another topic.
    let mut sink = open(json!({"idempotency.header": "Idempotency-Key", "mode": "batch", "batch.max.records": 4}));
    sink.write(&all).unwrap();
    assert_eq!(names(&http), ["t-0-5,u-0-6", "t-0-6:1..5:2"]);
    // A topic may end as a name does.
    let mut sink = open(json!({"idempotency.header": "Idempotency-Key"}));
    sink.write(&[at("t", 8), at("t", 8), TestRecord::value("1").at("t-0", 8, 1)]).unwrap();
    assert_eq!(names(&http), ["t-0-8", "t-0-8:1", "t-0-8-1"]);
}

#[test]
fn what_is_too_large_for_any_request_fails_before_it_is_sent() {
    let http = server([]);
    let out = open(json!({})).write(&[TestRecord::value(vec![b'x'; 16 << 20]).at("t", 0, 0)]).unwrap();
    assert!(message(&out, 0).contains("more than a request can carry"));
    assert!(http.requests().is_empty());
}

#[test]
fn a_configuration_that_cannot_work_names_its_key() {
    for (config, what) in [
        (json!({"url": "https://${topic}/"}), "key \"url\": a record cannot choose the host"),
        (json!({"url": "https://a/", "headers": {"a b": "x"}}), "key \"headers\", \"a b\""),
        (json!({"url": "https://a/", "headers": {"content-type": "x"}}), "use the key \"content.type\""),
        (json!({"url": "https://a/", "body": "{"}), "key \"body\": is not JSON"),
        (json!({"url": "https://a/", "retry.statuses": "5xx"}), "key \"retry.statuses\": \"5xx\""),
        (json!({"url": "https://a/", "idempotency.header": "a:"}), "key \"idempotency.header\""),
    ] {
        let error = refused(config);
        assert!(error.contains(what), "{error}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Whatever a record holds, what it is put into keeps its shape, and what was put in can be read back.
        #[test]
        fn a_record_stays_where_it_was_put(key in "\\PC{0,12}|[./%\"\\\\\r\n\0]{0,6}", text in "\\PC{0,12}|[\"\\\\\r\n]{0,6}") {
            let http = server([]);
            let mut sink = open(json!({
                "url": "https://hook/a/${key}/b?x=${value.t}&y=1",
                "body": r#"{"key": "<${key}>", "text": ${value.t}, "last": true}"#,
            }));
            let value = json!({"t": text}).to_string();
            let out = sink.write(&[TestRecord::new(key.clone(), value).at("t", 0, 0)]).unwrap();
            let requests = http.requests();
            if ["", ".", ".."].contains(&key.as_str()) {
                prop_assert_eq!(dispositions(&out), [Failed]);
                return Ok(());
            }
            let url = requests[0].url.strip_prefix("https://hook/a/").unwrap();
            let (path, query) = url.split_once("/b?x=").unwrap();
            prop_assert!(!path.contains(['/', '?', '#']));
            prop_assert_eq!(decode(path), key.as_bytes());
            let (param, rest) = query.split_once('&').unwrap();
            prop_assert_eq!((decode(param), rest), (text.clone().into_bytes(), "y=1"));
            let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
            prop_assert_eq!(body, json!({"key": format!("<{key}>"), "text": text, "last": true}));
        }

        /// Whatever fails when: each record is taken once, in order, or failed, and never both.
        #[test]
        fn each_record_is_taken_once(statuses in prop::collection::vec(prop::sample::select(vec![200, 200, 400, 404, 429, 503]), 0..30),
                                     batch in 1_usize..6) {
            let left = Rc::new(RefCell::new(statuses.into_iter()));
            let taken = Rc::new(RefCell::new(Vec::<i64>::new()));
            let (turn, took) = (Rc::clone(&left), Rc::clone(&taken));
            let _http = testing::http(move |request| {
                let status = turn.borrow_mut().next().unwrap_or(200);
                if status == 200 {
                    took.borrow_mut().extend(serde_json::from_slice::<Vec<i64>>(&request.body).unwrap());
                }
                Ok(answer(status))
            });
            let mut sink = open(json!({"mode": "batch", "batch.max.records": batch}));
            let out = write_all(&mut sink, &records(0..12));
            let failed = (0_i64..).zip(&out.dispositions).filter(|(_, d)| **d == Failed).map(|(offset, _)| offset);
            let failed: Vec<_> = failed.collect();
            let taken = taken.borrow();
            prop_assert!(taken.is_sorted());
            let mut all: Vec<_> = taken.iter().chain(&failed).copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..12).collect::<Vec<_>>());
        }
    }

    fn decode(text: &str) -> Vec<u8> {
        let mut parts = text.split('%');
        let mut out = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            out.push(u8::from_str_radix(&part[..2], 16).unwrap());
            out.extend_from_slice(&part.as_bytes()[2..]);
        }
        out
    }
}
