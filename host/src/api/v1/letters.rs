//! Dead letters in their topic: read from the newest back, with what was done about each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandbar_abi::Record;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::app::App;
use crate::api::error::ApiError;
use crate::broker::{
    BatchLimits, BrokerError, Commit, Output, PartitionBatch, ReadFrom, ReadSpec, Session, SessionSpec, StateChange,
    StatePlace, StateScope, TopicPartition, TopicSettings, Topics,
};
use crate::json_record::{Content, JsonHeader};
use crate::task::CONTEXT_PREFIX;

/// The stage of the state in which is kept what was done about letters. No alias is like it.
const STAGE: &str = "sandbar/dead-letters";
/// In place of a task's number in the transactional id.
const NO_TASK: u32 = u32::MAX;
/// A transaction is open for as long as it takes to commit it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one read waits for what is known to be there.
const WAIT: Duration = Duration::from_millis(500);
/// Bounds of one read.
const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 8 << 20 };
/// The most bytes of letters that are held for one answer.
const MAX_BYTES: usize = 32 << 20;

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

/// The newest letters of a connector before a place, and where the next ones end.
pub(super) async fn newest(
    app: &App,
    connector: &str,
    topic: &str,
    before: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<Letter>, Option<String>), ApiError> {
    let ranges = ranges(app, topic).await?;
    let handled = handled(app, connector, topic, ranges.keys().copied()).await?;
    let (mut queues, mut bottom) = (BTreeMap::new(), Cursor::new());
    for (partition, (start, end)) in &ranges {
        let end = before.as_ref().and_then(|before| before.get(partition)).map_or(*end, |before| *end.min(before));
        let mut step = i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(2);
        let mut letters = VecDeque::new();
        let mut from = end;
        // Each transaction leaves a gap, and others may share the topic: how far back enough of them are nobody knows.
        while letters.len() < limit && from > *start {
            let to = from;
            from = to.saturating_sub(step).max(*start);
            let mut older = VecDeque::new();
            for batch in read(app, topic, *partition, from, to).await? {
                for record in batch.batch.frame().records().filter(|record| is_of(record, connector)) {
                    // The newest first.
                    letter(*partition, &record, &handled).into_iter().for_each(|letter| older.push_front(letter));
                }
            }
            letters.append(&mut older);
            step = step.saturating_mul(2);
        }
        bottom.insert(*partition, from);
        queues.insert(*partition, letters);
    }
    let found = merged(&mut queues, limit);
    // What was read and has no room is the top of the next page.
    for (partition, rest) in &queues {
        if let Some(letter) = rest.front() {
            bottom.insert(*partition, letter.place.offset + 1);
        }
    }
    let more = bottom.iter().any(|(partition, at)| ranges.get(partition).is_some_and(|(start, _)| at > start));
    Ok((found, more.then(|| shown_cursor(&bottom))))
}

/// Takes the newest letters: within a partition in its order, whatever the times in it; among partitions by time.
fn merged(queues: &mut BTreeMap<i32, VecDeque<Letter>>, limit: usize) -> Vec<Letter> {
    let mut found = Vec::new();
    while found.len() < limit {
        let heads = queues.iter().filter_map(|(partition, letters)| Some((letters.front()?.timestamp, *partition)));
        let Some((_, newest)) = heads.max() else { break };
        found.extend(queues.get_mut(&newest).and_then(VecDeque::pop_front));
    }
    found
}

/// Letters that were chosen, read under a transactional id that nobody else can have at the same time.
pub(super) struct Letters {
    pub(super) chosen: BTreeSet<Place>,
    pub(super) batches: Vec<PartitionBatch>,
    /// What was done about letters before.
    pub(super) handled: BTreeMap<Place, String>,
    /// Of which of them the topic has removed the letter.
    outlived: Vec<Place>,
    topic: Arc<str>,
    session: Box<dyn Session>,
}

/// Reads letters that were chosen, to do something about them.
pub(super) async fn open(
    app: &App,
    connector: &str,
    topic: &str,
    chosen: BTreeSet<Place>,
) -> Result<Letters, ApiError> {
    let partitions: BTreeSet<i32> = chosen.iter().map(|place| place.partition).collect();
    let known = ranges(app, topic).await?;
    for Place { partition, offset } in &chosen {
        let Some((start, end)) = known.get(partition) else {
            return Err(ApiError::bad_request(format!("topic {topic} has no partition {partition}")));
        };
        if !(*start..*end).contains(offset) {
            return Err(ApiError::bad_request(format!(
                "there is no letter at offset {offset} of partition {partition}"
            )));
        }
    }
    let mut session = app.broker.session(spec(app, connector)).await?;
    let found = async {
        let handled = load(&mut *session, topic, partitions.iter().copied()).await?;
        let mut batches = Vec::new();
        for place in &chosen {
            batches.extend(read(app, topic, place.partition, place.offset, place.offset + 1).await?);
        }
        Ok::<_, ApiError>((handled, batches))
    }
    .await;
    match found {
        Ok((handled, batches)) => {
            let outlived = outlived(&handled, &known);
            Ok(Letters { chosen, batches, handled, outlived, topic: topic.into(), session })
        }
        Err(error) => {
            // It has done nothing yet.
            let _ = session.close().await;
            Err(error)
        }
    }
}

impl Letters {
    /// The change of state that says what is done about a letter.
    pub(super) fn change(&self, place: &Place, what: Option<&str>) -> StateChange {
        StateChange {
            scope: scope(&self.topic, place.partition),
            key: place.offset.to_string().into(),
            value: what.map(|what| Bytes::copy_from_slice(what.as_bytes())),
        }
    }

