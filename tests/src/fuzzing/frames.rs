//! The frame decoder: any bytes are refused with a reason or read to the end, and what is read survives a copy.

use sandbar::batch::Batch;
use sandbar_abi::{Frame, Record};

/// How much is read of a frame that was not accepted: its numbers are nonsense, and may be large.
const GLANCE: usize = 64;

/// Parses a frame and calls every accessor.
pub fn frame(data: &[u8]) {
    read_unchecked(data);
    match Frame::parse(data) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(frame) => {
            read(&frame);
            copies_are_the_same(data, &frame);
        }
    }
}

/// Every accessor of an accepted frame answers, and says what the others say.
fn read(frame: &Frame<'_>) {
    assert_eq!(frame.records().count(), frame.len());
    assert_eq!(frame.is_empty(), frame.record(0).is_none());
    assert!(frame.record(frame.len()).is_none());
    let (mut bytes, mut headers) = (0, 0);
    for (index, record) in frame.records().enumerate() {
        assert!(same(&record, &frame.record(index).unwrap_or(record)));
        let named = record.headers;
        assert_eq!(named.len(), named.count(), "a header range is readable to its end");
        bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        headers += named.len();
        assert_eq!(record.topic_partition.is_some(), record.topic_partition_index.is_some());
        assert!(record.topic_partition.and_then(|place| place.topic).is_none_or(|topic| !topic.is_empty()));
        assert!(record.offset.is_none_or(|offset| offset >= 0) && record.timestamp.is_none_or(|time| time >= 0));
    }
    assert!(bytes <= sandbar_abi::names::MAX_FRAME_BYTES, "a small frame stands for {bytes} bytes");
    assert!(headers <= frame.bytes().len(), "headers are counted twice");
    for index in 0..frame.topic_partition_count() {
        assert!(frame.topic_partition(index).is_some());
    }
    assert!(frame.topic_partition(frame.topic_partition_count()).is_none());
    for result in frame.results() {
        assert!(result.message.is_none_or(|message| message.len() <= frame.heap_len()));
    }
    let _ = (frame.end_of_data(), frame.all_ok());
}

/// What was not accepted reads as nonsense, but it reads.
fn read_unchecked(data: &[u8]) {
    let frame = Frame::of_checked(data);
    for record in frame.records().take(GLANCE) {
        let _ = record.headers.take(GLANCE).count();
    }
    for index in 0..GLANCE {
        let _ = (frame.record(index), frame.topic_partition(index));
    }
    let _ = frame.results().take(GLANCE).count();
    let _ = (frame.len(), frame.heap_len(), frame.end_of_data(), frame.all_ok());
}

/// A batch of all its records, and the two halves of it, hold the same records.
fn copies_are_the_same(data: &[u8], frame: &Frame<'_>) {
    let Ok(batch) = Batch::new(data.to_vec()) else { unreachable!("what parses once parses twice") };
    let middle = frame.len() / 2;
    for range in [0..frame.len(), 0..middle, middle..frame.len()] {
        // A frame near the limit whose records share bytes may outgrow the limit as a copy; nothing else is an error.
        let Ok(part) = batch.subset(range.clone()) else {
            assert!(data.len() > sandbar_abi::names::MAX_FRAME_BYTES / 4, "a small batch cannot be taken apart");
            continue;
        };
        assert_eq!(part.len(), range.len());
        for (copy, index) in part.frame().records().zip(range) {
            let Some(original) = frame.record(index) else { unreachable!("{index} is in the range") };
            assert!(same(&copy, &original), "{copy:?} is not {original:?}");
        }
    }
}

/// Whether two records say the same, wherever their bytes lie.
pub(super) fn same(one: &Record<'_>, other: &Record<'_>) -> bool {
    one.offset == other.offset
        && one.timestamp == other.timestamp
        && one.log_append_time == other.log_append_time
        && one.key == other.key
        && one.value == other.value
        && one.input == other.input
        && one.topic_partition == other.topic_partition
        && one.headers.eq(other.headers)
}
