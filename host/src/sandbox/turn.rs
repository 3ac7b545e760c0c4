//! Gives other tasks their turn: how long a task may hold a thread of the host, and for how long a guest that computes then
//! stands back.
//!
//! What counts is the time since a thread took the task up, whoever used it: the guest, or the host for it. Between calls a
//! task that has had enough goes to the end of the queue. A guest that computes is interrupted at every tick of the
//! engine's clock. If it only went to the end of the queue, it would get a whole tick for every short call of its
//! neighbours, which is most of a thread. So it stands back for a multiple of what it took, for as long as others have
//! something to do; if nobody has, it goes on at once.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many times as long as it held the thread a guest stands back, while others want it. It bounds what a guest that
/// computes can take from others, to about a tenth of a thread, and what it loses by others: its call still ends within
/// eleven times the time it needs.
const SHARE: u32 = 10;
/// A round in which others ran for less than this was not asked for: the thread looked for work and found next to none.
const IDLE: Duration = Duration::from_micros(30);

thread_local! {
    /// When this thread took up the task that it runs.
    static TAKEN_UP: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs a task that takes turns with others: what its guests and the host do for it counts from here.
pub async fn taking_turns<F: Future>(task: F) -> F::Output {
    let mut task = pin!(task);
    poll_fn(|context| {
        let before = TAKEN_UP.replace(Some(Instant::now()));
        let polled = task.as_mut().poll(context);
        TAKEN_UP.set(before);
        polled
    })
    .await
}

/// How long the thread has been held by the task that it runs.
fn held(now: Instant) -> Option<Duration> {
    TAKEN_UP.get().map(|since| now.saturating_duration_since(since))
}

/// Goes to the end of the queue if the task has held the thread for long enough.
pub(super) async fn pass_on(enough: Duration) {
    if held(Instant::now()).is_some_and(|held| held >= enough) {
        tokio::task::yield_now().await;
    }
}

/// How long an instance holds its thread in calls. Only the task that runs the instance writes; it is shared with that
/// task's own future, which is why it is atomic.
#[derive(Debug)]
pub(super) struct Turn {
    origin: Instant,
    /// When the thread took the instance up, in nanoseconds since `origin`.
    since: AtomicU64,
    /// How long it held the thread in the call in progress, up to the last time it let go.
    busy: AtomicU64,
}

impl Turn {
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, since: AtomicU64::new(0), busy: AtomicU64::new(0) }
    }

    /// Runs a call, and returns how long it held the thread.
    pub(super) async fn time<F: Future>(&self, call: F) -> (F::Output, Duration) {
        self.busy.store(0, Ordering::Relaxed);
        let mut call = pin!(call);
        let output = poll_fn(|context| {
            self.since.store(self.at(Instant::now()), Ordering::Relaxed);
            let polled = call.as_mut().poll(context);
            self.busy.fetch_add(self.held(Instant::now()), Ordering::Relaxed);
            polled
        })
        .await;
        (output, Duration::from_nanos(self.busy.load(Ordering::Relaxed)))
    }

    /// Stands back from inside a call that is interrupted.
    pub(super) fn stand_back(self: &Arc<Self>, now: Instant) -> impl Future<Output = ()> + Send + 'static {
        // An instance may also be run by what takes no turns.
        let took = held(now).unwrap_or_else(|| Duration::from_nanos(self.held(now)));
        async move {
            let mut pause = Pause::after(took);
            let mut before = Instant::now();
            loop {
                tokio::task::yield_now().await;
                let now = Instant::now();
                if !pause.goes_on(now - before) {
                    break;
                }
                before = now;
            }
        }
    }

    fn at(&self, now: Instant) -> u64 {
        // Five hundred years fit.
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    fn held(&self, now: Instant) -> u64 {
        self.at(now).saturating_sub(self.since.load(Ordering::Relaxed))
    }
}

/// For how long to stand back.
#[derive(Debug, PartialEq, Eq)]
struct Pause {
    left: Duration,
}

impl Pause {
    fn after(took: Duration) -> Self {
        Self { left: took * SHARE }
    }

    /// Takes note of a round in which others had the thread for so long. Whether to let them have another one.
    fn goes_on(&mut self, others: Duration) -> bool {
        self.left = self.left.saturating_sub(others);
        others >= IDLE && !self.left.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nobody_else_wants_to_run() {
        assert!(!Pause::after(5 * MS).goes_on(Duration::from_micros(2)));
    }

    #[test]
    fn others_have_their_multiple_and_no_more() {
        let mut pause = Pause::after(2 * MS);
        let rounds = std::iter::from_fn(|| pause.goes_on(MS).then_some(())).count();
        assert_eq!(rounds + 1, 2 * SHARE as usize);
    }

    #[test]
    fn it_ends_as_soon_as_others_are_done() {
        let mut pause = Pause::after(5 * MS);
        assert!(pause.goes_on(MS));
        assert!(pause.goes_on(MS));
        assert!(!pause.goes_on(Duration::from_micros(3)));
    }

    fn spin(time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn waiting_is_not_holding() {
        let turn = Turn::new(Instant::now());
        let ((), busy) = turn.time(tokio::time::sleep(20 * MS)).await;
        assert!(busy < 10 * MS, "{busy:?}");
        let ((), busy) = turn.time(async { spin(3 * MS) }).await;
        assert!(busy >= 3 * MS, "{busy:?}");
    }

    #[tokio::test]
    async fn a_turn_begins_anew_when_it_was_passed_on() {
        assert_eq!(held(Instant::now()), None);
        taking_turns(async {
            let started = Instant::now();
            spin(3 * MS);
            assert!(held(Instant::now()) >= Some(3 * MS));
            pass_on(3 * MS).await;
            let now = Instant::now();
            assert!(held(now).is_some_and(|held| held + 3 * MS <= now - started));
        })
        .await;
        assert_eq!(held(Instant::now()), None);
    }

    #[tokio::test]
    async fn only_who_has_had_enough_passes_on() {
        let mut little = pin!(taking_turns(pass_on(MS * 1000)));
        assert!(poll_fn(|context| std::task::Poll::Ready(little.as_mut().poll(context).is_ready())).await);
        let mut enough = pin!(taking_turns(pass_on(Duration::ZERO)));
        assert!(!poll_fn(|context| std::task::Poll::Ready(enough.as_mut().poll(context).is_ready())).await);
        enough.await;
    }
}
