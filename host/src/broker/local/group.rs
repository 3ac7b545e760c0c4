//! One consumer group, without clocks, locks or I/O: who is to own which partition, who holds it still, and what each
//! member has to be told next.
//!
//! Assignment is sticky and cooperative. Only partitions that move are revoked, and a partition is given to its new
//! owner only after the old one has let it go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::Regex;

use crate::broker::{TopicPartition, Topics, whole_names};

/// A member, unique in the process.
pub(super) type MemberId = u64;

/// What a member reads.
#[derive(Clone, Debug)]
pub(super) enum Subscription {
    /// These topics.
    Names(BTreeSet<String>),
    /// Every topic whose whole name matches.
    Pattern(Regex),
}

/// What a member has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These partitions are its own now.
    Assigned(Vec<TopicPartition>),
    /// It is to let these go.
    Revoked(Vec<TopicPartition>),
}

/// A consumer group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In the order they joined, which decides where the assignment has a choice.
    members: Vec<Member>,
    /// Who shall own each partition.
    target: BTreeMap<TopicPartition, MemberId>,
    /// Who owns each partition until it lets go.
    holders: BTreeMap<TopicPartition, Holder>,
    /// Members that were thrown out and have not gone yet.
    evicted: BTreeSet<MemberId>,
}

#[derive(Debug)]
struct Member {
    id: MemberId,
    subscription: Subscription,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    member: MemberId,
    /// It was told to let go, so it must, even if the assignment has changed back since.
    revoked: bool,
}

impl Subscription {
    /// A subscription to topics.
    pub(super) fn to(topics: &Topics) -> Result<Self, regex::Error> {
        match topics {
            Topics::Names(names) => Ok(Self::Names(names.iter().cloned().collect())),
            Topics::Pattern(pattern) => Self::pattern(pattern),
        }
    }

    /// A subscription to every topic whose whole name matches.
    pub(super) fn pattern(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self::Pattern(whole_names(pattern)?))
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Names(names) => names.contains(topic),
            Self::Pattern(pattern) => pattern.is_match(topic),
        }
    }
}

