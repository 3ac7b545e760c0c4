//! Guests whose answers break a rule: numbers, outputs, frames, results.

use anyhow::{Context as _, Result};
use sandbar_abi::Disposition::{Ok as Good, Retry};
use sandbar_abi::frame::layout::{self, header, header_entry, record, result};
use sandbar_abi::manifest::Kind;
use sandbar_abi::status::Returned;
use sandbar_abi::{FrameBuilder, names};
use sandbar_tests::wat::{DATA, Guest, INPUT};

use crate::breaks;

const HEADERS: usize = 2;
const RESULTS: usize = 3;

/// A frame with something in each of its sections, as a poll may return it.
fn honest() -> FrameBuilder {
    let mut frame = FrameBuilder::new();
    let place = frame.topic_partition(Some("out"), Some(0));
    frame.record(Some(b"key"), Some(b"value")).topic_partition(place).header("name", Some(b"x"));
    frame.result(0, Good, Some("well done"));
    frame
}

/// The position of the first entry of a section.
fn first(frame: &[u8], section: usize) -> usize {
    let at = header::SECTIONS + section * layout::SECTION_LEN;
    u32::from_le_bytes(frame[at..][..4].try_into().expect("four bytes")) as usize
}

#[tokio::test]
async fn the_frame_that_lies_are_made_of_is_taken() -> Result<()> {
    breaks(Guest::new().answers(names::POLL, &honest().finish()?), Kind::Source, &[]).await
}

#[tokio::test]
async fn each_lie_in_a_frame_has_its_rule() -> Result<()> {
    let honest = honest().finish()?;
    let (headers, results) = (first(&honest, HEADERS), first(&honest, RESULTS));
    let records = layout::HEADER_LEN;
    let lies = [
        (38, header::MAGIC, 0),
        (38, header::TOTAL_LEN, 8),
        (39, header::HEADER_LEN, 108),
        (40, header::SECTIONS, 0),
        (40, header::SECTIONS + 4, u32::MAX),
        (41, header::SECTIONS + 8, 48),
        (42, header::FLAGS, 0x80),
        (42, header::RESERVED, 1),
        (43, records + record::KEY_AT, u32::MAX),
        (43, records + record::VALUE_LEN, 0x8000_0000),
        (43, headers + header_entry::NAME_LEN, u32::MAX),
        (47, records + record::HEADERS_COUNT, 3),
        (48, records + record::TOPIC_PARTITION, 7),
        (48, records + record::OFFSET + 4, 0x8000_0000),
        (50, results + result::DISPOSITION, 5),
    ];
    for (rule, at, value) in lies {
        let mut frame = honest.clone();
        frame[at..at + 4].copy_from_slice(&value.to_le_bytes());
        breaks(Guest::new().answers(names::POLL, &frame), Kind::Source, &[rule])
            .await
            .with_context(|| format!("{value:#x} at {at}"))?;
    }
    let mut frame = honest.clone();
    let topic = frame.windows(3).rposition(|bytes| bytes == b"out").context("the topic")?;
    frame[topic] = 0xff;
    breaks(Guest::new().answers(names::POLL, &frame), Kind::Source, &[45]).await
}

#[tokio::test]
async fn a_small_frame_that_stands_for_an_enormous_batch() -> Result<()> {
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(&[b'x'; 64 << 10]));
    for _ in 0..2000 {
        frame.record(None, None);
    }
    let mut frame = frame.finish()?;
    let at = layout::HEADER_LEN + record::VALUE_AT;
    let value: [u8; 8] = frame[at..][..8].try_into()?;
    for n in 1..=2000 {
        frame[at + n * layout::RECORD_LEN..][..8].copy_from_slice(&value);
    }
    breaks(Guest::new().answers(names::POLL, &frame), Kind::Source, &[49]).await
}

