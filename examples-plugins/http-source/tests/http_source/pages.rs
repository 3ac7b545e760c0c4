//! Cursors and pages: all of them are followed, once.

use std::cell::RefCell;
use std::rc::Rc;

use sandbar_plugin::http::Request;
use sandbar_plugin::serde_json::json;
use sandbar_plugin::testing;

use crate::{Items, URL, always, answer, header, open, param, poll_until, since, since_config, texts};

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
fn a_page_that_leads_to_itself_leads_nowhere() {
    let http = always(answer(200, format!(r#"{{"items": [1], "next": "{URL}"}}"#)));
    let mut source = open(json!({"records": "/items", "next.pointer": "/next", "interval.ms": 3_600_000}));
    for _ in 0..3 {
        source.poll(100).unwrap();
    }
    assert_eq!(http.requests().len(), 1);
}
