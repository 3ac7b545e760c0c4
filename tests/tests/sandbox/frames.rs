//! Guests whose answer lies: about where it is, how long it is, or what is in it. Each field of the layout has its lie.

use anyhow::{Context as _, Result};
use sandbar::broker::StatePlace;
use sandbar_abi::frame::layout::{self, header, header_entry, record, result, topic_partition};
use sandbar_abi::names;
use sandbar_abi::status::Returned;
use sandbar_abi::{Disposition, FrameBuilder};
use sandbar_tests::wat::{Guest, INPUT};

use crate::{Call, open, second_call_fails};

const RECORDS: usize = 0;
const PLACES: usize = 1;
const HEADERS: usize = 2;
const RESULTS: usize = 3;
const HEAP: usize = 4;

/// The position of a section's descriptor.
fn descriptor(section: usize) -> usize {
    header::SECTIONS + section * layout::SECTION_LEN
}

/// The position of the first entry of a section.
fn first(frame: &[u8], section: usize) -> usize {
    u32::from_le_bytes(frame[descriptor(section)..][..4].try_into().expect("four bytes")) as usize
}

/// A frame that has something in each of its sections.
fn honest() -> Vec<u8> {
    let mut frame = FrameBuilder::new();
    let place = frame.topic_partition(Some("out"), Some(0));
    for input in 0..2 {
        frame.record(Some(b"key"), Some(b"value")).input(input).topic_partition(place).header("name", Some(b"x"));
    }
    for input in 0..3 {
        frame.result(input, Disposition::Ok, Some("well done"));
    }
    frame.finish().expect("a frame")
}

#[tokio::test]
async fn the_frame_that_the_lies_are_made_of_is_taken() -> Result<()> {
    let mut instance = open(&Guest::new().answers(names::TRANSFORM, &honest())).await?;
    let reply = instance.transform(&crate::input(3), StatePlace::Task).await?;
    assert_eq!(reply.output.context("records")?.len(), 2);
    Ok(())
}

/// Writes a number over a field of the honest frame, and expects it to be refused with these words.
async fn lie(at: usize, bytes: &[u8], cause: &str) -> Result<()> {
    let mut frame = honest();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    let cause = format!("contract violation: output frame: {cause}");
    second_call_fails(Guest::new().second_answer(names::TRANSFORM, &frame), Call::Transform, &cause)
        .await
        .with_context(|| format!("{bytes:?} at {at}"))?;
    Ok(())
}

async fn lie_u32(at: usize, value: u32, cause: &str) -> Result<()> {
    lie(at, &value.to_le_bytes(), cause).await
}

#[tokio::test]
async fn lies_in_the_header() -> Result<()> {
    let total = u32::try_from(honest().len())?;
    lie(header::MAGIC, b"SBF2", "header.magic is 0x32464253, not \"SBF1\"").await?;
    lie(header::MAJOR, &[2, 0], "header.major is 2, this side speaks 1").await?;
    for len in [0, 96, 108, u32::MAX - 7] {
        let cause = format!("header.header_len is {len}, expected a multiple of 8 from 104 to the frame's length");
        lie_u32(header::HEADER_LEN, len, &cause).await?;
    }
    for len in [0, total - 8, total + 8, u32::MAX] {
        let cause = format!("header.total_len is {len}, expected the number of bytes passed");
        lie_u32(header::TOTAL_LEN, len, &cause).await?;
    }
    lie_u32(header::FLAGS, 0x80, "header.flags is 128, expected bits known to minor 0 only").await?;
    lie_u32(header::RESERVED, 1, "header.reserved is 1, expected 0").await
}

