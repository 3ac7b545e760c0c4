//! The topics this process knows, and where each partition ends: a session looks here, not into the file, to learn
//! whether there is something to read, and is woken from here when there is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::broker::{CleanupPolicy, TopicPartition};

/// Kafka's bound on a topic's name, in bytes.
const MAX_NAME_BYTES: usize = 249;

/// The topics this process knows; topics are never deleted.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its name.
    pub(super) name: Arc<str>,
    /// What happens to old records.
    pub(super) cleanup_policy: CleanupPolicy,
    /// Its partitions, in order.
    pub(super) partitions: Vec<Arc<Partition>>,
}

/// A partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// Its row.
    pub(super) id: i64,
    /// Its place.
    pub(super) place: TopicPartition,
    end: AtomicI64,
    listeners: Mutex<Vec<Arc<Notify>>>,
}

/// Wakes somebody when a partition grows, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    /// The partition.
    pub(super) partition: Arc<Partition>,
    wake: Arc<Notify>,
}

impl Catalog {
    /// A topic, if it is known.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Adds a topic that is not known yet, and says whether it was not.
    pub(super) fn add(&self, topic: Arc<Topic>) -> bool {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(&topic.name) {
            return false;
        }
        topics.insert(Arc::clone(&topic.name), topic);
        true
    }

    /// The number of partitions of every topic, by name.
    pub(super) fn partition_counts(&self) -> BTreeMap<Arc<str>, i32> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().map(|topic| (Arc::clone(&topic.name), topic.partition_count())).collect()
    }
}

impl Topic {
    /// How many partitions it has.
    pub(super) fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// One of its partitions.
    pub(super) fn partition(&self, number: i32) -> Option<&Arc<Partition>> {
        usize::try_from(number).ok().and_then(|index| self.partitions.get(index))
    }
}

impl Partition {
    /// A partition that ends at an offset.
    pub(super) fn new(id: i64, place: TopicPartition, end: i64) -> Self {
        Self { id, place, end: AtomicI64::new(end), listeners: Mutex::default() }
    }

    /// The offset the next record gets. Everything before it is committed and can be read.
    pub(super) fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Notes that the partition has grown, and wakes who waits for it.
    pub(super) fn grow(&self, end: i64) {
        if self.end.fetch_max(end, Ordering::AcqRel) < end {
            for wake in self.listeners().iter() {
                wake.notify_one();
            }
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Arc<Notify>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Wakes `wake` each time the partition grows.
    pub(super) fn new(partition: Arc<Partition>, wake: &Arc<Notify>) -> Self {
        partition.listeners().push(Arc::clone(wake));
        Self { partition, wake: Arc::clone(wake) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut listeners = self.partition.listeners();
        if let Some(index) = listeners.iter().position(|wake| Arc::ptr_eq(wake, &self.wake)) {
            listeners.swap_remove(index);
        }
    }
}

/// Whether Kafka would take the name for a topic; if not, why.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name == "." || name == ".." {
        return Err("a topic's name must not be empty, \".\" or \"..\"");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("a topic's name must not be longer than 249 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return Err("a topic's name consists of ASCII letters, digits, '.', '_' and '-'");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        for name in ["a", "a.b_c-D9", "__x", &"x".repeat(249)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a b", "ä", "a/b", "a:b", &"x".repeat(250)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_watch_wakes_until_it_is_dropped() {
        let partition = Arc::new(Partition::new(1, TopicPartition::new("t", 0), 0));
        let wake = Arc::new(Notify::new());
        let watch = Watch::new(Arc::clone(&partition), &wake);
        partition.grow(5);
        partition.grow(3);
        assert_eq!(partition.end(), 5);
        assert_eq!(partition.listeners().len(), 1);
        drop(watch);
        assert_eq!(partition.listeners().len(), 0);
    }
}
