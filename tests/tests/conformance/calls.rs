//! Guests that break a rule in what they do: how they start, what they keep, when they trap.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use sandbar::conformance::Verdict;
use sandbar_abi::frame::layout::{self, header, record};
use sandbar_abi::manifest::Kind;
use sandbar_abi::{Disposition, FrameBuilder, names};
use sandbar_tests::wat::{Guest, INPUT};

use crate::{CALLS, breaks, failed, test, verdict};

/// Sleeps: a clock subscription of 300 ms, relative.
pub(crate) const SLEEP: &str = "(i64.store (i32.const 64) (i64.const 0)) (i32.store8 (i32.const 72) (i32.const 0))
    (i32.store (i32.const 80) (i32.const 1)) (i64.store (i32.const 88) (i64.const 300000000))
    (drop (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))";

/// Reads a number of the frame that is passed in.
fn input(at: usize) -> String {
    format!("(i32.load (i32.const {}))", INPUT as usize + at)
}

/// The number of records passed in.
fn count() -> String {
    input(header::SECTIONS + 4)
}

fn when(condition: &str, then: &str) -> String {
    format!("(if {condition} (then {then})) (i64.const 0)")
}

fn record() -> Result<Vec<u8>> {
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(b"x"));
    Ok(frame.finish()?)
}

#[tokio::test]
async fn starts_that_trap() -> Result<()> {
    breaks(Guest::new().with(names::INITIALIZE, "unreachable"), Kind::Sink, &[11]).await?;
    breaks(Guest::new().with(names::OPEN, "unreachable"), Kind::Sink, &[70]).await
}

#[tokio::test]
async fn input_buffers_that_are_none() -> Result<()> {
    for body in [
        "(i32.const 4097)",
        "(i32.const 65536)",
        "(i32.const 0x7ffffff8)",
        "(i32.const -8)",
        "unreachable",
        // Aligned and there, but too short for what is asked for.
        "(i32.const 65528)",
        // No memory for what anyone has.
        "(select (i32.const 4096) (i32.const 0) (i32.le_u (local.get 0) (i32.const 2000)))",
    ] {
        let report = test(&Guest::new().with(names::RESERVE, body), Kind::Sink, None).await?;
        assert!(failed(&report).contains(&13), "{body}: {:?}", failed(&report));
    }
    Ok(())
}

#[tokio::test]
async fn something_of_its_own_in_the_input_buffer() -> Result<()> {
    let place = INPUT + 2048;
    let guest = Guest::new()
        .with(names::OPEN, &format!("(i32.store (i32.const {place}) (i32.const 7)) (i64.const 0)"))
        .with(names::POLL, &when(&format!("(i32.ne (i32.load (i32.const {place})) (i32.const 7))"), "unreachable"));
    breaks(guest, Kind::Source, &[14]).await
}

#[tokio::test]
async fn a_poll_that_sleeps() -> Result<()> {
    // The case for it asks for 100 records.
    let guest = Guest::new().with(names::POLL, &when("(i32.eq (local.get 0) (i32.const 100))", SLEEP));
    let report = test(&guest, Kind::Source, None).await?;
    assert_eq!(failed(&report), BTreeSet::from([16]));
    assert!(report.growth.is_empty(), "nobody waits for a million of them");
    Ok(())
}

#[tokio::test]
async fn records_after_the_end() -> Result<()> {
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(b"x"));
    frame.set_end_of_data();
    breaks(Guest::new().answers(names::POLL, &frame.finish()?), Kind::Source, &[17]).await
}

#[tokio::test]
async fn a_number_of_batches_that_may_not_come_again() -> Result<()> {
    let again = "(if (i64.eq (local.get 0) (global.get $last)) (then unreachable))
        (global.set $last (local.get 0)) (i64.const 0)";
    let guest = Guest::new()
        .field("(global $last (mut i64) (i64.const -1))")
        .answers(names::POLL, &record()?)
        .with(names::COMMITTED, again);
    breaks(guest, Kind::Source, &[18]).await
}

#[tokio::test]
async fn records_without_a_place() -> Result<()> {
    let offset = format!("(i64.load (i32.const {}))", INPUT as usize + layout::HEADER_LEN + record::OFFSET);
    let condition = format!("(i32.and (i32.gt_u {} (i32.const 0)) (i64.eq {offset} (i64.const -1)))", count());
    breaks(Guest::new().with(names::WRITE, &when(&condition, "unreachable")), Kind::Sink, &[20]).await
}