#[tokio::test]
async fn lies_about_sections() -> Result<()> {
    let frame = honest();
    for (section, name) in ["records", "topic_partitions", "headers", "results", "heap"].into_iter().enumerate() {
        let (offset, count, stride) = (descriptor(section), descriptor(section) + 4, descriptor(section) + 8);
        let at = u32::try_from(first(&frame, section))?;
        lie_u32(offset, at + 1, &format!("section {name}: offset is not a multiple of 8")).await?;
        lie_u32(offset, 0, &format!("section {name}: overlaps what comes before it")).await?;
        lie_u32(offset, at - 8, &format!("section {name}: overlaps what comes before it")).await?;
        lie_u32(offset, u32::MAX - 7, &format!("section {name}: reaches past the frame")).await?;
        lie_u32(count, u32::MAX, &format!("section {name}: reaches past the frame")).await?;
        if section == HEAP {
            lie_u32(stride, 2, "section heap: stride is not 1").await?;
            continue;
        }
        lie_u32(stride, 0, &format!("section {name}: stride is shorter than an entry of v1.0")).await?;
        lie_u32(stride, 60, &format!("section {name}: stride is not a multiple of 8")).await?;
        lie_u32(stride, u32::MAX - 7, &format!("section {name}: reaches past the frame")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn lies_about_topics_and_headers() -> Result<()> {
    let frame = honest();
    let (place, entry, heap) = (first(&frame, PLACES), first(&frame, HEADERS), first(&frame, HEAP));
    let name = |what: &str| format!("topic_partitions[0].{what}");
    lie_u32(place + topic_partition::TOPIC_LEN, 0, &name("topic_len: an empty topic name")).await?;
    lie_u32(place + topic_partition::TOPIC_AT, u32::MAX, &name("topic: reaches past the heap")).await?;
    lie_u32(place + topic_partition::TOPIC_LEN, 0x8000_0000, &name("topic: negative length other than -1")).await?;
    lie_u32(place + topic_partition::PARTITION, 0xffff_fffe, &name("partition: negative, other than -1")).await?;
    lie(heap, &[0xff], &name("topic: is not UTF-8")).await?;

    let name = |what: &str| format!("headers[0].{what}");
    lie_u32(entry + header_entry::NAME_LEN, u32::MAX, &name("name_len: negative length")).await?;
    lie_u32(entry + header_entry::NAME_AT, 1_000_000, &name("name: reaches past the heap")).await?;
    lie_u32(entry + header_entry::VALUE_AT, 1_000_000, &name("value: reaches past the heap")).await?;
    lie_u32(entry + header_entry::VALUE_LEN, 0xffff_fff0, &name("value: negative length other than -1")).await?;
    let key_and_value = b"outkeyvalue".len();
    lie(heap + key_and_value, &[0xc0], &name("name: is not UTF-8")).await
}

#[tokio::test]
async fn lies_about_records_and_results() -> Result<()> {
    let frame = honest();
    let (at, entry) = (first(&frame, RECORDS), first(&frame, RESULTS));
    let name = |what: &str| format!("records[0].{what}");
    lie(at + record::OFFSET, &(-2_i64).to_le_bytes(), &name("offset: negative, other than -1")).await?;
    lie(at + record::TIMESTAMP, &i64::MIN.to_le_bytes(), &name("timestamp: negative, other than -1")).await?;
    lie_u32(at + record::KEY_LEN, 0xffff_fffe, &name("key: negative length other than -1")).await?;
    lie_u32(at + record::KEY_AT, u32::MAX, &name("key: reaches past the heap")).await?;
    lie_u32(at + record::VALUE_LEN, 0x7fff_ffff, &name("value: reaches past the heap")).await?;
    lie_u32(at + record::HEADERS_COUNT, 3, &name("headers: reaches past the header section")).await?;
    lie_u32(at + record::HEADERS_FIRST, u32::MAX, &name("headers: reaches past the header section")).await?;
    lie_u32(at + record::TOPIC_PARTITION, 1, &name("topic_partition: no such topic-partition")).await?;
    let second = at + layout::RECORD_LEN;
    let overlap = "records[1].headers: overlaps the headers of a record before it";
    lie_u32(second + record::HEADERS_FIRST, 0, overlap).await?;

    let name = |what: &str| format!("results[0].{what}");
    lie_u32(entry + result::DISPOSITION, 5, &name("disposition: no such disposition")).await?;
    lie_u32(entry + result::MESSAGE_AT, 1_000_000, &name("message: reaches past the heap")).await?;
    lie_u32(entry + result::MESSAGE_LEN, 0xffff_fffe, &name("message: negative length other than -1")).await?;
    let message = first(&frame, HEAP) + "outkeyvaluenamexkeyvaluenamex".len();
    lie(message, &[0x80], &name("message: is not UTF-8")).await
}

#[tokio::test]
async fn a_small_frame_cannot_stand_for_an_enormous_batch() -> Result<()> {
    // Each record is the whole heap of 64 KiB again.
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(&[b'x'; 64 << 10]));
    for _ in 0..2000 {
        frame.record(None, None);
    }
    let mut frame = frame.finish()?;
    let at = first(&frame, RECORDS);
    let value: [u8; 8] = frame[at + record::VALUE_AT..][..8].try_into()?;
    for n in 1..=2000 {
        frame[at + n * layout::RECORD_LEN + record::VALUE_AT..][..8].copy_from_slice(&value);
    }
    let cause = "contract violation: output frame: records[1024].value: the batch is larger than a frame may be";
    second_call_fails(Guest::new().second_answer(names::POLL, &frame), Call::Poll, cause).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_not_where_it_is_said_to_be() -> Result<()> {
    let short = "contract violation: output frame: frame of 50 bytes is shorter than the header of 104";
    let empty = "contract violation: output frame: frame of 0 bytes is shorter than the header of 104";
    let outside = |at: u32, len: u32| {
        format!("contract violation: an output at {at:#x} with {len} bytes does not lie in memory of 65536 bytes")
    };
    let long = "contract violation: an output of 67108865 bytes is longer than the limit of 67108864";
    let longest = "contract violation: an output of 2147483647 bytes is longer than the limit of 67108864";
    for (ptr, len, cause) in [
        (8, 50, short.to_owned()),
        (8, 0, empty.to_owned()),
        (65_536, 104, outside(65_536, 104)),
        (65_500, 104, outside(65_500, 104)),
        (u32::MAX, 104, outside(u32::MAX, 104)),
        (0, 65_537, outside(0, 65_537)),
        (0, (64 << 20) + 1, long.to_owned()),
        (u32::MAX, i32::MAX.cast_unsigned(), longest.to_owned()),
    ] {
        let answer = Returned::pack(ptr, len);
        for call in [Call::Poll, Call::Transform, Call::Write] {
            let guest = Guest::new().second_call(call.export(), &format!("(return (i64.const {answer}))"));
            second_call_fails(guest, call, &cause).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_may_lie_over_the_input() -> Result<()> {
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(b"over the input")).input(0);
    frame.set_all_ok();
    let frame = frame.finish()?;
    let mut guest = Guest::new();
    let (from, len) = (guest.data(&frame) & 0xffff_ffff, frame.len());
    let body = format!(
        "(memory.copy (i32.const {INPUT}) (i32.const {from}) (i32.const {len})) (i64.const {})",
        Returned::pack(INPUT, u32::try_from(len)?)
    );
    let mut instance = open(&guest.with(names::TRANSFORM, &body)).await?;
    for _ in 0..2 {
        let reply = instance.transform(&crate::input(1), StatePlace::Task).await?;
        let output = reply.output.context("a record")?;
        assert_eq!(output.frame().record(0).context("a record")?.value, Some(&b"over the input"[..]));
    }
    Ok(())
}
