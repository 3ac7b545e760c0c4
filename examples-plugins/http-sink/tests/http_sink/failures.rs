//! What becomes of records that are refused, cannot be sent, or have to wait, and of those around them.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

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
