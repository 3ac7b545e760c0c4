//! Offsets and state of one stage of a task: what is committed, what succeeded since, and what the call in progress puts.
//!
//! There is no commit import. A call writes to an overlay; the overlay is merged once the call's result has been checked,
//! and the task hands what was merged to the broker with the records. A ledger outlives the instances that write to it,
//! but not an aborted transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::broker::{SourceOffset, StateChange, StatePlace, StateScope};

/// What an entry costs the host besides its key and value: its place in a map, and two allocations. It counts, so that a
/// guest cannot spend gigabytes of the host's memory on millions of keys of three bytes.
pub const ENTRY_BYTES: usize = 128;

/// What a put that is refused returns to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum PutRefused {
    /// The key or the value is longer than the ABI allows, or not what it must be.
    BadArgument = -1,
    /// The state would outgrow `sandbox.state.max.bytes`.
    Full = -2,
    /// Only a source has offsets to put.
    NotASource = -3,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    stage: Arc<str>,
    offsets: BTreeMap<String, String>,
    state: HashMap<StatePlace, HashMap<Bytes, Bytes>>,
    /// What offsets and state cost, without what the call in progress puts.
    bytes: usize,
    max_bytes: usize,
    staged: Staged,
    /// What the call in progress puts; `None` deletes.
    offset_overlay: BTreeMap<String, Option<String>>,
    state_overlay: BTreeMap<Bytes, Option<Bytes>>,
    overlay_bytes: usize,
    /// Whose state the call in progress sees.
    place: StatePlace,
}

/// What succeeded since the last commit: the last change of each key.
#[derive(Debug, Default)]
pub struct Staged {
    offsets: BTreeMap<String, Option<String>>,
    state: BTreeMap<(StatePlace, Bytes), Option<Bytes>>,
}

impl Staged {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.state.is_empty()
    }
}

impl Ledger {
    /// An empty ledger of a stage.
    #[must_use]
    pub fn new(stage: &str, state_max_bytes: usize) -> Self {
        Self {
            stage: stage.into(),
            offsets: BTreeMap::new(),
            state: HashMap::new(),
            bytes: 0,
            max_bytes: state_max_bytes,
            staged: Staged::default(),
            offset_overlay: BTreeMap::new(),
            state_overlay: BTreeMap::new(),
            overlay_bytes: 0,
            place: StatePlace::Task,
        }
    }

    /// Takes the committed source offsets over.
    pub fn load_offsets(&mut self, offsets: Vec<(String, String)>) {
        self.bytes -= self.offsets.iter().map(|(k, v)| cost(k, v)).sum::<usize>();
        self.offsets = offsets.into_iter().collect();
        self.bytes += self.offsets.iter().map(|(k, v)| cost(k, v)).sum::<usize>();
    }

    /// Takes the committed state of a place over.
    pub fn load_state(&mut self, place: StatePlace, pairs: Vec<(Bytes, Bytes)>) {
        self.forget_state(&place);
        let pairs: HashMap<Bytes, Bytes> = pairs.into_iter().collect();
        self.bytes += pairs.iter().map(|(k, v)| cost(k, v)).sum::<usize>();
        self.state.insert(place, pairs);
    }

    /// Drops the state of a place that moved elsewhere. What is staged for it must be committed before.
    pub fn forget_state(&mut self, place: &StatePlace) {
        if let Some(old) = self.state.remove(place) {
            self.bytes -= old.iter().map(|(k, v)| cost(k, v)).sum::<usize>();
        }
    }

    /// Whether the state of a place has been loaded.
    #[must_use]
    pub fn has_state(&self, place: &StatePlace) -> bool {
        self.state.contains_key(place)
    }

    /// The state scope of a place in this ledger's stage.
    #[must_use]
    pub fn scope(&self, place: StatePlace) -> StateScope {
        StateScope { stage: Arc::clone(&self.stage), place }
    }

    /// Takes what is to be committed.
    pub fn take_staged(&mut self) -> (Vec<SourceOffset>, Vec<StateChange>) {
        let staged = std::mem::take(&mut self.staged);
        let offsets = staged.offsets.into_iter().map(|(partition, offset)| SourceOffset { partition, offset });
        let state = staged.state.into_iter().map(|((place, key), value)| StateChange {
            scope: StateScope { stage: Arc::clone(&self.stage), place },
            key,
            value,
        });
        (offsets.collect(), state.collect())
    }

