//! What a dead letter says, and those of a connector from the newest back, page by page.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sandbar_abi::Record;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::letter_marks;
use super::letter_reads::{self, Budget, Stretch, Wanted};
use crate::api::app::App;
use crate::api::error::ApiError;
use crate::broker::TopicPartition;
use crate::json_record::{Content, JsonHeader};
use crate::task::CONTEXT_PREFIX;

/// The most bytes of the letters of a page that has more than one: as JSON they may be six times as much, and commands
/// read answers of 64 MiB.
const MAX_PAGE_BYTES: usize = 8 << 20;

/// Where a letter lies in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub(super) struct Place {
    /// The partition.
    pub(super) partition: i32,
    /// The offset in it.
    pub(super) offset: i64,
}

/// A dead letter.
#[derive(Serialize, ToSchema)]
pub(super) struct Letter {
    #[serde(flatten)]
    place: Place,
    /// When the record was made, in milliseconds since 1970.
    timestamp: Option<i64>,
    /// The record's key.
    #[schema(value_type = Option<Written>)]
    key: Option<Content>,
    /// The record's value.
    #[schema(value_type = Option<Written>)]
    value: Option<Content>,
    /// The record's own headers.
    #[schema(value_type = Vec<Header>)]
    headers: Vec<JsonHeader>,
    /// Why it failed, where the letter tells.
    error: Why,
    /// What was done about it: `replayed`, `dropped`, or null.
    handled: Option<String>,
}

/// Bytes: text where they are UTF-8.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes what others write")]
pub(super) enum Written {
    /// Text.
    Text(String),
    /// What is none.
    Bytes {
        /// The bytes.
        base64: String,
    },
}

/// A header of a record.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "it describes what others write")]
pub(super) struct Header {
    /// Its name.
    key: String,
    /// Its value.
    value: Option<Written>,
}

/// Why a record failed.
#[derive(Default, Serialize, ToSchema)]
struct Why {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    task: Option<u32>,
    stage: Option<String>,
    plugin: Option<String>,
    class: Option<String>,
    message: Option<String>,
}

/// Where in each partition the next page ends.
pub(super) type Cursor = BTreeMap<i32, i64>;

