//! Servers that fail, answers that are not what was expected, and configurations that cannot work.

use sandbar_plugin::ErrorClass;
use sandbar_plugin::http::{Error, ErrorKind, Response};
use sandbar_plugin::serde_json::json;
use sandbar_plugin::testing;

use crate::{URL, always, answer, open, refused, since_config, texts};

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
