//! Names of Sandbar's own topics, and the keys in them: the one place that says how offsets and state lie in Kafka.
//!
//! | topic | partition | key | value |
//! |---|---|---|---|
//! | offset storage topic | by key | `["<connector>",<source partition>]` | the offset, JSON |
//! | `sandbar-state-<worker group>-<connector>` | see [`StateKeys::partition`] | `<place>/<stage>`, a zero byte, the key | the value |
//!
//! A place is `task/<number>` or `partition/<topic>/<number>`. The first row is Kafka Connect's format.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::{STATE_TOPIC_PREFIX, SourceOffset, StateChange, StatePlace, StateScope};

/// Partitions of the offset storage topic, as Kafka Connect has them.
pub(super) const OFFSET_PARTITIONS: i32 = 25;

/// Where a connector's source offsets are.
#[derive(Clone)]
pub(super) struct OffsetKeys {
    connector: String,
}

impl OffsetKeys {
    /// A connector's.
    pub fn new(connector: &str) -> Self {
        Self { connector: connector.to_owned() }
    }

    /// The key of a source partition.
    pub fn key(&self, offset: &SourceOffset) -> Vec<u8> {
        format!("[{},{}]", Value::from(self.connector.as_str()), offset.partition).into_bytes()
    }

    /// The keys under which a source partition's offset is written: Sandbar's own, and those that others gave it. Whoever
    /// wrote those finds the newest offset there when they come back, and what is old never looks newer.
    pub fn all(&self, offset: &SourceOffset, foreign: &Foreign) -> Vec<Vec<u8>> {
        let others = foreign.get(&offset.partition).into_iter().flatten().cloned();
        std::iter::once(self.key(offset)).chain(others).collect()
    }

    /// The source partition of a key, if it is the connector's. Another writer may have spaced or ordered its JSON
    /// otherwise.
    pub fn spelling(&self, key: &[u8]) -> Option<Spelling> {
        let (connector, partition): (String, Value) = serde_json::from_slice(key).ok()?;
        let partition = SourceOffset { partition: partition.to_string(), offset: None };
        let own = self.key(&partition) == key;
        let foreign = (!own).then(|| key.to_vec());
        (connector == self.connector).then_some(Spelling { partition: partition.partition, foreign })
    }
}

/// The keys by which others know source partitions.
pub(super) type Foreign = BTreeMap<String, Vec<Vec<u8>>>;

/// A source partition as a key spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    /// The source partition, canonical JSON.
    pub partition: String,
    /// The key, if it is not the one that Sandbar itself writes.
    pub foreign: Option<Vec<u8>>,
}

/// The last record of a key.
#[derive(Debug)]
pub(super) struct Last<K> {
    /// What the key stands for.
    pub what: K,
    /// When it was written, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The value; `None`: it was deleted.
    pub value: Option<Vec<u8>>,
}

/// The offset of each source partition, and the keys by which others know it. Keys that spell one partition lie in
/// different partitions of the topic, so that only the time tells which of them was written last; at the same time it is
/// Sandbar's own.
pub(super) fn newest_offsets(all: Vec<Last<Spelling>>) -> (BTreeMap<String, Vec<u8>>, Foreign) {
    let mut newest: BTreeMap<String, Last<bool>> = BTreeMap::new();
    let mut foreign = Foreign::new();
    for Last { what: Spelling { partition, foreign: key }, timestamp, value } in all {
        let own = key.is_none();
        if let Some(key) = key {
            foreign.entry(partition.clone()).or_default().push(key);
        }
        let is_older = |other: &Last<bool>| (timestamp, own) < (other.timestamp, other.what);
        if !newest.get(&partition).is_some_and(is_older) {
            newest.insert(partition, Last { what: own, timestamp, value });
        }
    }
    (newest.into_iter().filter_map(|(partition, last)| Some((partition, last.value?))).collect(), foreign)
}

/// Canonical JSON of an offset; `None` where it is no JSON.
pub(super) fn offset_value(value: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(value).ok().map(|value| value.to_string())
}

/// Where a task's state is.
#[derive(Clone)]
pub(super) struct StateKeys {
    topic: String,
    task: u32,
}

