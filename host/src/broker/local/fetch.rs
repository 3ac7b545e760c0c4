//! Rows into batches: what sessions and readers have in common.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use sandbar_abi::FrameBuilder;

use super::catalog::Partition;
use super::errors::Failure;
use super::headers;
use crate::batch::Batch;
use crate::broker::{BatchLimits, BrokerError, PartitionBatch};

/// The most records of one answer, whatever the caller asks for.
const MAX_FETCH_RECORDS: usize = 100_000;
/// The most bytes of one answer, whatever the caller asks for: a batch has to fit a frame with room to spare.
const MAX_FETCH_BYTES: usize = 16 << 20;
/// How a row says that its timestamp is the time of the append.
const LOG_APPEND_TIME: i64 = 1;

/// From where to read in a partition.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// The partition.
    pub(super) partition: Arc<Partition>,
    /// The next offset to read.
    pub(super) next: i64,
}

/// What came of a position.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The index of the position.
    pub(super) index: usize,
    /// The records, if there were any.
    pub(super) batch: Option<PartitionBatch>,
    /// The next offset to read: past the records, and past what lies between them and the end.
    pub(super) next: i64,
}

/// Reads from positions in turn until the limits are reached. Positions that were not reached are not mentioned.
pub(super) fn fetch(
    connection: &Connection,
    positions: &[Position],
    limits: BatchLimits,
) -> Result<Vec<Fetched>, Failure> {
    let mut records = limits.records.clamp(1, MAX_FETCH_RECORDS);
    let mut bytes = limits.bytes.min(MAX_FETCH_BYTES);
    let mut first = true;
    let mut answer = Vec::new();
    for (index, position) in positions.iter().enumerate() {
        let mut taken = Taken { records, bytes, first, frame: FrameBuilder::new(), last: None };
        let fetched = taken.read(connection, position)?;
        (records, bytes, first) = (taken.records, taken.bytes, taken.first);
        let batch = match taken.last {
            Some(_) => Some(PartitionBatch {
                partition: position.partition.place.clone(),
                batch: Batch::build(&taken.frame)?,
                next_offset: fetched.next,
            }),
            None => None,
        };
        answer.push(Fetched { index, batch, next: fetched.next });
        if records == 0 || !fetched.exhausted {
            break;
        }
    }
    Ok(answer)
}

/// The first offset at or after a time; `None`: there is no such record.
pub(super) fn offset_at(connection: &Connection, partition: &Partition, time: i64) -> Result<Option<i64>, Failure> {
    let sql = "SELECT \"offset\" FROM records WHERE partition_id = ?1 AND timestamp >= ?2 ORDER BY \"offset\" LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([partition.id, time])?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
}

/// What is left of the limits, and what was read.
struct Taken {
    records: usize,
    bytes: usize,
    /// No record was read yet: the first is taken whatever its size.
    first: bool,
    frame: FrameBuilder,
    last: Option<i64>,
}

struct Progress {
    next: i64,
    exhausted: bool,
}

impl Taken {
    fn read(&mut self, connection: &Connection, position: &Position) -> Result<Progress, Failure> {
        // Taken before the rows are read: everything below it is there to be read, or gone for good.
        let end = position.partition.end();
        let sql = "SELECT \"offset\", timestamp, timestamp_type, key, value, headers FROM records \
                   WHERE partition_id = ?1 AND \"offset\" >= ?2 ORDER BY \"offset\"";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([position.partition.id, position.next])?;
        let place = &position.partition.place;
        let index = self.frame.topic_partition(Some(&place.topic), Some(place.partition));
        while self.records > 0 {
            let Some(row) = rows.next()? else {
                let next = self.last.map_or(position.next, |last| last + 1).max(end);
                return Ok(Progress { next, exhausted: true });
            };
            if !self.take(row, index)? {
                break;
            }
        }
        Ok(Progress { next: self.last.map_or(position.next, |last| last + 1), exhausted: false })
    }

    /// Takes a row, unless it is too large for what is left.
    fn take(&mut self, row: &Row<'_>, index: u32) -> Result<bool, Failure> {
        let (key, value, header_bytes) = (blob(row, 3)?, blob(row, 4)?, blob(row, 5)?);
        let len = [key, value, header_bytes].into_iter().flatten().map(<[u8]>::len).sum::<usize>();
        if len > self.bytes && !self.first {
            return Ok(false);
        }
        let offset: i64 = row.get(0)?;
        let mut record = self.frame.record(key, value);
        record.offset(offset).timestamp(row.get(1)?).topic_partition(index);
        if row.get::<_, i64>(2)? == LOG_APPEND_TIME {
            record.log_append_time();
        }
        if let Some(header_bytes) = header_bytes {
            headers::decode(header_bytes, &mut record).ok_or_else(|| damaged(offset, "headers"))?;
        }
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(len);
        self.first = false;
        self.last = Some(offset);
        Ok(true)
    }
}

/// A column of bytes; text, which only another program can have put there, is bytes too.
fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a [u8]>, Failure> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Ok(Some(bytes)),
        ValueRef::Integer(_) | ValueRef::Real(_) => Err(damaged(row.get(0)?, "type of a column").into()),
    }
}

fn damaged(offset: i64, what: &str) -> BrokerError {
    BrokerError::fatal(format!("read the record at offset {offset}"), format!("the {what} cannot be read"))
}