/// Reads what [`shown_cursor`] wrote.
pub(super) fn cursor(text: &str) -> Result<Cursor, ApiError> {
    let part = |part: &str| {
        let (partition, offset) = part.split_once(':')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    let parts: Option<_> = text.split(',').map(part).collect();
    parts.ok_or_else(|| ApiError::bad_request("before: must be what `next` said"))
}

fn shown_cursor(cursor: &Cursor) -> String {
    cursor.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect::<Vec<_>>().join(",")
}

/// The newest letters of a connector before a place, and where the next ones end. They are fewer than the limit where
/// they are large.
pub(super) async fn newest(
    app: &App,
    connector: &str,
    topic: &str,
    before: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<Letter>, Option<String>), ApiError> {
    let ranges = letter_reads::ranges(app, topic).await?;
    let handled = letter_marks::handled(app, connector, topic, ranges.keys().copied()).await?;
    let (mut page, mut bottom) = (Newest::new(limit), Cursor::new());
    for (partition, (start, end)) in &ranges {
        let partition = *partition;
        let before = before.as_ref().and_then(|before| before.get(&partition));
        let mut from = before.map_or(*end, |before| *end.min(before));
        let mut step = i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(2);
        let mut time = Some(i64::MAX);
        // Each transaction leaves a gap, and others may share the topic: how far back enough of them are nobody knows.
        while from > *start && page.has_room(partition) {
            let stretch = Stretch { partition, from: from.saturating_sub(step).max(*start), to: from };
            let offsets = stretch.to - stretch.from;
            // Where there is no smaller step this one is taken, whatever is held.
            let mut budget = Budget::beside(if offsets > 1 { page.bytes() } else { 0 });
            let read = letter_reads::read(app, topic, stretch, Wanted::Of(connector), &mut budget).await?;
            let Some(batches) = read else {
                step = (offsets / 2).max(1);
                continue;
            };
            let mut older = Vec::new();
            for batch in &batches {
                for record in batch.batch.frame().records() {
                    older.extend(letter(partition, &record, &handled).map(|letter| (size(&record), letter)));
                }
            }
            time = page.add(time, older.into_iter().rev());
            from = stretch.from;
            step = step.saturating_mul(2);
        }
        bottom.insert(partition, from);
    }
    // What was read and has no room is the top of the next page.
    bottom.extend(page.left_out);
    let more = bottom.iter().any(|(partition, at)| ranges.get(partition).is_some_and(|(start, _)| at > start));
    let letters = page.found.into_iter().map(|found| found.letter).collect();
    Ok((letters, more.then(|| shown_cursor(&bottom))))
}

/// The newest letters of those that were read: within a partition in its order, whatever the times in it; among
/// partitions by time.
struct Newest {
    limit: usize,
    /// The newest first, once it is cut.
    found: Vec<Found>,
    /// Of each partition with letters that have no room the offset after the newest of them.
    left_out: Cursor,
}

struct Found {
    /// When it counts as made: no letter is newer than those that were written after it to its partition.
    time: Option<i64>,
    bytes: usize,
    letter: Letter,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { limit, found: Vec::new(), left_out: Cursor::new() }
    }

    /// Whether letters of a partition that are older than those that were added of it may have room.
    fn has_room(&self, partition: i32) -> bool {
        let here = self.found.iter().filter(|found| found.letter.place.partition == partition).count();
        here < self.limit && !self.left_out.contains_key(&partition)
    }

    /// Adds letters of a partition, the newest first, behind those of it that count as made at a time or later; answers
    /// when the last of them does.
    fn add(&mut self, mut time: Option<i64>, older: impl IntoIterator<Item = (usize, Letter)>) -> Option<i64> {
        for (bytes, letter) in older {
            time = time.min(letter.timestamp);
            self.found.push(Found { time, bytes, letter });
        }
        self.cut();
        time
    }

    fn bytes(&self) -> usize {
        self.found.iter().map(|found| found.bytes).sum()
    }

    /// Leaves out what is too much, the oldest first.
    fn cut(&mut self) {
        self.found.sort_by_key(|found| Reverse((found.time, found.letter.place)));
        let mut bytes = 0;
        let fits = self.found.iter().take(self.limit).enumerate().take_while(|(index, found)| {
            bytes += found.bytes;
            *index == 0 || bytes <= MAX_PAGE_BYTES
        });
        let fits = fits.count();
        for Found { letter: Letter { place, .. }, .. } in self.found.drain(fits..) {
            let top = self.left_out.entry(place.partition).or_default();
            *top = place.offset.saturating_add(1).max(*top);
        }
    }
}

/// Where the record of a letter came from, where it tells.
pub(super) fn came_from(record: &Record<'_>) -> Option<TopicPartition> {
    let why = why(record);
    Some(TopicPartition::new(why.topic?, why.partition?))
}

/// Whether a letter is a connector's: several may share a queue.
pub(super) fn is_of(record: &Record<'_>, connector: &str) -> bool {
    text(record, "connector.name").is_none_or(|name| name == connector)
}

fn letter(partition: i32, record: &Record<'_>, handled: &BTreeMap<Place, String>) -> Option<Letter> {
    let place = Place { partition, offset: record.offset? };
    let own = record.headers.filter(|(name, _)| !name.starts_with(CONTEXT_PREFIX));
    Some(Letter {
        place,
        timestamp: record.timestamp,
        key: record.key.map(Content::of),
        value: record.value.map(Content::of),
        headers: own.map(|(key, value)| JsonHeader::of(key, value)).collect(),
        error: why(record),
        handled: handled.get(&place).cloned(),
    })
}

