//! Guests that return a good frame with one field changed. Each field of the layout is one guest, which tells as many lies
//! about it as there are ways to.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use sandbar_abi::frame::layout::{self, header, header_entry, record, result, topic_partition};
use sandbar_abi::names;
use sandbar_abi::{Disposition, FrameBuilder};

use super::{Fate, Hostile};
use crate::wat::Guest;

const RECORDS: usize = 0;
const PLACES: usize = 1;
const HEADERS: usize = 2;
const RESULTS: usize = 3;
const HEAP: usize = 4;
const SECTIONS: [&str; layout::SECTIONS] = ["records", "topic_partitions", "headers", "results", "heap"];

/// Past the end of the frame, by much.
const FAR: u32 = 1_000_000;
/// -2, the first negative length that does not stand for null.
const BELOW_NULL: u32 = 0xffff_fffe;

/// A field, and what is said of each value that is written over it.
struct Field {
    name: String,
    at: usize,
    lies: Vec<(Vec<u8>, String)>,
}

/// A frame with something in each of its sections.
fn honest() -> Result<Vec<u8>> {
    let mut frame = FrameBuilder::new();
    let place = frame.topic_partition(Some("out"), Some(0));
    for _ in 0..2 {
        frame.record(Some(b"key"), Some(b"value")).topic_partition(place).header("name", Some(b"x"));
    }
    for input in 0..3 {
        frame.result(input, Disposition::Ok, Some("well done"));
    }
    Ok(frame.finish()?)
}

pub(super) fn all() -> Result<Vec<Hostile>> {
    let frame = honest()?;
    let mut all = vec![Hostile::lives("lie-none", Guest::new().answers(names::POLL, &frame))?];
    let mut fields = of_header(&frame)?;
    fields.extend(of_sections(&frame)?);
    fields.extend(of_places(&frame)?);
    fields.extend(of_headers(&frame)?);
    fields.extend(of_records(&frame)?);
    fields.extend(of_results(&frame)?);
    for field in fields {
        all.push(liar(&frame, &field)?);
    }
    Ok(all)
}

/// A source that answers with the frame, and with the lie in it that the number of records chooses.
fn liar(frame: &[u8], field: &Field) -> Result<Hostile> {
    const LIE: usize = 16;
    let mut table = Vec::new();
    let mut causes = Vec::new();
    for (bytes, cause) in &field.lies {
        let at = u32::try_from(field.at)?;
        table.extend([at.to_le_bytes(), u32::try_from(bytes.len())?.to_le_bytes()].concat());
        table.extend(bytes);
        table.resize(table.len().next_multiple_of(LIE), 0);
        causes.push(format!("contract violation: output frame: {cause}"));
    }
    let mut guest = Guest::new();
    let (answer, table) = (guest.data(frame), guest.data(&table) & 0xffff_ffff);
    let at = answer & 0xffff_ffff;
    let body = format!(
        "(local i32)
        (local.set 3 (i32.add (i32.const {table}) (i32.mul (i32.sub (local.get 0) (i32.const 1)) (i32.const {LIE}))))
        (memory.copy (i32.add (i32.const {at}) (i32.load (local.get 3)))
            (i32.add (local.get 3) (i32.const 8)) (i32.load offset=4 (local.get 3)))
        (i64.const {answer})"
    );
    let name = format!("lie-{}", field.name.replace('_', "-"));
    Hostile::build(&name, guest.with(names::POLL, &body), Fate::Fails { call: "poll", causes })
}

fn field(name: &str, at: usize, lies: Vec<(Vec<u8>, String)>) -> Field {
    Field { name: name.to_owned(), at, lies }
}

/// A field of 32 bits, with values of which the same is said.
fn numbers(name: &str, at: usize, lies: &[(&[u32], &str)]) -> Field {
    let lies = lies.iter().flat_map(|(values, cause)| values.iter().map(|value| number(*value, *cause)));
    field(name, at, lies.collect())
}

fn number(value: u32, cause: impl Into<String>) -> (Vec<u8>, String) {
    (value.to_le_bytes().to_vec(), cause.into())
}

