//! `http-source` as the host sees it: each item once, across pages, polls, crashes and answers that say nothing is new.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

mod crashes;
mod failures;
mod pages;
mod unchanged;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_source::{Config, HttpSource, SANDBAR_MANIFEST};
use sandbar_plugin::http::{Request, Response};
use sandbar_plugin::serde_json::{self, Value, json};
use sandbar_plugin::testing::{self, Harness, Http, Output, TestRecord};
use sandbar_plugin::{ErrorClass, NoSink, NoTransform};

type Source = Harness<HttpSource, NoSink, NoTransform>;

const URL: &str = "https://api/items";

/// A source that asks at once, whatever it was told before, unless the test says otherwise.
fn open(mut config: Value) -> Source {
    let defaults = json!({"url": URL, "interval.ms": 1});
    for (key, value) in defaults.as_object().unwrap() {
        if config.get(key).is_none() {
            config[key] = value.clone();
        }
    }
    testing::source::<HttpSource>(config).unwrap()
}

fn refused(config: Value) -> String {
    let refused = testing::source::<HttpSource>(config).err().unwrap();
    assert_eq!(refused.0, ErrorClass::Fatal);
    refused.1
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response { status, body: body.into(), ..Response::default() }
}

/// A server that gives the same answer to all.
fn always(response: Response) -> Http {
    testing::http(move |_| Ok(response.clone()))
}

/// The items of an API, from 1; more may be added.
#[derive(Clone)]
struct Items(Rc<RefCell<u64>>);

impl Items {
    fn new(count: u64) -> Self {
        Self(Rc::new(RefCell::new(count)))
    }

    fn add(&self, more: u64) {
        *self.0.borrow_mut() += more;
    }

    /// Up to so many items after one.
    fn after(&self, item: u64, limit: u64) -> Vec<Value> {
        (item + 1..=*self.0.borrow()).take(usize::try_from(limit).unwrap()).map(|id| json!({"id": id})).collect()
    }
}

/// The value of a query parameter.
fn param<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    url.split_once('?')?.1.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn texts(out: &Output) -> Vec<String> {
    out.records.iter().map(TestRecord::text).collect()
}

/// A server with a document, which says when it has not changed.
fn marked(document: &Rc<RefCell<&'static str>>) -> Http {
    let document = Rc::clone(document);
    testing::http(move |request| {
        let etag = format!("\"{}\"", document.borrow());
        if header(request, "If-None-Match") == Some(&etag) {
            return Ok(answer(304, ""));
        }
        Ok(Response { headers: vec![("ETag".into(), etag)], ..answer(200, *document.borrow()) })
    })
}

/// What comes until a server has been asked so many times more.
fn until_asked(source: &mut Source, http: &Http, times: usize) -> Vec<String> {
    http.requests();
    let (mut more, mut asked) = (Vec::new(), 0);
    poll_until(source, |out| {
        more.extend(texts(out));
        asked += http.requests().len();
        (asked >= times).then_some(())
    });
    more
}

/// Polls until something happened that the server noticed, or something came.
fn poll_until<T>(source: &mut Source, mut done: impl FnMut(&Output) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = done(&source.poll(100).unwrap()) {
            return found;
        }
        assert!(Instant::now() < deadline, "nothing within ten seconds");
    }
}

/// An API that returns up to ten items after a cursor, which stands in each item.
fn since(items: &Items) -> Http {
    let items = items.clone();
    testing::http(move |request| {
        let after = param(&request.url, "since").unwrap_or("0").parse().unwrap();
        Ok(answer(200, json!({"items": items.after(after, 10)}).to_string()))
    })
}

fn since_config() -> Value {
    json!({"records": "/items", "cursor.record.pointer": "/id", "cursor.param": "since"})
}

#[test]
fn the_manifest_and_the_defaults_agree() {
    let manifest = testing::manifest(SANDBAR_MANIFEST).unwrap();
    assert_eq!(manifest.capabilities.http, ["*"]);
    assert!(!manifest.exactly_once, "an answer may have changed when it is asked for again");
    let schema = manifest.config.unwrap();
    let mut defaults = json!({"url": URL});
    for (key, property) in schema["properties"].as_object().unwrap() {
        if let Some(default) = property.get("default") {
            defaults[key] = default.clone();
        }
    }
    let all: Config = serde_json::from_value(defaults).unwrap();
    let none: Config = serde_json::from_value(json!({"url": URL})).unwrap();
    assert_eq!(format!("{all:?}"), format!("{none:?}"));
}

#[test]
fn records_are_the_elements_as_they_came() {
    let http = always(answer(200, r#"{"data": {"items": [{"id": 7, "x": 1.50}, {"id": "b"}, 3, {}]}}"#));
    let mut source = open(json!({"records": "/data/items", "key": "/id", "headers": {"X-A": "1"}}));
    let out = source.poll(100).unwrap();
    assert_eq!(texts(&out), [r#"{"id": 7, "x": 1.50}"#, r#"{"id": "b"}"#, "3", "{}"]);
    let keys: Vec<_> = out.records.iter().map(|r| r.key.clone()).collect();
    assert_eq!(keys, [Some(b"7".to_vec()), Some(b"b".to_vec()), None, None]);
    let request = &http.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.url.as_str(), request.timeout),
        ("GET", URL, Some(Duration::from_secs(30)))
    );
    assert_eq!((header(request, "Accept"), header(request, "X-A")), (Some("application/json"), Some("1")));
}

#[test]
fn a_document_without_an_array_is_a_record_and_null_is_none() {
    for (body, expected) in [(r#"{"a":1}"#, &[r#"{"a":1}"#][..]), ("[1,2]", &["1", "2"]), ("null", &[]), ("", &[])] {
        let _http = always(answer(200, body));
        assert_eq!(texts(&open(json!({})).poll(100).unwrap()), expected, "{body}");
    }
}

#[test]
fn it_asks_no_more_often_than_it_should() {
    let http = always(answer(200, "[1]"));
    let mut source = open(json!({"interval.ms": 3_600_000}));
    assert_eq!(source.poll(100).unwrap().records.len(), 1);
    for _ in 0..10 {
        assert!(source.poll(100).unwrap().records.is_empty());
    }
    assert_eq!(http.requests().len(), 1);
    let mut source = open(json!({"interval.ms": 1}));
    let mut asked = 0;
    poll_until(&mut source, |_| {
        asked += http.requests().len();
        (asked > 1).then_some(())
    });
}

#[test]
fn a_post_carries_its_body() {
    let http = always(answer(200, "[]"));
    let mut source = open(json!({"method": "POST", "body": "{\"q\": 1}"}));
    source.check().unwrap();
    let request = &http.requests()[0];
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", &b"{\"q\": 1}"[..]));
    assert_eq!(header(request, "Content-Type"), Some("application/json"));
}
