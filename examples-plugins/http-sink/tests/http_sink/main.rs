//! `http-sink` as the host sees it: what is sent, what becomes of each record, and that nothing a server took is sent again.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

mod failures;
mod names;
mod properties;

use std::ops::Range;

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
    assert!(!manifest.exactly_once && !manifest.idempotent_write, "that is the receiver's to promise");
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