/// The bytes of its key, value and headers.
fn size(record: &Record<'_>) -> usize {
    let headers = record.headers.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
}

fn why(record: &Record<'_>) -> Why {
    let number = |name: &str| text(record, name).and_then(|text| text.parse::<i64>().ok());
    let owned = |name: &str| text(record, name).map(str::to_owned);
    Why {
        topic: owned("topic"),
        partition: number("partition").and_then(|number| i32::try_from(number).ok()),
        offset: number("offset"),
        task: number("task.id").and_then(|number| u32::try_from(number).ok()),
        stage: owned("stage"),
        plugin: owned("class.name"),
        class: owned("exception.class.name"),
        message: owned("exception.message"),
    }
}

/// The last header of a name counts: a record may come with what an earlier failure left.
fn text<'r>(record: &Record<'r>, name: &str) -> Option<&'r str> {
    let is_it = |header: &str| header.strip_prefix(CONTEXT_PREFIX) == Some(name);
    let (_, value) = record.headers.filter(|(header, _)| is_it(header)).last()?;
    std::str::from_utf8(value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before anything of a partition was read.
    const FIRST: Option<i64> = Some(i64::MAX);

    fn of_bytes(bytes: usize, partition: i32, offset: i64, timestamp: i64) -> (usize, Letter) {
        let letter = Letter {
            place: Place { partition, offset },
            timestamp: Some(timestamp),
            key: None,
            value: None,
            headers: Vec::new(),
            error: Why::default(),
            handled: None,
        };
        (bytes, letter)
    }

    fn made(partition: i32, offset: i64, timestamp: i64) -> (usize, Letter) {
        of_bytes(1, partition, offset, timestamp)
    }

    fn places(page: &Newest) -> Vec<(i32, i64)> {
        page.found.iter().map(|found| (found.letter.place.partition, found.letter.place.offset)).collect()
    }

    #[test]
    fn partitions_are_merged_by_time_as_they_are_read() {
        let mut page = Newest::new(3);
        // What was written first was made last: it stays behind what was written after it.
        let time = page.add(FIRST, [made(0, 8, 50)]);
        assert_eq!(page.add(time, [made(0, 5, 70)]), Some(50));
        assert!(page.has_room(0) && page.has_room(1));
        page.add(FIRST, [made(1, 4, 60), made(1, 3, 40), made(1, 2, 30)]);
        assert_eq!(places(&page), [(1, 4), (0, 8), (0, 5)]);
        // The next page of partition 1 begins with 3, and no older letter of it has room on this one.
        assert_eq!(page.left_out, BTreeMap::from([(1, 4)]));
        assert!(page.has_room(0) && !page.has_room(1));
        page.add(FIRST, [made(2, 9, 55), made(2, 7, 51)]);
        assert_eq!(places(&page), [(1, 4), (2, 9), (2, 7)]);
        assert_eq!(page.left_out, BTreeMap::from([(0, 9), (1, 4)]));
    }

    #[test]
    fn a_page_of_large_letters_has_fewer_and_never_none() {
        let mut page = Newest::new(50);
        let time = page.add(FIRST, [of_bytes(MAX_PAGE_BYTES + 1, 0, 9, 90)]);
        assert_eq!((places(&page), page.has_room(0)), (vec![(0, 9)], true));
        page.add(time, [made(0, 8, 80)]);
        assert_eq!((places(&page), page.has_room(0)), (vec![(0, 9)], false));
        assert_eq!(page.left_out, BTreeMap::from([(0, 9)]));
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_shown() {
        let shown = BTreeMap::from([(0, 12), (3, 0)]);
        assert_eq!(cursor(&shown_cursor(&shown)).unwrap(), shown);
        for wrong in ["", "0", "0:x", "0:1,"] {
            assert!(cursor(wrong).is_err(), "{wrong}");
        }
    }
}