fn of_header(frame: &[u8]) -> Result<Vec<Field>> {
    let total = u32::try_from(frame.len())?;
    let with = |values: &[u32], cause: fn(u32) -> String| values.iter().map(|v| number(*v, cause(*v))).collect();
    Ok(vec![
        field(
            "magic",
            header::MAGIC,
            vec![
                (b"SBF2".to_vec(), "header.magic is 0x32464253, not \"SBF1\"".to_owned()),
                (vec![0; 4], "header.magic is 0x00000000, not \"SBF1\"".to_owned()),
            ],
        ),
        field(
            "major",
            header::MAJOR,
            vec![
                (vec![2, 0], "header.major is 2, this side speaks 1".to_owned()),
                (vec![0, 0], "header.major is 0, this side speaks 1".to_owned()),
                (vec![255, 255], "header.major is 65535, this side speaks 1".to_owned()),
            ],
        ),
        field(
            "header_len",
            header::HEADER_LEN,
            with(&[0, 8, 96, 108, 1 << 31, u32::MAX - 7, u32::MAX], |v| {
                format!("header.header_len is {v}, expected a multiple of 8 from 104 to the frame's length")
            }),
        ),
        field(
            "total_len",
            header::TOTAL_LEN,
            with(&[0, 1, total - 8, total - 1, total + 1, total + 8, 1 << 31, u32::MAX], |v| {
                format!("header.total_len is {v}, expected the number of bytes passed")
            }),
        ),
        field(
            "flags",
            header::FLAGS,
            with(&[4, 0x80, 1 << 31, u32::MAX], |v| {
                format!("header.flags is {v}, expected bits known to minor 0 only")
            }),
        ),
        field("reserved", header::RESERVED, with(&[1, u32::MAX], |v| format!("header.reserved is {v}, expected 0"))),
    ])
}

/// The position of a section's descriptor.
const fn descriptor(section: usize) -> usize {
    header::SECTIONS + section * layout::SECTION_LEN
}

/// The position of the first entry of a section.
fn first(frame: &[u8], section: usize) -> Result<usize> {
    let offset = frame.get(descriptor(section)..).and_then(|rest| rest.first_chunk::<4>()).context("a descriptor")?;
    Ok(u32::from_le_bytes(*offset) as usize)
}

fn of_sections(frame: &[u8]) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for (section, name) in SECTIONS.into_iter().enumerate() {
        let at = u32::try_from(first(frame, section)?)?;
        let says = |what: &str| format!("section {name}: {what}");
        let overlaps = says("overlaps what comes before it");
        let past = says("reaches past the frame");
        let offsets = [
            number(at + 1, says("offset is not a multiple of 8")),
            number(u32::MAX, says("offset is not a multiple of 8")),
            number(0, &*overlaps),
            number(at - 8, &*overlaps),
            number(u32::MAX - 7, &*past),
            number(1 << 31, &*past),
        ];
        fields.push(field(&format!("{name}-offset"), descriptor(section), offsets.to_vec()));
        let counts = [u32::MAX, 1 << 31, 1 << 20].map(|count| number(count, &*past));
        fields.push(field(&format!("{name}-count"), descriptor(section) + 4, counts.to_vec()));
        let strides = if section == HEAP {
            [0, 2, u32::MAX].map(|stride| number(stride, says("stride is not 1"))).to_vec()
        } else {
            let short = says("stride is shorter than an entry of v1.0");
            vec![
                number(0, &*short),
                number(8, &*short),
                number(60, says("stride is not a multiple of 8")),
                number(u32::MAX, says("stride is not a multiple of 8")),
                number(u32::MAX - 7, &*past),
            ]
        };
        fields.push(field(&format!("{name}-stride"), descriptor(section) + 8, strides));
    }
    Ok(fields)
}

fn of_places(frame: &[u8]) -> Result<Vec<Field>> {
    let (place, heap) = (first(frame, PLACES)?, first(frame, HEAP)?);
    let says = |what: &str| format!("topic_partitions[0].{what}");
    let past = says("topic: reaches past the heap");
    let negative = says("topic: negative length other than -1");
    Ok(vec![
        numbers("place-topic_at", place + topic_partition::TOPIC_AT, &[(&[FAR, 1 << 31, u32::MAX], &past)]),
        numbers(
            "place-topic_len",
            place + topic_partition::TOPIC_LEN,
            &[
                (&[0], &says("topic_len: an empty topic name")),
                (&[1 << 31, BELOW_NULL], &negative),
                (&[FAR, 0x7fff_ffff], &past),
            ],
        ),
        numbers(
            "place-partition",
            place + topic_partition::PARTITION,
            &[(&[1 << 31, BELOW_NULL], &says("partition: negative, other than -1"))],
        ),
        field("place-text", heap, not_utf8(&says("topic: is not UTF-8"))),
    ])
}

