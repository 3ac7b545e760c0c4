//! What all hosts of a run share: the plan by which calls fail, the history of them, and what must hold at each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandbar::broker::{Commit, TopicPartition};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::defect::Defect;
use super::history::History;
use super::plan::{Fate, Plan, Verdict};
use super::step::Step;
use crate::chance::Chance;

/// Calls of a run at most. A run has some hundreds, or some thousands where it has to wait long.
const MAX_CALLS: u64 = 60_000;

/// One life of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The host.
    pub host: usize,
    /// Which of its lives.
    pub number: u64,
}

/// See the module.
pub struct Fates {
    state: Mutex<State>,
    crashes: mpsc::UnboundedSender<Life>,
}

struct State {
    began: Instant,
    chance: Chance,
    plan: Plan,
    history: History,
    /// Where each group stands in each partition, by the commits that went through.
    committed: BTreeMap<(String, TopicPartition), i64>,
    broken: Vec<String>,
    calls: u64,
    defect: Option<Defect>,
}

impl Fates {
    /// Fates by a plan, and the crashes that they decree.
    #[must_use]
    pub fn new(chance: Chance, plan: Plan, defect: Option<Defect>) -> (Self, mpsc::UnboundedReceiver<Life>) {
        // One message a life of a host.
        let (crashes, crashed) = mpsc::unbounded_channel();
        let state = State {
            began: Instant::now(),
            chance,
            plan,
            history: History::default(),
            committed: BTreeMap::new(),
            broken: Vec::new(),
            calls: 0,
            defect,
        };
        (Self { state: Mutex::new(state), crashes }, crashed)
    }

    /// From now on things go by this plan.
    pub fn follow(&self, plan: Plan) {
        self.lock().plan = plan;
    }

    /// The broker is away for so long.
    pub fn outage(&self, length: Duration) {
        let now = Instant::now();
        self.lock().plan.outages.push((now, now + length));
    }

    /// Notes what happened.
    pub fn note(&self, event: &str) {
        let mut state = self.lock();
        let at = state.began.elapsed();
        state.history.note(at, event);
    }

    /// Notes that something is not as it must be.
    pub fn breaks(&self, what: String) {
        self.note(&what);
        self.lock().broken.push(what);
    }

    /// What was not as it must be.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    /// Where a group stands in all partitions of a topic together.
    #[must_use]
    pub fn position(&self, group: &str, topic: &str) -> i64 {
        let state = self.lock();
        let of_topic = state.committed.iter().filter(|((of, place), _)| of == group && &*place.topic == topic);
        of_topic.map(|(_, offset)| offset).sum()
    }

    /// The history so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.lock().history.clone()
    }

    /// A number of a range, by the chance of the run.
    pub fn among(&self, range: std::ops::Range<u64>) -> u64 {
        self.lock().chance.among(range)
    }

    /// Ends a life: from now on none of its calls returns.
    pub fn crash(&self, life: Life) {
        // Who drives the hosts is gone only when the run is over.
        let _ = self.crashes.send(life);
    }

    /// What befalls a call; nothing any more once there were too many: the call never returns.
    pub fn decide(&self, step: Step) -> Option<Verdict> {
        let mut state = self.lock();
        state.calls += 1;
        if state.calls > MAX_CALLS {
            if state.calls == MAX_CALLS + 1 {
                state.broken.push(format!("{MAX_CALLS} calls, and no end: the hosts go round in circles"));
            }
            return None;
        }
        let State { plan, chance, .. } = &mut *state;
        Some(plan.decide(step, chance))
    }

    /// What becomes of a call at last, by the plan as it is by then.
    pub fn now(&self, step: Step, decided: Fate) -> Fate {
        let state = self.lock();
        if state.plan.is_away(step, Instant::now()) {
            return Fate::Fail(sandbar::broker::BrokerErrorKind::Retriable);
        }
        // What was decided before all became calm is not carried out any more.
        if state.plan.crashes == 0 && matches!(decided, Fate::Crash(_)) { Fate::Pass } else { decided }
    }

    /// Whether the planted defect strikes now; it strikes at every such occasion from the given one on.
    pub(super) fn strikes(&self, kind: fn(&Defect) -> bool) -> bool {
        let mut state = self.lock();
        match &mut state.defect {
            Some(defect) if kind(defect) => defect.is_due(),
            _ => false,
        }
    }

    /// A commit went through: holds it against what the session was given, and against earlier commits of the group.
    pub(super) fn committed(&self, who: &str, group: &str, given: &BTreeMap<TopicPartition, i64>, commit: &Commit) {
        let mut broken = Vec::new();
        {
            let mut state = self.lock();
            for consumed in &commit.consumed {
                let (place, offset) = (&consumed.partition, consumed.offset);
                match given.get(place) {
                    Some(given) if offset <= *given => {}
                    Some(given) => {
                        broken.push(format!("{who} commits {place} at {offset} and was given it up to {given}"))
                    }
                    None => broken.push(format!("{who} commits {place} at {offset} and was given nothing of it")),
                }
                let before = state.committed.insert((group.to_owned(), place.clone()), offset);
                if let Some(before) = before.filter(|before| *before > offset) {
                    broken.push(format!("{who} commits {place} at {offset}, its group was at {before}"));
                }
            }
        }
        broken.into_iter().for_each(|what| self.breaks(what));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A commit, as the history shows it.
pub(super) fn shown(commit: &Commit) -> String {
    let mut text = String::new();
    for consumed in &commit.consumed {
        // Writing to a string cannot fail.
        let _ = write!(text, " {}<{}", consumed.partition, consumed.offset);
    }
    for source in &commit.source_offsets {
        let _ = write!(text, " {}", source.offset.as_deref().unwrap_or("null"));
    }
    if !commit.state.is_empty() {
        let _ = write!(text, " {} of state", commit.state.len());
    }
    text
}
