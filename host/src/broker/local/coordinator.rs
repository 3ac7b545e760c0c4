//! The groups of this process: who is a member where, and who has to be woken when an assignment changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::catalog::{Catalog, Topic};
use super::group::{Change, Group, MemberId, Subscription};
use crate::broker::TopicPartition;

/// The groups of this process.
#[derive(Debug)]
pub(super) struct Coordinator {
    catalog: Arc<Catalog>,
    groups: Mutex<Groups>,
}

#[derive(Debug, Default)]
struct Groups {
    last_member: MemberId,
    by_name: BTreeMap<Arc<str>, Members>,
    /// The member that stands for each transactional id.
    by_transactional_id: BTreeMap<Arc<str>, (Arc<str>, MemberId)>,
}

#[derive(Debug, Default)]
struct Members {
    group: Group,
    wakes: BTreeMap<MemberId, Arc<Notify>>,
}

/// A session's place in a group; it leaves when it is dropped.
#[derive(Debug)]
pub(super) struct Membership {
    coordinator: Arc<Coordinator>,
    key: MemberKey,
    transactional_id: Arc<str>,
}

/// Names a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberKey {
    /// Its group.
    pub(super) group: Arc<str>,
    id: MemberId,
}

impl Coordinator {
    /// No groups yet.
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, groups: Mutex::default() }
    }

    /// Joins a group.
    pub(super) fn join(
        self: &Arc<Self>,
        group: Arc<str>,
        transactional_id: Arc<str>,
        subscription: Subscription,
        wake: Arc<Notify>,
    ) -> Membership {
        let topics = self.catalog.partition_counts();
        let mut groups = self.lock();
        groups.last_member += 1;
        let key = MemberKey { group: Arc::clone(&group), id: groups.last_member };
        groups.by_transactional_id.insert(Arc::clone(&transactional_id), (Arc::clone(&group), key.id));
        let members = groups.by_name.entry(group).or_default();
        members.wakes.insert(key.id, wake);
        members.group.join(key.id, subscription, &topics);
        members.wake();
        Membership { coordinator: Arc::clone(self), key, transactional_id }
    }

    /// Throws out the member that stands for a transactional id, which somebody else has taken over.
    pub(super) fn evict(&self, transactional_id: &str) {
        let topics = self.catalog.partition_counts();
        let mut groups = self.lock();
        let Some((group, id)) = groups.by_transactional_id.remove(transactional_id) else { return };
        groups.change(&group, |members| members.group.evict(id, &topics));
    }

    /// Adds topics to the catalog, and lets the groups that read them know.
    pub(super) fn topics_found(&self, found: Vec<Arc<Topic>>) {
        let new: Vec<Arc<Topic>> = found.into_iter().filter(|topic| self.catalog.add(Arc::clone(topic))).collect();
        if new.is_empty() {
            return;
        }
        let topics = self.catalog.partition_counts();
        for members in self.lock().by_name.values_mut() {
            if new.iter().any(|topic| members.group.reads(&topic.name)) {
                members.group.assign(&topics);
                members.wake();
            }
        }
    }

    /// Whether a member may commit what it read from a partition.
    pub(super) fn holds(&self, key: &MemberKey, partition: &TopicPartition) -> bool {
        self.lock().by_name.get(&key.group).is_some_and(|members| members.group.holds(key.id, partition))
    }

    /// Whether somebody is in a group.
    pub(super) fn has_members(&self, group: &str) -> bool {
        self.lock().by_name.contains_key(group)
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    /// Changes a group, wakes its members, and forgets it if nobody is left.
    fn change<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Members) -> T) -> Option<T> {
        let members = self.by_name.get_mut(name)?;
        let result = change(members);
        members.wake();
        if members.group.is_empty() {
            self.by_name.remove(name);
        }
        Some(result)
    }
}

impl Members {
    fn wake(&self) {
        for wake in self.wakes.values() {
            wake.notify_one();
        }
    }
}

impl Membership {
    /// Who this is.
    pub(super) fn key(&self) -> &MemberKey {
        &self.key
    }

    /// Whether somebody else has taken the member's place, and its transactional id.
    pub(super) fn is_evicted(&self) -> bool {
        self.coordinator
            .lock()
            .by_name
            .get(&self.key.group)
            .is_some_and(|members| members.group.is_evicted(self.key.id))
    }

    /// What the member has to be told, once.
    pub(super) fn next_change(&self) -> Option<Change> {
        self.coordinator.lock().by_name.get_mut(&self.key.group)?.group.next_change(self.key.id)
    }

    /// What the member is to let go of, once.
    pub(super) fn next_revoked(&self) -> Option<Vec<TopicPartition>> {
        self.coordinator.lock().by_name.get_mut(&self.key.group)?.group.next_revoked(self.key.id)
    }

    /// Lets partitions go.
    pub(super) fn release(&self, partitions: &[TopicPartition]) {
        let mut groups = self.coordinator.lock();
        groups.change(&self.key.group, |members| members.group.release(self.key.id, partitions));
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let topics: BTreeMap<Arc<str>, i32> = self.coordinator.catalog.partition_counts();
        let mut groups = self.coordinator.lock();
        groups.change(&self.key.group, |members| {
            members.wakes.remove(&self.key.id);
            members.group.leave(self.key.id, &topics);
        });
        let current = groups.by_transactional_id.get(&self.transactional_id);
        if current.is_some_and(|(_, id)| *id == self.key.id) {
            groups.by_transactional_id.remove(&self.transactional_id);
        }
    }
}