/// Bytes that are no text: a lone start, a lone continuation, an overlong form, half of a pair, a number past the last.
fn not_utf8(cause: &str) -> Vec<(Vec<u8>, String)> {
    let bytes: [&[u8]; 5] = [b"\xff", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80"];
    bytes.iter().map(|bytes| (bytes.to_vec(), cause.to_owned())).collect()
}

fn of_headers(frame: &[u8]) -> Result<Vec<Field>> {
    let (entry, heap) = (first(frame, HEADERS)?, first(frame, HEAP)?);
    let says = |what: &str| format!("headers[0].{what}");
    let past = |what: &str| says(&format!("{what}: reaches past the heap"));
    let text = heap + b"outkeyvalue".len();
    Ok(vec![
        numbers("header-name_at", entry + header_entry::NAME_AT, &[(&[FAR, 1 << 31, u32::MAX], &past("name"))]),
        numbers(
            "header-name_len",
            entry + header_entry::NAME_LEN,
            &[
                (&[1 << 31, BELOW_NULL, u32::MAX], &says("name_len: negative length")),
                (&[FAR, 0x7fff_ffff], &past("name")),
            ],
        ),
        numbers("header-value_at", entry + header_entry::VALUE_AT, &[(&[FAR, 1 << 31, u32::MAX], &past("value"))]),
        numbers(
            "header-value_len",
            entry + header_entry::VALUE_LEN,
            &[
                (&[1 << 31, BELOW_NULL], &says("value: negative length other than -1")),
                (&[FAR, 0x7fff_ffff], &past("value")),
            ],
        ),
        field("header-text", text, not_utf8(&says("name: is not UTF-8"))),
    ])
}

fn of_records(frame: &[u8]) -> Result<Vec<Field>> {
    let at = first(frame, RECORDS)?;
    let says = |what: &str| format!("records[0].{what}");
    let below = |what: &str| {
        let cause = says(&format!("{what}: negative, other than -1"));
        [-2, i64::MIN].map(|number| (number.to_le_bytes().to_vec(), cause.clone())).to_vec()
    };
    let blob = |what: &str, start, len| {
        let past = says(&format!("{what}: reaches past the heap"));
        let negative = says(&format!("{what}: negative length other than -1"));
        [
            numbers(&format!("record-{what}_at"), at + start, &[(&[FAR, 1 << 31, u32::MAX], &past)]),
            numbers(
                &format!("record-{what}_len"),
                at + len,
                &[(&[1 << 31, BELOW_NULL], &negative), (&[FAR, 0x7fff_ffff], &past)],
            ),
        ]
    };
    let headers = says("headers: reaches past the header section");
    let mut fields = vec![
        field("record-offset", at + record::OFFSET, below("offset")),
        field("record-timestamp", at + record::TIMESTAMP, below("timestamp")),
        numbers("record-headers_first", at + record::HEADERS_FIRST, &[(&[2, 1 << 31, u32::MAX], &headers)]),
        numbers("record-headers_count", at + record::HEADERS_COUNT, &[(&[3, 1 << 31, u32::MAX], &headers)]),
        numbers(
            "record-headers-overlap",
            at + layout::RECORD_LEN + record::HEADERS_FIRST,
            &[(&[0], "records[1].headers: overlaps the headers of a record before it")],
        ),
        numbers(
            "record-topic_partition",
            at + record::TOPIC_PARTITION,
            &[(&[1, 1 << 31, BELOW_NULL], &says("topic_partition: no such topic-partition"))],
        ),
    ];
    fields.extend(blob("key", record::KEY_AT, record::KEY_LEN));
    fields.extend(blob("value", record::VALUE_AT, record::VALUE_LEN));
    Ok(fields)
}

fn of_results(frame: &[u8]) -> Result<Vec<Field>> {
    let (entry, heap) = (first(frame, RESULTS)?, first(frame, HEAP)?);
    let says = |what: &str| format!("results[0].{what}");
    let past = says("message: reaches past the heap");
    let text = heap + b"outkeyvaluenamexkeyvaluenamex".len();
    Ok(vec![
        numbers(
            "result-disposition",
            entry + result::DISPOSITION,
            &[(&[5, 1 << 31, u32::MAX], &says("disposition: no such disposition"))],
        ),
        numbers("result-message_at", entry + result::MESSAGE_AT, &[(&[FAR, 1 << 31, u32::MAX], &past)]),
        numbers(
            "result-message_len",
            entry + result::MESSAGE_LEN,
            &[(&[1 << 31, BELOW_NULL], &says("message: negative length other than -1")), (&[FAR, 0x7fff_ffff], &past)],
        ),
        field("result-text", text, not_utf8(&says("message: is not UTF-8"))),
    ])
}

/// Bytes as WebAssembly's text writes them.
pub(super) fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 3), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}