impl StateKeys {
    /// A task's.
    pub fn new(worker_group: &str, connector: &str, task: u32) -> Self {
        Self { topic: format!("{STATE_TOPIC_PREFIX}{worker_group}-{connector}"), task }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition of a scope in a topic of so many: the input partition's own number, so that whoever consumes the
    /// input reads just that, or the task's. The topic keeps the number of partitions it was created with.
    pub fn partition(&self, scope: &StateScope, count: i32) -> i32 {
        let wanted = match &scope.place {
            StatePlace::Task => self.task,
            StatePlace::Partition(input) => input.partition.unsigned_abs(),
        };
        let count = count.unsigned_abs().max(1);
        i32::try_from(wanted % count).unwrap_or(0)
    }

    /// The key of a change.
    pub fn key(&self, change: &StateChange) -> Vec<u8> {
        let mut key = self.prefix(&change.scope);
        key.extend_from_slice(&change.key);
        key
    }

    /// What keys of a scope begin with.
    pub fn prefix(&self, scope: &StateScope) -> Vec<u8> {
        let place = match &scope.place {
            StatePlace::Task => format!("task/{}", self.task),
            StatePlace::Partition(input) => format!("partition/{}/{}", input.topic, input.partition),
        };
        format!("{place}/{}\0", scope.stage).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    //! The formats are promises: Kafka Connect reads one, a later Sandbar the other.

    use super::*;
    use crate::broker::TopicPartition;

    #[test]
    fn offsets_lie_as_kafka_connect_has_them() {
        let keys = OffsetKeys::new("my \"own\"");
        let offset = SourceOffset { partition: r#"{"file":"a","host":"b"}"#.into(), offset: None };
        let key = keys.key(&offset);
        assert_eq!(key, br#"["my \"own\"",{"file":"a","host":"b"}]"#);
        assert_eq!(keys.spelling(&key), Some(Spelling { partition: offset.partition, foreign: None }));
        assert_eq!(OffsetKeys::new("other").spelling(&key), None);
        assert_eq!(keys.spelling(b"no JSON"), None);
    }

    #[test]
    fn json_of_another_writer_becomes_canonical() {
        let keys = OffsetKeys::new("c");
        let theirs = br#"["c", {"b": 1, "a": 2}]"#;
        let expected = Spelling { partition: r#"{"a":2,"b":1}"#.to_owned(), foreign: Some(theirs.to_vec()) };
        assert_eq!(keys.spelling(theirs), Some(expected));
        assert_eq!(offset_value(br#"{"pos": 7}"#).as_deref(), Some(r#"{"pos":7}"#));
    }

    #[test]
    fn of_several_spellings_the_one_that_was_written_last_counts() {
        let last = |own: bool, timestamp, value: Option<&str>| Last {
            what: Spelling { partition: "{}".to_owned(), foreign: (!own).then(|| b"[\"c\", {}]".to_vec()) },
            timestamp: Some(timestamp),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        let newest = |all| newest_offsets(all).0.remove("{}").map(|value| String::from_utf8(value).unwrap());
        for (all, expected) in [
            ([last(true, 1, Some("own")), last(false, 2, Some("other"))], Some("other")),
            ([last(true, 2, Some("own")), last(false, 1, Some("other"))], Some("own")),
            ([last(true, 2, Some("own")), last(false, 2, Some("other"))], Some("own")),
            ([last(true, 2, None), last(false, 1, Some("other"))], None),
            ([last(true, 1, Some("own")), last(false, 2, None)], None),
        ] {
            let [one, other] = all;
            assert_eq!(newest(vec![one, other]).as_deref(), expected);
        }
        let all = vec![last(false, 2, Some("other")), last(true, 2, Some("own"))];
        assert_eq!(newest(all).as_deref(), Some("own"), "whichever comes first");
    }

    #[test]
    fn whoever_spells_a_key_otherwise_is_kept_up_to_date() {
        let keys = OffsetKeys::new("c");
        let theirs = br#"["c", {"b": 1, "a": 2}]"#.to_vec();
        let what = keys.spelling(&theirs).unwrap();
        let (_, foreign) = newest_offsets(vec![Last { what, timestamp: None, value: None }]);
        let offset = |partition: &str| SourceOffset { partition: partition.to_owned(), offset: None };
        let own = br#"["c",{"a":2,"b":1}]"#.to_vec();
        assert_eq!(keys.all(&offset(r#"{"a":2,"b":1}"#), &foreign), [own, theirs]);
        assert_eq!(keys.all(&offset("{}"), &foreign), [br#"["c",{}]"#.to_vec()]);
    }

    #[test]
    fn state_lies_with_its_input_partition_or_its_task() {
        let keys = StateKeys::new("group", "conn", 3);
        assert_eq!(keys.topic(), "sandbar-state-group-conn");
        let task = StateScope { stage: "mask".into(), place: StatePlace::Task };
        let input = StateScope { stage: "".into(), place: StatePlace::Partition(TopicPartition::new("in", 5)) };
        assert_eq!((keys.partition(&task, 2), keys.partition(&input, 8), keys.partition(&input, 1)), (1, 5, 0));
        assert_eq!(keys.prefix(&task), b"task/3/mask\0");
        let change = StateChange { scope: input, key: "\0k".into(), value: None };
        assert_eq!(keys.key(&change), b"partition/in/5/\0\0k");
    }
}
