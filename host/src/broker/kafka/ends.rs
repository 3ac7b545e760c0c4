//! Where partitions begin and end, and where a time is in them: asked of their leaders.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::admin::{ASK_WITHIN, Probe};
use super::errors::{broker_error, is_retriable};
use crate::broker::BrokerError;

/// The pause before leaders are asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// Offsets at one end of partitions, 0 where it is not told.
pub(super) fn ends(client: &Probe, places: &[(&str, i32)], at: Offset) -> Result<Vec<i64>, BrokerError> {
    Ok(offsets(client, places, at)?.into_iter().map(Option::unwrap_or_default).collect())
}

/// Offsets at one end of partitions, or of a time in milliseconds, asked of each leader once; `None`: nothing is there.
/// Leaders that are new or moving are waited for.
pub(super) fn offsets(client: &Probe, places: &[(&str, i32)], at: Offset) -> Result<Vec<Option<i64>>, BrokerError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error: KafkaError| broker_error("look up offsets", &error);
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        // A look-up by time takes the two ends for times, too.
        list.add_partition_offset(topic, *partition, at).map_err(failed)?;
    }
    let deadline = Instant::now() + ASK_WITHIN;
    loop {
        let found = match client.offsets_for_times(list.clone(), deadline.saturating_duration_since(Instant::now())) {
            // One partition's error is that of the whole call; librdkafka has forgotten by now who led it.
            Err(error) if is_retriable(&error) && Instant::now() + PAUSE < deadline => {
                thread::sleep(PAUSE);
                continue;
            }
            found => found.map_err(failed)?,
        };
        let offset = |(topic, partition): &(&str, i32)| {
            let Some(element) = found.find_partition(topic, *partition) else { return Ok(None) };
            element.error()?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        };
        match places.iter().map(offset).collect() {
            Ok(offsets) => return Ok(offsets),
            Err(error) if is_retriable(&error) && Instant::now() < deadline => thread::sleep(PAUSE),
            Err(error) => return Err(failed(error)),
        }
    }
}
