//! What a server says has not changed is not sent again, and not asked for where it was not said.

use sandbar_plugin::http::Response;
use sandbar_plugin::serde_json::json;
use sandbar_plugin::testing;

use crate::{Items, URL, answer, header, open, param, poll_until, since_config, texts};

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