    /// Whether there is something to commit.
    #[must_use]
    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// A call begins that sees the state of a place.
    pub(super) fn begin_call(&mut self, place: StatePlace) {
        self.place = place;
        self.drop_call();
    }

    /// The call in progress failed: it leaves nothing.
    pub(super) fn drop_call(&mut self) {
        self.offset_overlay.clear();
        self.state_overlay.clear();
        self.overlay_bytes = 0;
    }

    /// The call in progress succeeded.
    pub(super) fn merge_call(&mut self) {
        for (partition, offset) in std::mem::take(&mut self.offset_overlay) {
            let old = match &offset {
                Some(offset) => {
                    self.bytes += cost(&partition, offset);
                    self.offsets.insert(partition.clone(), offset.clone())
                }
                None => self.offsets.remove(&partition),
            };
            self.bytes -= old.map_or(0, |old| cost(&partition, old));
            self.staged.offsets.insert(partition, offset);
        }
        self.overlay_bytes = 0;
        let overlay = std::mem::take(&mut self.state_overlay);
        if overlay.is_empty() {
            return;
        }
        let pairs = self.state.entry(self.place.clone()).or_default();
        for (key, value) in overlay {
            let old = match &value {
                Some(value) => {
                    self.bytes += cost(&key, value);
                    pairs.insert(key.clone(), value.clone())
                }
                None => pairs.remove(&key),
            };
            self.bytes -= old.map_or(0, |old| cost(&key, old));
            self.staged.state.insert((self.place.clone(), key), value);
        }
    }

    pub(super) fn offset(&self, partition: &str) -> Option<&str> {
        match self.offset_overlay.get(partition) {
            Some(changed) => changed.as_deref(),
            None => self.offsets.get(partition).map(String::as_str),
        }
    }

    /// `null` forgets the offset, as it does in Kafka Connect's offsets topic.
    pub(super) fn put_offset(&mut self, partition: &[u8], offset: &[u8]) -> Result<(), PutRefused> {
        let partition = canonical(partition).ok_or(PutRefused::BadArgument)?;
        let offset = canonical(offset).ok_or(PutRefused::BadArgument)?;
        if offset == "null" {
            match self.offsets.contains_key(&partition) {
                true => drop(self.offset_overlay.insert(partition, None)),
                false => drop(self.offset_overlay.remove(&partition)),
            }
            return Ok(());
        }
        self.grow_overlay(cost(&partition, &offset))?;
        self.offset_overlay.insert(partition, Some(offset));
        Ok(())
    }

    pub(super) fn state(&self, key: &[u8]) -> Option<&[u8]> {
        match self.state_overlay.get(key) {
            Some(changed) => changed.as_deref(),
            None => self.state.get(&self.place)?.get(key).map(|v| &v[..]),
        }
    }

