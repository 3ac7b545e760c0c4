//! Reads records of a topic of dead letters, and holds no more of them than a budget of bytes has room for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::StatusCode;
use sandbar_abi::Record;

use super::letters::{self, Place};
use crate::api::app::App;
use crate::api::error::ApiError;
use crate::broker::{BatchLimits, PartitionBatch, ReadFrom, ReadSpec, Topics};

/// How long one read waits for what is known to be there.
const WAIT: Duration = Duration::from_millis(500);
/// Bounds of one read.
const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 8 << 20 };
/// The most bytes of letters that are held for one answer.
const MAX_BYTES: usize = 32 << 20;
/// How many offsets are read over on the way to the next letter that was chosen. Where it is farther another reader
/// begins there: opening one takes Kafka as long as reading some thousand records.
const MAX_SKIP: i64 = 10_000;

/// How many bytes of letters may still be held for an answer.
pub(super) struct Budget(usize);

impl Budget {
    /// What is left beside what is held.
    pub(super) fn beside(held: usize) -> Self {
        Self(MAX_BYTES.saturating_sub(held))
    }

    /// Takes what letters need, where there is as much. The first always get it, as with [`BatchLimits`]: else there
    /// would be letters that are too large for everything.
    fn take(&mut self, bytes: usize) -> bool {
        let has_it = bytes <= self.0 || self.0 == MAX_BYTES;
        if has_it {
            self.0 = self.0.saturating_sub(bytes);
        }
        has_it
    }
}

/// Offsets of a partition, from one up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The partition.
    pub(super) partition: i32,
    /// The first offset.
    pub(super) from: i64,
    /// The one after the last.
    pub(super) to: i64,
}

/// Which records are kept of those that are read.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// The letters of a connector.
    Of(&'a str),
    /// Those at these places.
    At(&'a BTreeSet<Place>),
}

impl Wanted<'_> {
    fn has(self, partition: i32, record: &Record<'_>) -> bool {
        match self {
            Self::Of(connector) => letters::is_of(record, connector),
            Self::At(places) => record.offset.is_some_and(|offset| places.contains(&Place { partition, offset })),
        }
    }
}

/// The first offset that is kept of each partition, and the one after its last; nothing where there is no topic yet.
pub(super) async fn ranges(app: &App, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, ApiError> {
    let ranges = app.broker.administration().ranges(&Topics::Names(vec![topic.to_owned()])).await?;
    Ok(ranges.into_iter().map(|(at, range)| (at.partition, range)).collect())
}

/// The wanted records of a stretch; nothing: they are more than the budget has left.
pub(super) async fn read(
    app: &App,
    topic: &str,
    stretch: Stretch,
    wanted: Wanted<'_>,
    budget: &mut Budget,
) -> Result<Option<Vec<PartitionBatch>>, ApiError> {
    let Stretch { partition, from, to } = stretch;
    let spec = ReadSpec { topic: topic.to_owned(), partitions: Some(vec![partition]), from: ReadFrom::Offset(from) };
    let mut reader = app.broker.reader(spec).await?;
    // What comes after the stretch is not wanted.
    let records = usize::try_from(to.saturating_sub(from)).unwrap_or_default().clamp(1, LIMITS.records);
    let limits = BatchLimits { records, ..LIMITS };
    let (mut batches, mut is_past) = (Vec::new(), false);
    while !is_past && !reader.at_end() {
        for mut batch in reader.next(limits, WAIT).await? {
            is_past |= batch.next_offset >= to;
            let is_within = |record: &Record<'_>| record.offset.is_some_and(|offset| (from..to).contains(&offset));
            let records = batch.batch.frame().records();
            let kept: Vec<bool> = records.map(|record| is_within(&record) && wanted.has(partition, &record)).collect();
            if !kept.contains(&true) {
                continue;
            }
            if kept.contains(&false) {
                let some = batch.batch.filter(|index| kept.get(index).copied().unwrap_or_default());
                batch.batch = some.map_err(|error| ApiError::bad_request(error.to_string()))?;
            }
            if !budget.take(batch.batch.bytes().len()) {
                return Ok(None);
            }
            batches.push(batch);
        }
    }
    Ok(Some(batches))
}

/// The records at places. That they are more than the budget has left is 413: whoever asked may ask for fewer.
pub(super) async fn read_places(
    app: &App,
    topic: &str,
    places: &BTreeSet<Place>,
    budget: &mut Budget,
) -> Result<Vec<PartitionBatch>, ApiError> {
    let mut batches = Vec::new();
    for stretch in stretches(places) {
        let read = read(app, topic, stretch, Wanted::At(places), budget).await?;
        batches.extend(read.ok_or_else(|| {
            let message = format!("these letters are larger than {MAX_BYTES} bytes: ask for fewer letters at once");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        })?);
    }
    Ok(batches)
}

/// What is to be read to come by all places, each stretch by a reader of its own.
fn stretches(places: &BTreeSet<Place>) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    for &Place { partition, offset } in places {
        let to = offset.saturating_add(1);
        match all.last_mut() {
            Some(last) if last.partition == partition && offset.saturating_sub(last.to) <= MAX_SKIP => last.to = to,
            _ => all.push(Stretch { partition, from: offset, to }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    //! How much is held, and how often a reader is opened.

    use super::*;

    #[test]
    fn a_partition_is_read_by_one_reader_that_opens_again_only_where_the_next_letter_is_far() {
        #[track_caller]
        fn from_places_to_stretches(places: &[(i32, i64)], expected: &[(i32, i64, i64)]) {
            let places = places.iter().map(|&(partition, offset)| Place { partition, offset }).collect();
            let found: Vec<_> = stretches(&places).iter().map(|one| (one.partition, one.from, one.to)).collect();
            assert_eq!(found, expected);
        }
        from_places_to_stretches(&[], &[]);
        from_places_to_stretches(&[(0, 7)], &[(0, 7, 8)]);
        from_places_to_stretches(&[(0, 900), (0, 7), (0, 8)], &[(0, 7, 901)]);
        from_places_to_stretches(&[(0, 7), (1, 8), (1, 9)], &[(0, 7, 8), (1, 8, 10)]);
        from_places_to_stretches(&[(0, 0), (0, 10_001)], &[(0, 0, 10_002)]);
        from_places_to_stretches(&[(0, 0), (0, 10_002), (0, 10_003)], &[(0, 0, 1), (0, 10_002, 10_004)]);
    }

    #[test]
    fn a_budget_is_one_for_all_reads_and_has_room_for_the_first() {
        let mut budget = Budget::beside(0);
        assert!(budget.take(MAX_BYTES - 2) && budget.take(1) && !budget.take(2) && budget.take(1) && !budget.take(1));
        let mut budget = Budget::beside(0);
        assert!(budget.take(MAX_BYTES + 1) && !budget.take(1));
        let mut budget = Budget::beside(1);
        assert!(!budget.take(MAX_BYTES) && budget.take(MAX_BYTES - 1));
    }
}