    /// Writes what goes back and what was done, in one transaction, and forgets what was done about letters that are not
    /// there any more.
    pub(super) async fn commit(mut self, output: Option<Output>, mut state: Vec<StateChange>) -> Result<(), ApiError> {
        state.extend(self.outlived.iter().map(|place| self.change(place, None)));
        let session = &mut self.session;
        let written: Result<(), BrokerError> = async {
            if let Some(output) = output {
                session.stage(output).await?;
            }
            if state.is_empty() {
                return Ok(());
            }
            session.commit(Commit { state, ..Commit::default() }).await
        }
        .await;
        self.close().await;
        Ok(written?)
    }

    /// Lets them be.
    pub(super) async fn close(self) {
        // What was not committed is undone.
        let _ = self.session.close().await;
    }
}

/// Where the record of a letter came from, where it tells.
pub(super) fn came_from(record: &Record<'_>) -> Option<TopicPartition> {
    let why = why(record);
    Some(TopicPartition::new(why.topic?, why.partition?))
}

fn spec(app: &App, connector: &str) -> SessionSpec {
    SessionSpec {
        worker_group: app.worker.group_id.clone(),
        connector: connector.to_owned(),
        task: NO_TASK,
        input: None,
        topic_settings: TopicSettings {
            replication_factor: app.worker.topic_defaults.replication_factor,
            ..TopicSettings::default()
        },
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: TRANSACTION_TIMEOUT,
    }
}

fn scope(topic: &Arc<str>, partition: i32) -> StateScope {
    StateScope { stage: STAGE.into(), place: StatePlace::Partition(TopicPartition::new(Arc::clone(topic), partition)) }
}

async fn load(
    session: &mut dyn Session,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> Result<BTreeMap<Place, String>, BrokerError> {
    let topic: Arc<str> = topic.into();
    let mut handled = BTreeMap::new();
    for partition in partitions {
        let state = session.load_state(&scope(&topic, partition)).await?;
        handled.extend(state.iter().filter_map(|(offset, what)| read_mark(partition, offset, what)));
    }
    Ok(handled)
}

async fn handled(
    app: &App,
    connector: &str,
    topic: &str,
    partitions: impl Iterator<Item = i32>,
) -> Result<BTreeMap<Place, String>, ApiError> {
    let topic: Arc<str> = topic.into();
    let mut handled = BTreeMap::new();
    for partition in partitions {
        let state =
            app.broker.administration().state(&app.worker.group_id, connector, &scope(&topic, partition)).await?;
        handled.extend(state.iter().filter_map(|(offset, what)| read_mark(partition, offset, what)));
    }
    Ok(handled)
}

/// What was done about a letter, as it is kept.
fn read_mark(partition: i32, offset: &[u8], what: &[u8]) -> Option<(Place, String)> {
    let offset = std::str::from_utf8(offset).ok()?.parse().ok()?;
    Some((Place { partition, offset }, String::from_utf8_lossy(what).into_owned()))
}

/// The places before the first offset that is kept of their partition.
fn outlived(handled: &BTreeMap<Place, String>, ranges: &BTreeMap<i32, (i64, i64)>) -> Vec<Place> {
    let is_gone = |place: &&Place| ranges.get(&place.partition).is_some_and(|(start, _)| place.offset < *start);
    handled.keys().filter(is_gone).copied().collect()
}

/// The first offset that is kept of each partition, and the one after its last; nothing where there is no topic yet.
async fn ranges(app: &App, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, ApiError> {
    let ranges = app.broker.administration().ranges(&Topics::Names(vec![topic.to_owned()])).await?;
    Ok(ranges.into_iter().map(|(at, range)| (at.partition, range)).collect())
}

/// The records of a partition from one offset up to another.
async fn read(app: &App, topic: &str, partition: i32, from: i64, to: i64) -> Result<Vec<PartitionBatch>, ApiError> {
    let spec = ReadSpec { topic: topic.to_owned(), partitions: Some(vec![partition]), from: ReadFrom::Offset(from) };
    let mut reader = app.broker.reader(spec).await?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while !reader.at_end() {
        let mut is_past = false;
        for mut batch in reader.next(LIMITS, WAIT).await? {
            is_past |= batch.next_offset >= to;
            let offsets: Vec<_> = batch.batch.frame().records().map(|record| record.offset).collect();
            let wanted = |index: usize| offsets.get(index).copied().flatten().is_some_and(|offset| offset < to);
            let kept = batch.batch.filter(wanted);
            batch.batch = kept.map_err(|error| ApiError::bad_request(error.to_string()))?;
            bytes += batch.batch.bytes().len();
            batches.push(batch);
        }
        if bytes > MAX_BYTES {
            return Err(ApiError::bad_request(format!(
                "these letters are larger than {MAX_BYTES} bytes: ask for fewer"
            )));
        }
        if is_past {
            break;
        }
    }
    Ok(batches)
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

    #[test]
    fn marks_go_with_their_letters() {
        let place = |partition, offset| Place { partition, offset };
        let handled = [place(0, 4), place(0, 5), place(1, 0), place(2, 0)].map(|place| (place, "replayed".to_owned()));
        let ranges = BTreeMap::from([(0, (5, 9)), (1, (1, 1)), (2, (0, 0))]);
        assert_eq!(outlived(&handled.into(), &ranges), [place(0, 4), place(1, 0)]);
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
