//! What goes wrong, when and how: decided by chance that can be repeated, within what the broker port allows at each step.

use std::time::Duration;

use sandbar::broker::BrokerErrorKind;
use tokio::time::Instant;

use super::step::{Side, Step};
use crate::chance::Chance;

/// How long a call takes at most that takes very long, in milliseconds: what ends has to end within the 30 seconds that a
/// host gives it, and is made of several calls.
const STALL_MS: u64 = 12_000;

/// How often things go wrong.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One in so many calls fails, before or after it has happened; 0: none does.
    pub failures: u64,
    /// One in so many calls is the last one of its host; 0: none is.
    pub crashes: u64,
    /// One in so many calls takes very long; 0: none does.
    pub stalls: u64,
    /// Every call takes up to so many milliseconds.
    pub delay_ms: u64,
    /// From when to when the broker is away: calls that need it may be made again later.
    pub outages: Vec<(Instant, Instant)>,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is made, and answered.
    Pass,
    /// It is not made, and answered with this error.
    Fail(BrokerErrorKind),
    /// It is made, and answered with this error all the same.
    LoseAnswer(BrokerErrorKind),
    /// It is made, and made once more: its acknowledgement came late, and whoever waited for it has sent it again. What it
    /// adds must not come twice.
    Twice,
    /// The host is no more, before or after the call.
    Crash(Side),
}

/// What befalls one call.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How long it takes before anything happens.
    pub delay: Duration,
    /// What becomes of it then.
    pub fate: Fate,
}

impl Plan {
    /// Nothing goes wrong, and a call takes up to so many milliseconds.
    #[must_use]
    pub const fn calm(delay_ms: u64) -> Self {
        Self { failures: 0, crashes: 0, stalls: 0, delay_ms, outages: Vec::new() }
    }

    /// Decides about a call. It draws equally often whatever comes of it.
    pub fn decide(&self, step: Step, chance: &mut Chance) -> Verdict {
        let (delay, failure, crash, stall) =
            (chance.among(0..self.delay_ms + 1), chance.draw(), chance.draw(), chance.draw());
        let is = |one_in: u64, drawn: u64| one_in > 0 && drawn.is_multiple_of(one_in);
        let stalled = if is(self.stalls, stall) { stall / self.stalls.max(1) % STALL_MS } else { 0 };
        let (which, kind) = (crash >> 32, failure >> 32);
        let fate = if is(self.crashes, crash) {
            Fate::Crash(if which.is_multiple_of(2) { Side::Before } else { Side::After })
        } else if is(self.failures, failure) {
            failing(step, kind)
        } else {
            Fate::Pass
        };
        Verdict { delay: Duration::from_millis(delay + stalled), fate }
    }

    /// Whether the broker is away for this call.
    #[must_use]
    pub fn is_away(&self, step: Step, now: Instant) -> bool {
        let local = matches!(step, Step::Stage | Step::Abort | Step::Release | Step::Close);
        !local && self.outages.iter().any(|(from, to)| (*from..*to).contains(&now))
    }
}

/// Whether a call may be made twice. Of the others that is another call: one for more records, say.
fn may_be_repeated(step: Step) -> bool {
    matches!(step, Step::CreateTopic | Step::LoadOffsets | Step::LoadState | Step::Commit | Step::Abort)
}

/// How a step may fail. An error that says that nothing has changed must be the truth, so an answer that is lost is a fatal
/// one: nobody knows what has happened, and the session is of no more use.
fn failing(step: Step, drawn: u64) -> Fate {
    use BrokerErrorKind::{Abortable, Fatal, Rebalanced, Retriable};
    let kinds: &[BrokerErrorKind] = match step {
        Step::Commit => &[Retriable, Retriable, Abortable, Rebalanced, Fatal],
        Step::Consume | Step::StandBy | Step::Stage => &[Retriable, Abortable, Fatal],
        Step::CreateTopic | Step::Session | Step::Accept | Step::LoadOffsets | Step::LoadState => &[Retriable, Fatal],
        Step::Release | Step::Abort | Step::Close => &[Fatal],
    };
    let drawn = usize::try_from(drawn).unwrap_or(0);
    // A quarter of the failures are answers that get lost, another one such as come twice.
    match (drawn % 4, kinds.get(drawn / 4 % kinds.len())) {
        (0, _) | (_, None) => Fate::LoseAnswer(Fatal),
        (1, _) if may_be_repeated(step) => Fate::Twice,
        (_, Some(kind)) => Fate::Fail(kind.clone()),
    }
}
