//! Reads what Sandbar itself keeps in Kafka, offsets and state, to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::admin::{Admin, blocking};
use super::config::KafkaOptions;
use super::keys::{Foreign, Last, OffsetKeys, StateKeys, newest_offsets, offset_value};
use super::reader::Cursor;
use crate::broker::{BrokerError, ReadFrom, ReadSpec, StateScope};

/// How long the loading itself may take.
const LOAD_WITHIN: Duration = Duration::from_secs(120);

/// How long open transactions may hold up the loading of offsets or state: longer than any lasts.
const DECIDED_WITHIN: Duration = Duration::from_secs(15);

/// Reads one of Sandbar's own topics to its end, the last record of each key that `wanted` translates. A topic
/// that does not exist is empty. A transaction that is open, of whoever wrote there last, is waited for: what it
/// holds may be just what is asked for.
async fn load<K: Send + 'static>(
    options: &Arc<KafkaOptions>,
    admin: &Arc<Admin>,
    topic: String,
    partition: impl FnOnce(i32) -> Option<i32> + Send + 'static,
    wanted: impl Fn(&[u8]) -> Option<K> + Send + 'static,
) -> Result<Vec<Last<K>>, BrokerError> {
    let (options, admin) = (Arc::clone(options), Arc::clone(admin));
    blocking(move || {
        let Some(count) = admin.lasting_partitions(&topic)? else { return Ok(Vec::new()) };
        let partitions = partition(count).map(|partition| vec![partition]);
        let spec = ReadSpec { topic, partitions, from: ReadFrom::Beginning };
        let mut cursor = Cursor::open(&options, &admin, &spec, DECIDED_WITHIN)?;
        if !cursor.is_decided() {
            let operation = format!("read topic {} to its end", spec.topic);
            return Err(BrokerError::retriable(operation, "a transaction there is still open"));
        }
        let mut last = BTreeMap::new();
        cursor.read_to_end(Instant::now() + LOAD_WITHIN, |record| {
            let key = record.key.unwrap_or_default();
            if let Some(what) = wanted(key) {
                let value = record.value.map(<[u8]>::to_vec);
                last.insert(key.to_vec(), Last { what, timestamp: record.timestamp, value });
            }
        })?;
        Ok(last.into_values().collect())
    })
    .await
}

/// The source offsets of a connector, and the keys by which others know its source partitions.
pub(super) async fn source_offsets(
    options: &Arc<KafkaOptions>,
    admin: &Arc<Admin>,
    keys: OffsetKeys,
) -> Result<(Vec<(String, String)>, Foreign), BrokerError> {
    let wanted = move |key: &[u8]| keys.spelling(key);
    let last = load(options, admin, options.offset_storage_topic.clone(), |_| None, wanted).await?;
    let (newest, foreign) = newest_offsets(last);
    let mut offsets = Vec::with_capacity(newest.len());
    for (partition, value) in newest {
        match offset_value(&value) {
            Some(offset) => offsets.push((partition, offset)),
            None => tracing::warn!(partition, "a source offset that is not JSON is left out"),
        }
    }
    Ok((offsets, foreign))
}

/// The state of a scope.
pub(super) async fn state(
    options: &Arc<KafkaOptions>,
    admin: &Arc<Admin>,
    keys: &StateKeys,
    scope: &StateScope,
) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
    let (prefix, topic) = (keys.prefix(scope), keys.topic().to_owned());
    let (keys, place) = (keys.clone(), scope.clone());
    let partition = move |count| Some(keys.partition(&place, count));
    let wanted = move |key: &[u8]| key.strip_prefix(prefix.as_slice()).map(<[u8]>::to_vec);
    let last = load(options, admin, topic, partition, wanted).await?;
    Ok(last.into_iter().filter_map(|Last { what, value, .. }| Some((what.into(), value?.into()))).collect())
}