    pub(super) fn put_state(&mut self, key: &[u8], value: &[u8]) -> Result<(), PutRefused> {
        self.grow_overlay(cost(key, value))?;
        self.state_overlay.insert(Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
        Ok(())
    }

    /// Deleting is never refused: it is how a guest makes room. There can be no more deletions than there are entries.
    pub(super) fn delete_state(&mut self, key: &[u8]) {
        match self.state.get(&self.place).is_some_and(|pairs| pairs.contains_key(key)) {
            true => drop(self.state_overlay.insert(Bytes::copy_from_slice(key), None)),
            false => drop(self.state_overlay.remove(key)),
        }
    }

    /// The bound counts what a call writes on top of what there is: overwriting counts twice until the call ends.
    fn grow_overlay(&mut self, bytes: usize) -> Result<(), PutRefused> {
        if self.bytes + self.overlay_bytes + bytes > self.max_bytes {
            return Err(PutRefused::Full);
        }
        self.overlay_bytes += bytes;
        Ok(())
    }
}

/// What an entry counts against the bound.
fn cost(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> usize {
    ENTRY_BYTES + key.as_ref().len() + value.as_ref().len()
}

/// JSON with sorted keys and no white space: the offsets topic is looked up by bytes.
pub(super) fn canonical(json: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new("", 400);
        ledger.begin_call(StatePlace::Task);
        ledger
    }

    #[test]
    fn a_call_sees_what_it_puts_and_leaves_it_only_when_it_succeeds() {
        let mut l = ledger();
        l.put_state(b"k", b"1").unwrap();
        assert_eq!(l.state(b"k"), Some(&b"1"[..]));
        l.drop_call();
        assert_eq!(l.state(b"k"), None);
        assert!(!l.has_staged());
        l.put_state(b"k", b"2").unwrap();
        l.merge_call();
        assert_eq!(l.state(b"k"), Some(&b"2"[..]));
        let (_, state) = l.take_staged();
        assert_eq!(state.len(), 1);
        assert_eq!(state[0].value.as_deref(), Some(&b"2"[..]));
        assert!(!l.has_staged());
    }

    #[test]
    fn deletes_are_seen_and_staged() {
        let mut l = ledger();
        l.load_state(StatePlace::Task, vec![(Bytes::from("k"), Bytes::from("v"))]);
        l.delete_state(b"k");
        assert_eq!(l.state(b"k"), None);
        l.merge_call();
        assert_eq!(l.state(b"k"), None);
        assert_eq!(l.take_staged().1[0].value, None);
        assert_eq!(l.bytes, 0);
    }

    #[test]
    fn places_do_not_see_each_other() {
        let mut l = ledger();
        let other = StatePlace::Partition(crate::broker::TopicPartition::new("t", 1));
        l.put_state(b"k", b"task").unwrap();
        l.merge_call();
        l.begin_call(other.clone());
        assert_eq!(l.state(b"k"), None);
        l.put_state(b"k", b"part").unwrap();
        l.merge_call();
        l.forget_state(&other);
        assert_eq!(l.state(b"k"), None);
        assert_eq!(l.take_staged().1.len(), 2);
    }

    #[test]
    fn state_is_bounded_and_the_count_does_not_drift() {
        let mut l = ledger();
        assert_eq!(l.put_state(b"k", &[0; 400]), Err(PutRefused::Full));
        for _ in 0..1000 {
            l.put_state(b"k", &[0; 40]).unwrap();
            l.merge_call();
        }
        assert_eq!(l.bytes, ENTRY_BYTES + 41);
    }

    #[test]
    fn what_is_full_can_be_emptied() {
        let mut l = ledger();
        l.put_state(b"1", &[0; 50]).unwrap();
        l.put_state(b"2", &[0; 50]).unwrap();
        l.merge_call();
        assert_eq!(l.put_state(b"3", &[0; 50]), Err(PutRefused::Full));
        l.delete_state(b"1");
        l.delete_state(b"never there");
        l.merge_call();
        l.put_state(b"3", &[0; 50]).unwrap();
        l.delete_state(b"3");
        l.merge_call();
        assert_eq!((l.bytes, l.take_staged().1.len()), (ENTRY_BYTES + 51, 2));
    }

    #[test]
    fn offsets_count_as_state_does() {
        let mut l = ledger();
        for n in 0..1000 {
            l.put_offset(b"{}", n.to_string().as_bytes()).unwrap();
            l.merge_call();
        }
        assert_eq!(l.bytes, ENTRY_BYTES + 5);
        l.put_offset(b"1", b"1").unwrap();
        l.merge_call();
        assert_eq!(l.put_offset(b"2", b"1000000000000"), Err(PutRefused::Full));
        l.put_offset(b"1", b"null").unwrap();
        l.put_offset(b"{}", b"null").unwrap();
        l.merge_call();
        assert_eq!(l.bytes, 0);
        l.load_offsets(vec![("3".into(), "4".into())]);
        l.load_offsets(vec![("3".into(), "45".into())]);
        assert_eq!(l.bytes, ENTRY_BYTES + 3);
    }

    #[test]
    fn offsets_are_canonical_and_null_forgets() {
        let mut l = ledger();
        l.put_offset(br#"{ "b": 1, "a": 2 }"#, br#"{"n": 1}"#).unwrap();
        assert_eq!(l.offset(r#"{"a":2,"b":1}"#), Some(r#"{"n":1}"#));
        assert_eq!(l.put_offset(b"not json", b"{}"), Err(PutRefused::BadArgument));
        l.merge_call();
        l.put_offset(br#"{"a":2,"b":1}"#, b"null").unwrap();
        assert_eq!(l.offset(r#"{"a":2,"b":1}"#), None);
        l.merge_call();
        let (offsets, _) = l.take_staged();
        assert_eq!(offsets, [SourceOffset { partition: r#"{"a":2,"b":1}"#.into(), offset: None }]);
    }
}
