//! The names of what is sent: the same when it comes again, and never those of anything else.

use super::*;

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
