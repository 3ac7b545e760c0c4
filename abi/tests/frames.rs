//! Frames of any content survive the trip, golden v1 frames stay readable, and any bytes at all are survived.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::Path;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sandbar_abi::frame::layout::{self, header, header_entry, record, result, topic_partition};
use sandbar_abi::{Disposition, Frame, FrameBuilder, FrameError};

#[derive(Clone, Debug)]
struct Sample {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    offset: Option<i64>,
    timestamp: Option<i64>,
    input: Option<u32>,
    topic_partition: Option<(Option<String>, Option<i32>)>,
    append_time: bool,
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..40))
}

fn sample() -> impl Strategy<Value = Sample> {
    (
        bytes(),
        bytes(),
        vec((".{0,8}", bytes()), 0..4),
        option::of(0..i64::MAX),
        option::of(0..i64::MAX),
        option::of(0..u32::MAX),
        option::of((option::of("[a-z]{1,9}"), option::of(0..i32::MAX))),
        any::<bool>(),
    )
        .prop_map(|(key, value, headers, offset, timestamp, input, topic_partition, append_time)| Sample {
            key,
            value,
            headers,
            offset,
            timestamp,
            input,
            topic_partition,
            append_time,
        })
}

fn build(samples: &[Sample], results: &[(u32, Disposition, Option<String>)]) -> Vec<u8> {
    let mut frame = FrameBuilder::new();
    for s in samples {
        let tp =
            s.topic_partition.as_ref().map(|(topic, partition)| frame.topic_partition(topic.as_deref(), *partition));
        let mut r = frame.record(s.key.as_deref(), s.value.as_deref());
        if let Some(offset) = s.offset {
            r.offset(offset);
        }
        if let Some(timestamp) = s.timestamp {
            r.timestamp(timestamp);
        }
        if let Some(input) = s.input {
            r.input(input);
        }
        if let Some(tp) = tp {
            r.topic_partition(tp);
        }
        if s.append_time {
            r.log_append_time();
        }
        for (name, value) in &s.headers {
            r.header(name, value.as_deref());
        }
    }
    for (input, disposition, message) in results {
        frame.result(*input, *disposition, message.as_deref());
    }
    frame.finish().unwrap()
}

fn disposition() -> impl Strategy<Value = Disposition> {
    (0..5_u32).prop_map(|code| Disposition::from_code(code).unwrap())
}

#[track_caller]
fn assert_same(samples: &[Sample], frame: &Frame<'_>) {
    assert_eq!(frame.len(), samples.len());
    for (record, s) in frame.records().zip(samples) {
        assert_eq!(record.key, s.key.as_deref());
        assert_eq!(record.value, s.value.as_deref());
        assert_eq!(record.offset, s.offset);
        assert_eq!(record.timestamp, s.timestamp);
        assert_eq!(record.input, s.input);
        assert_eq!(record.log_append_time, s.append_time);
        assert_eq!(
            record.topic_partition.map(|tp| (tp.topic.map(str::to_owned), tp.partition)),
            s.topic_partition.clone()
        );
        let headers: Vec<_> = record.headers.map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect();
        assert_eq!(headers, s.headers);
    }
}