#[tokio::test]
async fn flushes_with_nothing_written() -> Result<()> {
    let guest = Guest::new()
        .field("(global $written (mut i32) (i32.const 0))")
        .with(names::WRITE, "(global.set $written (i32.const 1)) (i64.const 0)")
        .with(
            names::FLUSH,
            "(if (i32.eqz (global.get $written)) (then unreachable)) (global.set $written (i32.const 0)) (i64.const 0)",
        );
    let report = test(&guest, Kind::Sink, None).await?;
    assert!(failed(&report).contains(&21), "{:?}", failed(&report));
    Ok(())
}

#[tokio::test]
async fn the_same_records_again() -> Result<()> {
    let offset = format!("(i64.load (i32.const {}))", INPUT as usize + layout::HEADER_LEN + record::OFFSET);
    let body = format!(
        "(if (i32.eqz {}) (then (return (i64.const 0))))
        (if (i64.eq {offset} (global.get $last)) (then unreachable))
        (global.set $last {offset}) (i64.const 0)",
        count()
    );
    let guest = Guest::new().field("(global $last (mut i64) (i64.const -2))").with(names::WRITE, &body);
    breaks(guest, Kind::Sink, &[28]).await
}

#[tokio::test]
async fn pointers_outside_of_memory() -> Result<()> {
    let body = "(call $log (i32.const 3) (i32.const 65530) (i32.const 100)) (i64.const 0)";
    breaks(Guest::new().with(names::FLUSH, body), Kind::Sink, &[21, 30]).await
}

#[tokio::test]
async fn source_offsets_of_what_is_no_source() -> Result<()> {
    let body = "(drop (call $offset_put (i32.const 8) (i32.const 2) (i32.const 8) (i32.const 2))) (i64.const 0)";
    let guest = |export: &str| Guest::new().field(r#"(data (i32.const 8) "{}")"#).with(export, body);
    breaks(guest(names::WRITE), Kind::Sink, &[33]).await?;
    breaks(guest(names::TRANSFORM), Kind::Transform, &[33]).await?;
    breaks(guest(names::POLL), Kind::Source, &[]).await
}

#[tokio::test]
async fn state_that_an_instance_before_it_has_left() -> Result<()> {
    let found = "(i64.ge_s
        (call $state_get (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 8)) (i64.const 0))";
    let guest = Guest::new().with(names::OPEN, &when(found, "unreachable")).with(
        names::WRITE,
        "(drop (call $state_put (i32.const 8) (i32.const 1) (i32.const 8) (i32.const 1))) (i64.const 0)",
    );
    breaks(guest, Kind::Sink, &[37]).await
}

#[tokio::test]
async fn going_on_from_what_was_committed_is_seen_only_in_what_a_fresh_instance_reads() -> Result<()> {
    let nothing = (Verdict::Skipped, "the plugin put no offset and no state to go on from");
    let unread = (Verdict::Skipped, "the fresh instance read no committed offset or state before it put its own");
    let key = r#"(data (i32.const 8) "1")"#;
    let put = "(drop (call $state_put (i32.const 8) (i32.const 1) (i32.const 8) (i32.const 1)))";
    let get = "(drop (call $state_get (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 8)))";
    let put_offset = "(drop (call $offset_put (i32.const 8) (i32.const 1) (i32.const 8) (i32.const 1)))";
    let get_offset = "(drop (call $offset_get (i32.const 8) (i32.const 1) (i32.const 64) (i32.const 8)))";
    for (open, poll, expected) in [
        (get, String::new(), nothing),
        ("", put.to_owned(), unread),
        ("", put_offset.to_owned(), unread),
        ("", format!("{put} {get}"), unread),
        ("", format!("{get} {put}"), (Verdict::Pass, "")),
        (get, put.to_owned(), (Verdict::Pass, "")),
        (get_offset, put_offset.to_owned(), (Verdict::Pass, "")),
        (get_offset, put.to_owned(), unread),
    ] {
        let guest = Guest::new()
            .field(key)
            .with(names::OPEN, &format!("{open} (i64.const 0)"))
            .with(names::POLL, &format!("{poll} (i64.const 0)"));
        let report = test(&guest, Kind::Source, None).await?;
        assert_eq!(failed(&report), BTreeSet::new());
        assert_eq!(verdict(&report, 37), Some(expected), "{open} {poll}");
        assert_eq!(verdict(&report, 12), Some((Verdict::Pass, "")), "{open} {poll}");
    }
    Ok(())
}