impl Group {
    /// Whether nobody is in it and nobody has to be told anything.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.evicted.is_empty()
    }

    /// Whether any member reads a topic.
    pub(super) fn reads(&self, topic: &str) -> bool {
        self.members.iter().any(|member| member.subscription.matches(topic))
    }

    /// Adds a member.
    pub(super) fn join(&mut self, id: MemberId, subscription: Subscription, topics: &BTreeMap<Arc<str>, i32>) {
        self.members.push(Member { id, subscription });
        self.assign(topics);
    }

    /// Removes a member that has gone, with all it held.
    pub(super) fn leave(&mut self, id: MemberId, topics: &BTreeMap<Arc<str>, i32>) {
        self.evicted.remove(&id);
        self.remove(id, topics);
    }

    /// Removes a member that does not know: somebody else stands in its place.
    pub(super) fn evict(&mut self, id: MemberId, topics: &BTreeMap<Arc<str>, i32>) {
        if self.remove(id, topics) {
            self.evicted.insert(id);
        }
    }

    /// Whether a member was thrown out: it holds nothing any more, and never will.
    pub(super) fn is_evicted(&self, id: MemberId) -> bool {
        self.evicted.contains(&id)
    }

    /// What the member has to be told, once.
    pub(super) fn next_change(&mut self, id: MemberId) -> Option<Change> {
        if let Some(revoked) = self.next_revoked(id) {
            return Some(Change::Revoked(revoked));
        }
        let assigned: Vec<TopicPartition> = self
            .target
            .iter()
            .filter(|(partition, member)| **member == id && !self.holders.contains_key(partition))
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in &assigned {
            self.holders.insert(partition.clone(), Holder { member: id, revoked: false });
        }
        (!assigned.is_empty()).then_some(Change::Assigned(assigned))
    }

    /// What the member is to let go of, once.
    pub(super) fn next_revoked(&mut self, id: MemberId) -> Option<Vec<TopicPartition>> {
        let mut revoked = Vec::new();
        for (partition, holder) in &mut self.holders {
            if holder.member == id && !holder.revoked && self.target.get(partition) != Some(&id) {
                holder.revoked = true;
                revoked.push(partition.clone());
            }
        }
        (!revoked.is_empty()).then_some(revoked)
    }

    /// Notes that a member has let partitions go; those it does not hold are none of its business.
    pub(super) fn release(&mut self, id: MemberId, partitions: &[TopicPartition]) {
        for partition in partitions {
            if self.holds(id, partition) {
                self.holders.remove(partition);
            }
        }
    }

    /// Whether a member owns a partition and may commit what it read from it.
    pub(super) fn holds(&self, id: MemberId, partition: &TopicPartition) -> bool {
        self.holders.get(partition).is_some_and(|holder| holder.member == id)
    }

    /// Decides anew who shall own what: everybody keeps what they have, new and orphaned partitions go to whoever has
    /// least, and partitions move from who has most to who has least until all are within one.
    pub(super) fn assign(&mut self, topics: &BTreeMap<Arc<str>, i32>) {
        let mut shares: Vec<Vec<TopicPartition>> = self.members.iter().map(|_| Vec::new()).collect();
        let mut orphans = Vec::new();
        for (topic, count) in topics {
            let readers: Vec<usize> = (0..self.members.len())
                .filter(|index| self.members.get(*index).is_some_and(|member| member.subscription.matches(topic)))
                .collect();
            if readers.is_empty() {
                continue;
            }
            for number in 0..*count {
                let partition = TopicPartition { topic: Arc::clone(topic), partition: number };
                let owner = self.target.get(&partition);
                let owner = readers.iter().find(|index| self.members.get(**index).map(|m| &m.id) == owner);
                match owner.and_then(|index| shares.get_mut(*index)) {
                    Some(share) => share.push(partition),
                    None => orphans.push((partition, readers.clone())),
                }
            }
        }
        for (partition, readers) in orphans {
            let poorest = readers.into_iter().min_by_key(|index| shares.get(*index).map_or(usize::MAX, Vec::len));
            if let Some(share) = poorest.and_then(|index| shares.get_mut(index)) {
                share.push(partition);
            }
        }
        while self.level(&mut shares) {}
        self.target = shares
            .into_iter()
            .zip(&self.members)
            .flat_map(|(share, member)| share.into_iter().map(|partition| (partition, member.id)))
            .collect();
    }

    /// Moves one partition from a richer member to one that has at least two less. Each move makes the shares more
    /// even, so this ends.
    fn level(&self, shares: &mut [Vec<TopicPartition>]) -> bool {
        let mut by_wealth: Vec<usize> = (0..shares.len()).collect();
        by_wealth.sort_by_key(|index| shares.get(*index).map_or(0, Vec::len));
        for poor in &by_wealth {
            let Some(receiver) = self.members.get(*poor) else { continue };
            let own = shares.get(*poor).map_or(0, Vec::len);
            for rich in by_wealth.iter().rev() {
                let Some(share) = shares.get_mut(*rich) else { continue };
                if share.len() < own + 2 {
                    break;
                }
                let movable = share.iter().rposition(|partition| receiver.subscription.matches(&partition.topic));
                if let Some(partition) = movable.map(|index| share.remove(index)) {
                    if let Some(share) = shares.get_mut(*poor) {
                        share.push(partition);
                    }
                    return true;
                }
            }
        }
        false
    }

    fn remove(&mut self, id: MemberId, topics: &BTreeMap<Arc<str>, i32>) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.id != id);
        self.holders.retain(|_, holder| holder.member != id);
        self.assign(topics);
        self.members.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(counts: &[(&str, i32)]) -> BTreeMap<Arc<str>, i32> {
        counts.iter().map(|(name, count)| (Arc::from(*name), *count)).collect()
    }

    fn names(names: &[&str]) -> Subscription {
        Subscription::Names(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn places(topic: &str, numbers: &[i32]) -> Vec<TopicPartition> {
        numbers.iter().map(|number| TopicPartition::new(topic, *number)).collect()
    }

    #[track_caller]
    fn told(group: &mut Group, id: MemberId, expected: Option<Change>) {
        assert_eq!(group.next_change(id), expected);
    }

    #[test]
    fn a_partition_moves_once_its_owner_let_go() {
        let topics = topics(&[("t", 4)]);
        let mut group = Group::default();
        group.join(1, names(&["t"]), &topics);
        told(&mut group, 1, Some(Change::Assigned(places("t", &[0, 1, 2, 3]))));
        told(&mut group, 1, None);
        group.join(2, names(&["t"]), &topics);
        told(&mut group, 2, None);
        told(&mut group, 1, Some(Change::Revoked(places("t", &[2, 3]))));
        told(&mut group, 1, None);
        assert!(group.holds(1, &TopicPartition::new("t", 3)), "until it lets go");
        group.release(1, &places("t", &[3]));
        told(&mut group, 2, Some(Change::Assigned(places("t", &[3]))));
        group.release(1, &places("t", &[2]));
        told(&mut group, 2, Some(Change::Assigned(places("t", &[2]))));
        group.leave(1, &topics);
        told(&mut group, 2, Some(Change::Assigned(places("t", &[0, 1]))));
    }

    #[test]
    fn a_revoked_partition_is_let_go_even_if_it_comes_back() {
        let topics = topics(&[("t", 2)]);
        let mut group = Group::default();
        group.join(1, names(&["t"]), &topics);
        group.next_change(1);
        group.join(2, names(&["t"]), &topics);
        told(&mut group, 1, Some(Change::Revoked(places("t", &[1]))));
        group.leave(2, &topics);
        told(&mut group, 1, None);
        group.release(1, &places("t", &[1]));
        told(&mut group, 1, Some(Change::Assigned(places("t", &[1]))));
    }

    #[test]
    fn an_evicted_member_is_known_and_its_partitions_are_free_at_once() {
        let topics = topics(&[("t", 1)]);
        let mut group = Group::default();
        group.join(1, names(&["t"]), &topics);
        group.next_change(1);
        group.evict(1, &topics);
        group.join(2, names(&["t"]), &topics);
        told(&mut group, 2, Some(Change::Assigned(places("t", &[0]))));
        assert!(group.is_evicted(1) && !group.is_evicted(2));
        told(&mut group, 1, None);
        group.release(1, &places("t", &[0]));
        assert!(group.holds(2, &TopicPartition::new("t", 0)));
        group.leave(1, &topics);
        group.leave(2, &topics);
        assert!(group.is_empty());
    }

    #[test]
    fn shares_are_level_whatever_the_order() {
        let topics = topics(&[("a", 7), ("b", 6)]);
        let mut group = Group::default();
        for id in 1..=4 {
            group.join(id, names(&["a", "b"]), &topics);
        }
        group.leave(2, &topics);
        group.join(5, names(&["a", "b"]), &topics);
        let shares = [1, 3, 4, 5].map(|id| group.target.values().filter(|owner| **owner == id).count());
        assert_eq!(shares.iter().sum::<usize>(), 13);
        assert!(shares.iter().all(|share| (3..=4).contains(share)), "{shares:?}");
    }

    #[test]
    fn members_get_only_what_they_subscribed_to() {
        let mut known = topics(&[("a-1", 3), ("b-1", 1), ("xa-1", 1)]);
        let mut group = Group::default();
        group.join(1, Subscription::pattern("a-.*|b-2").unwrap(), &known);
        group.join(2, names(&["b-1"]), &known);
        told(&mut group, 1, Some(Change::Assigned(places("a-1", &[0, 1, 2]))));
        told(&mut group, 2, Some(Change::Assigned(places("b-1", &[0]))));
        known.insert("b-2".into(), 1);
        group.assign(&known);
        told(&mut group, 1, Some(Change::Assigned(places("b-2", &[0]))));
        told(&mut group, 2, None);
    }
}