proptest! {
    #[test]
    fn any_frame_survives_the_trip(
        samples in vec(sample(), 0..30),
        results in vec((any::<u32>(), disposition(), option::of(".{0,20}")), 0..10),
    ) {
        let bytes = build(&samples, &results);
        let frame = Frame::parse(&bytes).unwrap();
        assert_same(&samples, &frame);
        assert_same(&samples, &Frame::of_checked(&bytes));
        let read: Vec<_> = frame.results().map(|r| (r.input, r.disposition, r.message.map(str::to_owned))).collect();
        prop_assert_eq!(read, results);
    }

    #[test]
    fn a_copy_is_the_same_record(samples in vec(sample(), 1..10)) {
        let bytes = build(&samples, &[]);
        let frame = Frame::parse(&bytes).unwrap();
        let mut copy = FrameBuilder::new();
        for r in frame.records() {
            let tp = r.topic_partition.map(|tp| copy.topic_partition(tp.topic, tp.partition));
            copy.copy(&r, tp, r.input);
        }
        let copied = copy.finish().unwrap();
        assert_same(&samples, &Frame::parse(&copied).unwrap());
    }

    #[test]
    fn any_bytes_are_survived(noise in vec(any::<u8>(), 0..400)) {
        read_everything(&noise);
    }

    #[test]
    fn any_damage_is_survived(
        samples in vec(sample(), 1..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = build(&samples, &[(0, Disposition::Failed, Some("no".into()))]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_everything(&bytes);
        read_everything(&bytes[..cut.index(bytes.len())]);
    }
}

/// Reads all there is, checked or not; the point is that it returns.
fn read_everything(bytes: &[u8]) {
    let frames = [Frame::parse(bytes).ok(), Some(Frame::of_checked(bytes)).filter(|f| f.len() < 1000)];
    for frame in frames.into_iter().flatten() {
        for record in frame.records() {
            let _ = record.headers.take(1000).count();
        }
        let _ = frame.results().take(1000).count();
    }
}

/// The frames that v1.0 promises to read for ever. `docs/abi.md` shows the first of them byte by byte.
fn golden() -> Vec<(&'static str, Vec<u8>)> {
    let mut one = FrameBuilder::new();
    let tp = one.topic_partition(Some("orders"), Some(3));
    one.record(Some(b"k1"), Some(b"hello"))
        .offset(42)
        .timestamp(1_700_000_000_000)
        .topic_partition(tp)
        .header("h", Some(b"v"));
    let mut nulls = FrameBuilder::new();
    nulls.record(None, None);
    nulls.record(Some(b""), Some(b"")).header("", None).header("", Some(b""));
    let mut results = FrameBuilder::new();
    results.record(None, Some(b"out")).input(0);
    results.result(0, Disposition::Ok, None);
    results.result(1, Disposition::Filtered, None);
    results.result(2, Disposition::Failed, Some("not a number"));
    results.result(3, Disposition::Retry, Some("busy"));
    results.result(4, Disposition::NotAttempted, None);
    let mut end = FrameBuilder::new();
    end.set_end_of_data();
    let mut ok = FrameBuilder::new();
    ok.set_all_ok();
    [("one-record", one), ("nulls", nulls), ("results", results), ("end-of-data", end), ("all-ok", ok)]
        .into_iter()
        .map(|(name, frame)| (name, frame.finish().unwrap()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(8) {
        let line: Vec<_> = line.iter().map(|b| format!("{b:02x}")).collect();
        writeln!(text, "{}", line.join(" ")).unwrap();
    }
    text
}

#[test]
fn golden_frames_stay_what_they_are() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, bytes) in golden() {
        let path = dir.join(format!("{name}.hex"));
        if std::env::var_os("SANDBAR_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, hex(&bytes)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(hex(&bytes), text, "{name} changed: that breaks every plugin there is");
        let read: Vec<u8> = text.split_whitespace().map(|b| u8::from_str_radix(b, 16).unwrap()).collect();
        Frame::parse(&read).unwrap();
    }
}

#[test]
fn a_newer_minor_may_append_fields() {
    // The same frame as a newer minor would lay it out: 8 more bytes of header, 8 more a record.
    let old = build(&[Sample { value: Some(b"v".to_vec()), ..plain() }], &[]);
    let mut new = old[..layout::HEADER_LEN].to_vec();
    new.extend([0xAA; 8]);
    new.extend(&old[layout::HEADER_LEN..layout::HEADER_LEN + layout::RECORD_LEN]);
    new.extend([0xBB; 8]);
    new.extend(&old[layout::HEADER_LEN + layout::RECORD_LEN..]);
    let total = u32::try_from(new.len()).unwrap();
    put(&mut new, header::MINOR, 1_u16.to_le_bytes());
    put(&mut new, header::HEADER_LEN, 112_u32.to_le_bytes());
    put(&mut new, header::TOTAL_LEN, total.to_le_bytes());
    for (i, grown) in [(0, 8), (1, 16), (2, 16), (3, 16), (4, 16)] {
        let at = header::SECTIONS + i * layout::SECTION_LEN;
        let offset = u32::from_le_bytes(new[at..at + 4].try_into().unwrap());
        put(&mut new, at, (offset + grown).to_le_bytes());
    }
    put(&mut new, header::SECTIONS + 8, 64_u32.to_le_bytes());
    let frame = Frame::parse(&new).unwrap();
    assert_eq!(frame.record(0).unwrap().value, Some(&b"v"[..]));
}

fn plain() -> Sample {
    Sample {
        key: None,
        value: None,
        headers: Vec::new(),
        offset: None,
        timestamp: None,
        input: None,
        topic_partition: None,
        append_time: false,
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

#[test]
fn every_refusal_names_the_field() {
    let sample = Sample { key: Some(b"k".to_vec()), headers: vec![("h".into(), None)], ..plain() };
    let good = build(&[sample.clone(), sample], &[(0, Disposition::Ok, None)]);
    let first = layout::HEADER_LEN;
    let second = first + layout::RECORD_LEN;
    let results = header::SECTIONS + 3 * layout::SECTION_LEN;
    let result_at = u32::from_le_bytes(good[results..results + 4].try_into().unwrap()) as usize;
    let cases: &[(usize, &[u8], &str)] = &[
        (header::MAGIC, b"SBF2", "header.magic"),
        (header::MAJOR, &[2, 0], "header.major"),
        (header::HEADER_LEN, &[100, 0, 0, 0], "header.header_len"),
        (header::TOTAL_LEN, &[1, 0, 0, 0], "header.total_len"),
        (header::FLAGS, &[4, 0, 0, 0], "header.flags"),
        (header::RESERVED, &[1, 0, 0, 0], "header.reserved"),
        (header::SECTIONS, &[105], "section records: offset"),
        (header::SECTIONS, &[96], "section records: overlaps"),
        (header::SECTIONS + 4, &[255, 255, 255, 255], "section records: reaches past"),
        (header::SECTIONS + 8, &[48], "section records: stride is shorter"),
        (header::SECTIONS + 8, &[57], "section records: stride is not"),
        (header::SECTIONS + 4 * layout::SECTION_LEN + 8, &[2], "section heap: stride"),
        (first + record::OFFSET, &[0xFE, 255, 255, 255, 255, 255, 255, 255], "records[0].offset"),
        (first + record::TIMESTAMP, &[0xFE, 255, 255, 255, 255, 255, 255, 255], "records[0].timestamp"),
        (first + record::KEY_LEN, &[0xFE, 255, 255, 255], "records[0].key: negative"),
        (first + record::KEY_AT, &[99], "records[0].key: reaches past"),
        (first + record::VALUE_LEN, &[255, 255, 255, 0x7F], "records[0].value: reaches past"),
        (first + record::HEADERS_COUNT, &[9], "records[0].headers: reaches past"),
        (second + record::HEADERS_FIRST, &[0], "records[1].headers: overlaps"),
        (first + record::TOPIC_PARTITION, &[0, 0, 0, 0], "records[0].topic_partition"),
        (result_at + 4, &[9], "results[0].disposition"),
    ];
    for (at, bytes, expected) in cases {
        let mut bad = good.clone();
        bad[*at..at + bytes.len()].copy_from_slice(bytes);
        let message = Frame::parse(&bad).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} does not name {expected:?}");
    }
    assert_eq!(Frame::parse(&good[..50]).unwrap_err(), FrameError::TooShort { len: 50, need: 104 });
}

#[test]
fn a_small_frame_cannot_stand_for_an_enormous_batch() {
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(&vec![0; 1 << 20]));
    for _ in 0..100 {
        frame.record(None, Some(b""));
    }
    let mut bytes = frame.finish().unwrap();
    for i in 1..=100 {
        let entry = layout::HEADER_LEN + i * layout::RECORD_LEN;
        put(&mut bytes, entry + record::VALUE_AT, 0_u32.to_le_bytes());
        put(&mut bytes, entry + record::VALUE_LEN, (1_i32 << 20).to_le_bytes());
    }
    assert!(Frame::parse(&bytes).unwrap_err().to_string().contains("larger than a frame may be"));
}

#[test]
fn text_that_entries_share_is_looked_at_no_more_often_than_a_frame_is_long() {
    // Each entry names the same mebibyte again. Looking at all of it would be 64 GiB of text, a minute's work.
    const ENTRIES: u32 = 1 << 16;
    let long = "x".repeat(1 << 20);
    let mut topics = FrameBuilder::new();
    let mut headers = FrameBuilder::new();
    let mut results = FrameBuilder::new();
    topics.topic_partition(Some(&long), None);
    results.result(0, Disposition::Failed, Some(&long));
    let mut record = headers.record(None, None);
    record.header(&long, None);
    for input in 1..ENTRIES {
        topics.topic_partition(Some("x"), None);
        record.header("x", None);
        results.result(input, Disposition::Failed, Some("x"));
    }
    for (frame, section, at, named) in [
        (topics, 1, topic_partition::TOPIC_AT, "topic_partitions[64].topic"),
        (headers, 2, header_entry::NAME_AT, "headers[64].name"),
        (results, 3, result::MESSAGE_AT, "results[64].message"),
    ] {
        let mut bytes = frame.finish().unwrap();
        let descriptor = header::SECTIONS + section * layout::SECTION_LEN;
        let first = u32::from_le_bytes(bytes[descriptor..descriptor + 4].try_into().unwrap()) as usize;
        let shared: [u8; 8] = bytes[first + at..][..8].try_into().unwrap();
        for entry in 1..ENTRIES as usize {
            put(&mut bytes, first + entry * 16 + at, shared);
        }
        let message = Frame::parse(&bytes).unwrap_err().to_string();
        assert_eq!(message, format!("{named}: the batch is larger than a frame may be"));
    }
}

#[test]
fn what_does_not_fit_is_refused_when_it_is_finished() {
    let mut frame = FrameBuilder::new();
    let big = vec![0; 40 << 20];
    frame.record(None, Some(&big));
    frame.record(None, Some(&big));
    assert!(matches!(frame.finish(), Err(FrameError::TooLong { .. })));
}