#[tokio::test]
async fn frames_of_a_newer_minor() -> Result<()> {
    let minor = format!("(i32.load16_u (i32.const {}))", INPUT as usize + header::MINOR);
    let said = r#"(data (i32.const 8) "too new")"#;
    let refuse = "(call $set_error (i32.const -2) (i32.const 8) (i32.const 7)) (return (i64.const -2))";
    for then in ["unreachable", "(return (i64.const -3))", refuse] {
        breaks(Guest::new().field(said).with(names::WRITE, &when(&minor, then)), Kind::Sink, &[55]).await?;
        breaks(Guest::new().field(said).with(names::TRANSFORM, &when(&minor, then)), Kind::Transform, &[55]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_batch() -> Result<()> {
    let none = format!("(i32.eqz {})", count());
    breaks(Guest::new().with(names::WRITE, &when(&none, "unreachable")), Kind::Sink, &[72]).await
}

#[tokio::test]
async fn data_on_which_it_traps_exits_or_turns_for_ever() -> Result<()> {
    let key = input(layout::HEADER_LEN + record::KEY_LEN);
    let null = format!("(i32.and (i32.gt_u {} (i32.const 0)) (i32.eq {key} (i32.const -1)))", count());
    for fault in ["unreachable", "(call $proc_exit (i32.const 0))", "(loop (br 0))"] {
        breaks(Guest::new().with(names::WRITE, &when(&null, fault)), Kind::Sink, &[70]).await?;
    }
    let long = format!("(i32.gt_u {} (i32.const 20000))", input(header::TOTAL_LEN));
    let guest =
        Guest::new().with(names::RESERVE, "(i32.const 4096)").pages(64).with(names::WRITE, &when(&long, "unreachable"));
    let report = test(&guest, Kind::Sink, Some(70)).await?;
    assert!(failed(&report).contains(&70), "a large record, a full batch");
    Ok(())
}

#[tokio::test]
async fn a_leak() -> Result<()> {
    // A page in eight calls.
    let body = "(global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.eqz (i32.rem_u (global.get $n) (i32.const 8))) (then (drop (memory.grow (i32.const 1)))))
        (i64.const 0)";
    for (export, kind) in [(names::WRITE, Kind::Sink), (names::TRANSFORM, Kind::Transform), (names::POLL, Kind::Source)]
    {
        let guest = Guest::new().field("(global $n (mut i32) (i32.const 0))").with(export, body);
        breaks(guest, kind, &[71]).await?;
    }
    Ok(())
}

/// What a sink answers to records that are to come again.
const BUSY: &str = "(call $set_error (i32.const -1) (i32.const 8) (i32.const 4)) (return (i64.const -1))";

#[tokio::test]
async fn what_refuses_all_records_is_not_said_to_keep_what_is_about_those_it_takes() -> Result<()> {
    let mut later = FrameBuilder::new();
    later.result(0, Disposition::Retry, None);
    (1..5).for_each(|n| later.result(n, Disposition::NotAttempted, None));
    let mut guest = Guest::new().field(r#"(data (i32.const 8) "busy")"#).with(names::ASSIGNED, "(i64.const 0)");
    let answer = guest.data(&later.finish()?);
    // Each of the five of ordinary work by itself, and any other number as a whole.
    let one_by_one = format!("(if (i32.eq {} (i32.const 5)) (then (return (i64.const {answer}))))", count());
    for refusal in [String::new(), one_by_one] {
        let guest = guest.clone().with(names::WRITE, &format!("{refusal} {BUSY}"));
        let report = test(&guest, Kind::Sink, None).await?;
        assert_eq!(failed(&report), BTreeSet::new());
        for (rule, case) in [(21, "flush"), (25, "assigned"), (71, "growth")] {
            let reason = format!("case {case} was refused: ordinary records are refused");
            assert_eq!(verdict(&report, rule), Some((Verdict::Skipped, reason.as_str())));
        }
        assert!(report.growth.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn records_that_are_refused_do_not_count_as_those_of_many_calls() -> Result<()> {
    // More than ordinary work has: of 1000 calls, 8 are of such batches, and one is larger than its buffer.
    let body = format!("(if (i32.gt_u {} (i32.const 5)) (then {BUSY})) (i64.const 0)", count());
    let guest = Guest::new().field(r#"(data (i32.const 8) "busy")"#).with(names::WRITE, &body);
    let report = test(&guest, Kind::Sink, None).await?;
    assert_eq!(failed(&report), BTreeSet::new());
    let growth = report.growth.first().context("what the calls came to")?;
    assert_eq!((growth.calls, growth.records), (CALLS, CALLS / 1000 * 991));
    Ok(())
}

#[tokio::test]
async fn a_reason_to_be_closed_that_it_does_not_know() -> Result<()> {
    let unknown = "(i32.gt_u (local.get 0) (i32.const 2))";
    breaks(Guest::new().with(names::CLOSE, &when(unknown, "unreachable")), Kind::Source, &[76]).await
}
