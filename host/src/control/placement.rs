//! Which tasks are this worker's: each task belongs to a slot, and the worker group deals its slots out among its workers.

use std::collections::BTreeSet;

use sandbar_abi::manifest::Kind;
use tokio::sync::oneshot;

use crate::broker::partitioner::partition_of_key;

/// How many slots a worker group has: partitions of a topic, which Kafka's group protocol deals out. Divisible by most
/// small numbers of workers.
pub(super) const SLOTS: i32 = 60;

/// The slot of a task. Tasks of one connector lie side by side, which spreads them over the workers; those of a source lie
/// in one: how its work is split is decided where it runs, and two workers might decide differently.
pub(super) fn slot(connector: &str, task: u32, role: Kind) -> i32 {
    let first = partition_of_key(connector.as_bytes(), SLOTS);
    if role == Kind::Source {
        return first;
    }
    let number = i32::try_from(task % SLOTS.unsigned_abs()).unwrap_or(0);
    (first + number) % SLOTS
}

/// How a worker comes by its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// There is no other worker: all tasks are its own.
    Alone,
    /// It shares them with the other workers of its group.
    Shared {
        /// What it is called there: one that comes back under its old name finds its tasks waiting for it.
        worker: String,
    },
}

/// What the group says about slots.
pub(super) enum Dealt {
    /// These are this worker's from now on.
    Taken(Vec<i32>),
    /// These go elsewhere: their tasks have to end. Where others wait for that, `gone` is told.
    Leaving { slots: Vec<i32>, gone: Option<oneshot::Sender<()>> },
    /// The worker is in no group, and holds nothing.
    Out(String),
}

/// The slots of this worker.
#[derive(Default)]
pub(super) struct Slots {
    /// `None`: all there are.
    held: Option<BTreeSet<i32>>,
    leaving: Vec<Leaving>,
    /// Why the worker is in no group.
    trouble: Option<String>,
}

struct Leaving {
    slots: BTreeSet<i32>,
    gone: oneshot::Sender<()>,
}

impl Slots {
    /// What a worker holds at first.
    pub(super) fn new(placement: &Placement) -> Self {
        let held = match placement {
            Placement::Alone => None,
            Placement::Shared { .. } => Some(BTreeSet::new()),
        };
        Self { held, ..Self::default() }
    }

    /// Whether a slot is this worker's.
    pub(super) fn holds(&self, slot: i32) -> bool {
        self.held.as_ref().is_none_or(|held| held.contains(&slot))
    }

    /// How many it holds, where it shares them.
    pub(super) fn count(&self) -> Option<usize> {
        self.held.as_ref().map(BTreeSet::len)
    }

    /// Why the worker is in no group, where that is so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Takes in what the group says.
    pub(super) fn deal(&mut self, dealt: Dealt) {
        let Some(held) = &mut self.held else { return };
        match dealt {
            Dealt::Taken(slots) => {
                held.extend(slots);
                self.trouble = None;
            }
            Dealt::Leaving { slots, gone } => {
                held.retain(|slot| !slots.contains(slot));
                self.leaving.extend(gone.map(|gone| Leaving { slots: slots.into_iter().collect(), gone }));
            }
            Dealt::Out(why) => {
                held.clear();
                self.trouble = Some(why);
            }
        }
    }

    /// Lets slots go that no running task belongs to any more.
    pub(super) fn let_go(&mut self, running: impl Fn(&BTreeSet<i32>) -> bool) {
        for leaving in self.leaving.extract_if(.., |leaving| !running(&leaving.slots)) {
            // Who waited may have given up.
            let _ = leaving.gone.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_a_connector_lie_side_by_side() {
        let slots: Vec<i32> = (0..4).map(|task| slot("orders", task, Kind::Sink)).collect();
        assert!(slots.windows(2).all(|pair| pair[1] == (pair[0] + 1) % SLOTS), "{slots:?}");
        assert_eq!(slot("orders", 60, Kind::Sink), slots[0]);
        assert!((0..60).all(|task| slot("orders", task, Kind::Source) == slots[0]), "a source is one piece");
        assert!((0..u32::MAX).step_by(100_000_007).all(|task| (0..SLOTS).contains(&slot(
            "orders",
            task,
            Kind::Transform
        ))));
    }

    #[test]
    fn a_worker_that_is_alone_holds_everything() {
        let mut slots = Slots::new(&Placement::Alone);
        assert!(slots.holds(7));
        slots.deal(Dealt::Out("nobody asked".into()));
        assert!(slots.holds(7) && slots.count().is_none() && slots.trouble().is_none());
    }

    #[test]
    fn slots_are_let_go_once_nothing_of_them_runs() {
        let mut slots = Slots::new(&Placement::Shared { worker: "w".into() });
        let mine = 7;
        assert!(!slots.holds(mine));
        slots.deal(Dealt::Taken(vec![mine]));
        assert!(slots.holds(mine));
        let (gone, mut is_gone) = oneshot::channel();
        slots.deal(Dealt::Leaving { slots: vec![mine], gone: Some(gone) });
        assert!(!slots.holds(mine));
        slots.let_go(|leaving| leaving.contains(&mine));
        assert!(is_gone.try_recv().is_err(), "its task runs");
        slots.let_go(|_| false);
        assert_eq!(is_gone.try_recv(), Ok(()));
    }

    #[test]
    fn whoever_is_out_holds_nothing_until_it_is_in_again() {
        let mut slots = Slots::new(&Placement::Shared { worker: "w".into() });
        slots.deal(Dealt::Taken((0..SLOTS).collect()));
        slots.deal(Dealt::Out("the broker is down".into()));
        assert_eq!((slots.count(), slots.trouble()), (Some(0), Some("the broker is down")));
        slots.deal(Dealt::Taken(vec![1, 2]));
        assert_eq!((slots.count(), slots.trouble()), (Some(2), None));
    }
}
