//! Whatever a record holds and whatever fails, each is taken once and stays where it was put.

use std::cell::RefCell;
use std::rc::Rc;

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