#[tokio::test]
async fn outputs_that_are_not_there() -> Result<()> {
    for (ptr, len) in [(65_536, 104), (u32::MAX, 104), (0, (64 << 20) + 1), (0, i32::MAX.cast_unsigned())] {
        let answer = format!("(i64.const {})", Returned::pack(ptr, len));
        breaks(Guest::new().with(names::POLL, &answer), Kind::Source, &[26]).await?;
        breaks(Guest::new().with(names::WRITE, &answer), Kind::Sink, &[26]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn numbers_that_are_no_class_and_errors_without_a_message() -> Result<()> {
    for (raw, rule) in [("-5", 73), ("0x8000000000000000", 73), ("-3", 73), ("-1", 29), ("-2", 29), ("-4", 29)] {
        let answer = format!("(i64.const {raw})");
        for (export, kind) in
            [(names::POLL, Kind::Source), (names::WRITE, Kind::Sink), (names::TRANSFORM, Kind::Transform)]
        {
            breaks(Guest::new().with(export, &answer), kind, &[rule]).await.with_context(|| raw.to_owned())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn errors_with_a_message_are_no_fault() -> Result<()> {
    for class in [-1, -2, -4] {
        let body = format!("(call $set_error (i32.const {class}) (i32.const 8) (i32.const 4)) (i64.const {class})");
        let said = r#"(data (i32.const 8) "full")"#;
        breaks(Guest::new().field(said).with(names::WRITE, &body), Kind::Sink, &[]).await?;
        breaks(Guest::new().field(said).with(names::OPEN, &body), Kind::Sink, &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn answers_that_are_no_json_or_too_many() -> Result<()> {
    breaks(Guest::new().answers(names::TASK_CONFIGS, b"nonsense"), Kind::Source, &[27]).await?;
    breaks(Guest::new().answers(names::DISCOVER, b"{"), Kind::Source, &[27]).await?;
    breaks(Guest::new().answers(names::TASK_CONFIGS, b"[]"), Kind::Source, &[75]).await?;
    breaks(Guest::new().answers(names::TASK_CONFIGS, b"[{},{}]"), Kind::Source, &[75]).await?;
    let elsewhere = br#"{"partitions":[{"topic":"other","partition":0,"offset":1}]}"#;
    breaks(Guest::new().answers(names::ASSIGNED, elsewhere), Kind::Sink, &[25]).await
}

#[tokio::test]
async fn records_where_none_may_be_and_inputs_that_are_none() -> Result<()> {
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(b"x")).input(0);
    frame.set_all_ok();
    breaks(Guest::new().answers(names::WRITE, &frame.finish()?), Kind::Sink, &[19]).await?;
    breaks(Guest::new().answers(names::POLL, &frame.finish()?), Kind::Source, &[74]).await?;
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(b"x"));
    frame.set_all_ok();
    breaks(Guest::new().answers(names::TRANSFORM, &frame.finish()?), Kind::Transform, &[22]).await
}

#[tokio::test]
async fn results_that_do_not_add_up() -> Result<()> {
    // Of each call with records, but for the empty one, for which no result is right.
    let none = FrameBuilder::new().finish()?;
    breaks(Guest::new().answers(names::WRITE, &none), Kind::Sink, &[51]).await?;
    let mut frame = FrameBuilder::new();
    frame.result(0, Retry, None);
    (1..5).for_each(|n| frame.result(n, Good, None));
    let mut guest = Guest::new();
    let answer = guest.data(&frame.finish()?);
    let count = INPUT as usize + header::SECTIONS + 4;
    let body =
        format!("(select (i64.const {answer}) (i64.const 0) (i32.eq (i32.load (i32.const {count})) (i32.const 5)))");
    breaks(guest.with(names::WRITE, &body), Kind::Sink, &[52]).await
}

#[tokio::test]
async fn more_than_was_asked_for() -> Result<()> {
    let mut frame = FrameBuilder::new();
    for _ in 0..2 {
        frame.record(None, Some(b"0123456789"));
    }
    breaks(Guest::new().answers(names::POLL, &frame.finish()?), Kind::Source, &[15]).await?;
    // No more records than may be, but more bytes.
    let mut guest = Guest::new();
    let answer = guest.data(&frame.finish()?);
    let body = format!("(select (i64.const {answer}) (i64.const 0) (i32.ge_u (local.get 0) (i32.const 2)))");
    breaks(guest.with(names::POLL, &body), Kind::Source, &[15]).await
}

/// A transform that passes records on, after this was done to each: `$r` is the record, `$heap` the start of the heap.
fn passes_on(change: &str) -> Guest {
    let field = |at: usize| format!("(i32.load (i32.const {}))", DATA as usize + at);
    let (count, heap) = (field(header::SECTIONS + 4), field(header::SECTIONS + 4 * layout::SECTION_LEN));
    let body = format!(
        "(local $i i32) (local $r i32) (local $heap i32)
        (memory.copy (i32.const {DATA}) (local.get 0) (local.get 1))
        (i32.store (i32.const {flags}) (i32.const 2))
        (local.set $heap (i32.add (i32.const {DATA}) {heap}))
        (local.set $r (i32.add (i32.const {DATA}) {records}))
        (block (loop
            (br_if 1 (i32.ge_u (local.get $i) {count}))
            (i32.store offset={input} (local.get $r) (local.get $i))
            {change}
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (local.set $r (i32.add (local.get $r) (i32.load (i32.const {stride}))))
            (br 0)))
        (i64.or (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)) (i64.const {DATA}))",
        flags = DATA as usize + header::FLAGS,
        records = field(header::SECTIONS),
        stride = DATA as usize + header::SECTIONS + 8,
        input = record::INPUT,
    );
    Guest::new().with(names::TRANSFORM, &body).pages(2)
}

#[tokio::test]
async fn a_transform_that_passes_records_on_passes() -> Result<()> {
    breaks(passes_on(""), Kind::Transform, &[]).await
}

#[tokio::test]
async fn null_taken_for_empty() -> Result<()> {
    for len in [record::KEY_LEN, record::VALUE_LEN] {
        let null_to_empty = format!(
            "(if (i32.eq (i32.load offset={len} (local.get $r)) (i32.const -1))
                (then (i32.store offset={len} (local.get $r) (i32.const 0))))"
        );
        breaks(passes_on(&null_to_empty), Kind::Transform, &[44]).await?;
        let empty_to_null = format!(
            "(if (i32.eqz (i32.load offset={len} (local.get $r)))
                (then (i32.store offset={len} (local.get $r) (i32.const -1))))"
        );
        breaks(passes_on(&empty_to_null), Kind::Transform, &[44]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn bytes_taken_for_text() -> Result<()> {
    // Half of what does not begin with a letter.
    let cut = format!(
        "(if (i32.and
                (i32.gt_s (i32.load offset={len} (local.get $r)) (i32.const 1))
                (i32.ge_u
                    (i32.load8_u (i32.add (local.get $heap) (i32.load offset={at} (local.get $r))))
                    (i32.const 128)))
            (then (i32.store offset={len} (local.get $r)
                (i32.div_u (i32.load offset={len} (local.get $r)) (i32.const 2)))))",
        len = record::VALUE_LEN,
        at = record::VALUE_AT,
    );
    breaks(passes_on(&cut), Kind::Transform, &[46]).await
}

#[tokio::test]
async fn input_numbers_of_an_earlier_call() -> Result<()> {
    // The number it was given, where there is one.
    let given = format!(
        "(if (i32.ne (i32.load offset={at} (i32.add (local.get 0) (i32.const {first}))) (i32.const -1))
            (then (i32.store offset={at} (local.get $r)
                (i32.load offset={at} (i32.add (local.get 0) (i32.const {first}))))))",
        at = record::INPUT,
        first = layout::HEADER_LEN,
    );
    breaks(passes_on(&given), Kind::Transform, &[24]).await
}
