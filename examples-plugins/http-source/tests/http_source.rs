//! `http-source` as the host sees it: each item once, across pages, polls, crashes and answers that say nothing is new.

#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_source::{Config, HttpSource, SANDBAR_MANIFEST};
use sandbar_plugin::http::{Error, ErrorKind, Request, Response};
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

#[test]
fn the_manifest_and_the_defaults_agree() {
    let manifest = testing::manifest(SANDBAR_MANIFEST).unwrap();
    assert_eq!(manifest.capabilities.http, ["*"]);
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
fn a_cursor_in_the_last_record_leads_through_all_of_them() {
    let items = Items::new(25);
    let http = since(&items);
    let mut config = since_config();
    config["interval.ms"] = json!(3_600_000);
    let mut source = open(config);
    let mut got = Vec::new();
    for _ in 0..5 {
        got.extend(texts(&source.poll(100).unwrap()));
    }
    // Three pages at once and one that is empty; then it waits.
    assert_eq!(got.len(), 25);
    let urls: Vec<_> = http.requests().into_iter().map(|r| r.url).collect();
    assert_eq!(urls, ["", "?since=10", "?since=20", "?since=25"].map(|query| format!("{URL}{query}")));
    source.commit();
    assert_eq!(source.offsets()[&json!({"url": URL}).to_string()], json!({"cursor": "25"}));
}

#[test]
fn a_cursor_in_the_document_stays_where_there_is_none() {
    let turn = Rc::new(RefCell::new(0));
    let http = testing::http(move |_| {
        let mut turn = turn.borrow_mut();
        *turn += 1;
        Ok(answer(
            200,
            match *turn {
                1 => r#"{"items": [1], "next": "a b"}"#,
                2 => r#"{"items": [2], "next": null}"#,
                _ => r#"{"items": [], "next": ""}"#,
            },
        ))
    });
    let mut source = open(json!({"url": "https://api/items?x=1", "records": "/items",
        "cursor.pointer": "/next", "cursor.param": "c", "cursor.initial": "start"}));
    let mut urls = Vec::new();
    poll_until(&mut source, |_| {
        urls.extend(http.requests().into_iter().map(|r| r.url));
        (urls.len() >= 4).then_some(())
    });
    let expected = ["start", "a%20b", "a%20b", "a%20b"].map(|cursor| format!("https://api/items?x=1&c={cursor}"));
    assert_eq!(urls, expected);
}

#[test]
fn pages_are_followed_by_pointer_and_by_header() {
    let pages = |request: &Request| {
        let page: u64 = param(&request.url, "page").unwrap_or("1").parse().unwrap();
        let next = (page < 3).then(|| format!("items?page={}", page + 1));
        let mut response = answer(200, json!({"items": [page], "next": next}).to_string());
        if let Some(next) = next {
            response.headers.push(("Link".into(), format!("<{URL}>; rel=\"first\", <{next}>; rel=\"next\"")));
        }
        Ok(response)
    };
    for config in [json!({"next.pointer": "/next"}), json!({})] {
        let http = testing::http(pages);
        let mut config = config;
        config["records"] = json!("/items");
        config["interval.ms"] = json!(3_600_000);
        let mut source = open(config);
        let got: Vec<_> = (0..5).flat_map(|_| texts(&source.poll(100).unwrap())).collect();
        assert_eq!(got, ["1", "2", "3"]);
        assert_eq!(http.requests().len(), 3);
    }
}

#[test]
fn an_empty_body_ends_the_pages_and_the_next_poll_begins_with_the_first() {
    let http = testing::http(|request| {
        let mut response = match param(&request.url, "page") {
            None => answer(200, r#"{"items": [1], "next": "?page=2"}"#),
            Some(_) => answer(204, ""),
        };
        response.headers.push(("ETag".into(), "\"of this page\"".into()));
        Ok(response)
    });
    let mut source = open(json!({"records": "/items", "next.pointer": "/next"}));
    let mut asked = Vec::new();
    poll_until(&mut source, |_| {
        asked.extend(http.requests());
        (asked.len() >= 4).then_some(())
    });
    let urls: Vec<_> = asked[..4].iter().map(|request| request.url.as_str()).collect();
    let second = format!("{URL}?page=2");
    assert_eq!(urls, [URL, &second, URL, &second]);
    assert!(asked.iter().all(|request| header(request, "If-None-Match").is_none()));
}

#[test]
fn a_crash_anywhere_neither_loses_nor_doubles() {
    // Crash after each number of polls, with polls smaller than a page, in both ways to go through pages.
    for crash_after in 0..14 {
        for paged in [false, true] {
            let items = Items::new(25);
            let served = items.clone();
            let http = testing::http(move |request| {
                let after: u64 = param(&request.url, "since").unwrap_or("0").parse().unwrap();
                let page = served.after(after, 10);
                let next = (paged && page.len() == 10).then(|| format!("?since={}", after + 10));
                Ok(answer(200, json!({"items": page, "next": next}).to_string()))
            });
            let mut config = if paged { json!({"records": "/items"}) } else { since_config() };
            config["next.pointer"] = json!("/next");
            config["interval.ms"] = json!(3_600_000);
            let mut source = open(config);
            let mut got = Vec::new();
            for poll in 0..14 {
                if poll == crash_after {
                    // What this poll gives is never committed.
                    source.poll(3).unwrap();
                    source.crash().unwrap();
                }
                got.extend(texts(&source.poll(3).unwrap()));
                source.commit();
            }
            let expected: Vec<_> = (1..=25).map(|id| json!({"id": id}).to_string()).collect();
            // Having come to its end, a walk through pages begins anew after a crash: it has no cursor.
            assert_eq!(got[..25], expected, "crash after {crash_after} polls, paged: {paged}");
            assert!(got.len() == 25 || paged && crash_after >= 9, "{got:?}");
            drop(http);
        }
    }
}

#[test]
fn a_page_that_changed_meanwhile_goes_on_behind_what_was_given() {
    for (changed, rest, again) in [
        ("[1,2,3,4]", &["3", "4"][..], &[][..]),
        // Something new in what was given, which only reading it whole once more brings; something gone from it.
        ("[9,2,3,4]", &["3", "4"], &["9", "2", "3", "4"]),
        ("[0,1,2,3,4]", &["3", "4"], &["0", "1", "2", "3", "4"]),
        ("[2,3,4]", &["3", "4"], &["2", "3", "4"]),
        // What was given last is gone, and all of it is: it is given whole as it is.
        ("[3,4]", &["3", "4"], &[]),
        ("[]", &[], &[]),
    ] {
        let document = Rc::new(RefCell::new("[1,2,3,4]"));
        let http = marked(&document);
        let mut source = open(json!({}));
        assert_eq!(texts(&source.poll(2).unwrap()), ["1", "2"]);
        source.commit();
        source.crash().unwrap();
        *document.borrow_mut() = changed;
        assert_eq!(texts(&source.poll(100).unwrap()), rest, "{changed}");
        let warned = source.logs().iter().any(|line| line.contains("it is given whole"));
        assert_eq!(warned, !changed.contains('2'), "{changed}");
        assert_eq!(until_asked(&mut source, &http, 3), again, "{changed}");
    }
}

#[test]
fn a_second_crash_does_not_hide_what_changed_before_the_first() {
    let document = Rc::new(RefCell::new("[1,2,3,4,5]"));
    let http = marked(&document);
    let mut source = open(json!({}));
    source.poll(2).unwrap();
    source.commit();
    source.crash().unwrap();
    *document.borrow_mut() = "[0,1,2,3,4,5]";
    assert_eq!(texts(&source.poll(1).unwrap()), ["3"]);
    source.commit();
    source.crash().unwrap();
    assert_eq!(texts(&source.poll(100).unwrap()), ["4", "5"]);
    assert_eq!(until_asked(&mut source, &http, 3), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn what_changed_within_the_second_it_is_marked_with_is_not_hidden() {
    let document = Rc::new(RefCell::new("[1,2,3]"));
    let served = Rc::clone(&document);
    let http = testing::http(move |request| {
        if header(request, "If-Modified-Since").is_some() {
            return Ok(answer(304, ""));
        }
        Ok(Response { headers: vec![("Last-Modified".into(), "then".into())], ..answer(200, *served.borrow()) })
    });
    let mut source = open(json!({}));
    source.poll(2).unwrap();
    source.commit();
    source.crash().unwrap();
    *document.borrow_mut() = "[0,1,2,3]";
    assert_eq!(texts(&source.poll(100).unwrap()), ["3"]);
    assert_eq!(until_asked(&mut source, &http, 3), ["0", "1", "2", "3"]);
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let http = testing::http(|request| {
        if header(request, "If-None-Match") == Some("\"v1\"") && header(request, "If-Modified-Since") == Some("then") {
            return Ok(answer(304, ""));
        }
        let headers = vec![("ETag".into(), "\"v1\"".into()), ("Last-Modified".into(), "then".into())];
        Ok(Response { headers, ..answer(200, "[1,2,3]") })
    });
    let mut source = open(json!({}));
    // In the middle of the document it is asked for whole.
    assert_eq!(texts(&source.poll(2).unwrap()), ["1", "2"]);
    source.commit();
    source.crash().unwrap();
    assert_eq!(texts(&source.poll(2).unwrap()), ["3"]);
    source.commit();
    let kept = json!({"etag": "\"v1\"", "last_modified": "then"});
    assert_eq!(source.offsets()[&json!({"url": URL}).to_string()], kept);
    source.crash().unwrap();
    http.requests();
    poll_until(&mut source, |out| {
        assert!(out.records.is_empty());
        (http.requests().len() == 1).then_some(())
    });
}

#[test]
fn what_marks_one_page_is_not_asked_of_another() {
    let items = Items::new(3);
    let served = items.clone();
    let http = testing::http(move |request| {
        let after = param(&request.url, "since").unwrap_or("0").parse().unwrap();
        let page = served.after(after, 10);
        let etag = format!("\"{}\"", page.len());
        if header(request, "If-None-Match") == Some(&etag) {
            return Ok(answer(304, ""));
        }
        Ok(Response { headers: vec![("ETag".into(), etag)], ..answer(200, json!({"items": page}).to_string()) })
    });
    let mut source = open(since_config());
    let mut seen = Vec::new();
    let mut conditions = Vec::new();
    // All items, then an empty page, then that nothing has changed.
    poll_until(&mut source, |out| {
        seen.extend(texts(out));
        conditions.extend(http.requests().iter().map(|r| header(r, "If-None-Match").map(str::to_owned)));
        (conditions.len() >= 3).then_some(())
    });
    assert_eq!(conditions[..3], [None, None, Some("\"0\"".to_owned())]);
    items.add(2);
    let more = poll_until(&mut source, |out| (!out.records.is_empty()).then(|| texts(out)));
    assert_eq!((seen.len(), more), (3, vec![r#"{"id":4}"#.to_owned(), r#"{"id":5}"#.to_owned()]));
}

#[test]
fn a_server_that_cannot_now_is_asked_again_when_it_says() {
    for (status, retry_after, class, begin) in [
        (503, None, ErrorClass::Retryable, "GET https://api/items answered 503: later"),
        (429, Some("7"), ErrorClass::Throttled, "7000\nGET https://api/items answered 429: later"),
        (500, Some("9999999"), ErrorClass::Throttled, "600000\n"),
        (404, Some("7"), ErrorClass::Fatal, "GET https://api/items answered 404: later"),
        (301, None, ErrorClass::Fatal, "GET https://api/items answered 301: later"),
    ] {
        let headers = retry_after.map(|value| ("Retry-After".to_owned(), value.to_owned())).into_iter().collect();
        let _http = always(Response { headers, ..answer(status, "later") });
        let (found, message) = open(json!({"url": "https://api/items?token=secret"})).poll(100).unwrap_err();
        assert_eq!(found, class, "{message}");
        assert!(message.starts_with(begin) && !message.contains("secret"), "{message}");
    }
    let _http = testing::http(|_| Err(Error::new(ErrorKind::Connect, "refused")));
    let error = open(json!({})).poll(100).unwrap_err();
    assert_eq!(error, (ErrorClass::Retryable, "GET https://api/items: refused".to_owned()));
}

#[test]
fn an_answer_that_is_not_what_was_expected_says_where() {
    for (body, what) in [
        ("<html>", "the answer of https://api/items is not JSON: expected value at line 1 column 1"),
        ("{\"items\": [1,]}", "is not JSON: expected value at line 1 column 14"),
        ("{}", "has nothing at \"/items\""),
        ("{\"items\": [{}]}", "the last record of https://api/items has no string or number at \"/id\""),
        ("{\"items\": [{\"id\": 1}], \"next\": \"https://other/x\"}", "is on another server: https://other/x"),
        ("{\"items\": [{\"id\": 1}], \"next\": \"mailto:x\"}", "is no address: \"mailto:x\""),
    ] {
        let _http = always(answer(200, body));
        let mut config = since_config();
        config["next.pointer"] = json!("/next");
        let (class, message) = open(config).poll(100).unwrap_err();
        assert_eq!(class, ErrorClass::Fatal);
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn a_page_that_leads_to_itself_leads_nowhere() {
    let http = always(answer(200, format!(r#"{{"items": [1], "next": "{URL}"}}"#)));
    let mut source = open(json!({"records": "/items", "next.pointer": "/next", "interval.ms": 3_600_000}));
    for _ in 0..3 {
        source.poll(100).unwrap();
    }
    assert_eq!(http.requests().len(), 1);
}

#[test]
fn polls_keep_to_their_bounds_in_bytes() {
    let _http = always(answer(200, r#"["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"]"#));
    let mut source = open(json!({"interval.ms": 3_600_000}));
    let sizes: Vec<_> = (0..4).map(|_| source.poll_within(100, 20).unwrap().records.len()).collect();
    assert_eq!(sizes, [2, 1, 0, 0]);
}

#[test]
fn a_configuration_that_cannot_work_names_its_key() {
    for (config, what) in [
        (json!({"url": "https://u:p@a/"}), "key \"url\""),
        (json!({"url": "https:///a"}), "key \"url\""),
        // Ten bytes are around it in the source partition, and a quote takes two.
        (json!({"url": format!("{URL}?{}", "x".repeat(1024))}), "key \"url\": has 1042 bytes and can have 1014"),
        (json!({"url": format!("{URL}?\"{}", "x".repeat(995))}), "key \"url\": has 1014 bytes and can have 1013"),
        (json!({"url": URL, "records": "items"}), "key \"records\": \"items\" is no JSON Pointer"),
        (json!({"url": URL, "body": "x"}), "key \"body\": a GET has none"),
        (json!({"url": URL, "cursor.param": "c"}), "key \"cursor.param\": needs"),
        (json!({"url": URL, "cursor.pointer": "/c"}), "key \"cursor.param\": must say"),
        (json!({"url": URL, "cursor.initial": "c"}), "key \"cursor.initial\""),
        (json!({"url": URL, "cursor.param": "c", "cursor.pointer": "/c", "cursor.record.pointer": "/c"}), "excludes"),
    ] {
        let error = refused(config);
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn an_address_as_long_as_can_be_is_read() {
    let _http = always(answer(200, "[1]"));
    let mut source = open(json!({"url": format!("{URL}?{}", "x".repeat(1014 - URL.len() - 1)), "cursor.param": "c",
        "cursor.record.pointer": ""}));
    assert_eq!(texts(&source.poll(100).unwrap()), ["1"]);
}
