//! Crashes anywhere, and pages that changed meanwhile: each item still comes once.

use std::cell::RefCell;
use std::rc::Rc;

use sandbar_plugin::http::Response;
use sandbar_plugin::serde_json::json;
use sandbar_plugin::testing;

use crate::{Items, answer, header, marked, open, param, since_config, texts, until_asked};

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
