//! Gives other tasks their turn: how long a guest may hold a thread of the host, and for how long it then stands back.
//!
//! A guest that computes is interrupted at every tick of the engine's clock. If it only went to the end of the queue, it
//! would get a whole tick for every short call of its neighbours, which is most of a thread. So it stands back for a
//! multiple of what it took, for as long as others have something to do; if nobody has, it goes on at once.

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

/// How long an instance holds its thread. Only the task that runs the instance writes; it is shared with that task's
/// own future, which is why it is atomic.
#[derive(Debug)]
pub(super) struct Turn {
    origin: Instant,
    /// When the thread took the instance up, in nanoseconds since `origin`.
    since: AtomicU64,
    /// How long it held the thread in the call in progress, up to the last time it let go.
    busy: AtomicU64,
    /// How long it held the thread since it last stood back, up to the last time it let go.
    ran: AtomicU64,
}

impl Turn {
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, since: AtomicU64::new(0), busy: AtomicU64::new(0), ran: AtomicU64::new(0) }
    }

    /// Runs a call, and returns how long it held the thread.
    pub(super) async fn time<F: Future>(&self, call: F) -> (F::Output, Duration) {
        self.busy.store(0, Ordering::Relaxed);
        let mut call = pin!(call);
        let output = poll_fn(|context| {
            self.since.store(self.at(Instant::now()), Ordering::Relaxed);
            let polled = call.as_mut().poll(context);
            let held = self.held(Instant::now());
            self.busy.fetch_add(held, Ordering::Relaxed);
            self.ran.fetch_add(held, Ordering::Relaxed);
            polled
        })
        .await;
        (output, Duration::from_nanos(self.busy.load(Ordering::Relaxed)))
    }

    /// Stands back from inside a call that is interrupted.
    pub(super) fn stand_back(self: &Arc<Self>, now: Instant) -> impl Future<Output = ()> + Send + 'static {
        let turn = Arc::clone(self);
        let ran = self.ran.load(Ordering::Relaxed) + self.held(now);
        async move {
            let mut pause = Pause::after(Duration::from_nanos(ran));
            let mut before = Instant::now();
            loop {
                tokio::task::yield_now().await;
                let now = Instant::now();
                if !pause.goes_on(now - before) {
                    break;
                }
                before = now;
            }
            turn.ran.store(0, Ordering::Relaxed);
        }
    }

    /// Goes to the end of the queue where calls that were not interrupted have held the thread for long enough together.
    pub(super) async fn pass_on(&self, enough: Duration) {
        if Duration::from_nanos(self.ran.load(Ordering::Relaxed)) >= enough {
            self.ran.store(0, Ordering::Relaxed);
            tokio::task::yield_now().await;
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
    fn after(ran: Duration) -> Self {
        Self { left: ran * SHARE }
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

    #[tokio::test]
    async fn waiting_is_not_holding() {
        let turn = Arc::new(Turn::new(Instant::now()));
        let ((), busy) = turn.time(tokio::time::sleep(20 * MS)).await;
        assert!(busy < 10 * MS, "{busy:?}");
        let spin = async {
            let started = Instant::now();
            while started.elapsed() < 3 * MS {
                std::hint::spin_loop();
            }
        };
        let ((), busy) = turn.time(spin).await;
        assert!(busy >= 3 * MS, "{busy:?}");
        assert!(turn.ran.load(Ordering::Relaxed) >= 3_000_000);
        turn.pass_on(MS).await;
        assert_eq!(turn.ran.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn standing_back_pays_for_what_was_taken() {
        let turn = Arc::new(Turn::new(Instant::now()));
        turn.ran.store(1_000_000, Ordering::Relaxed);
        turn.stand_back(turn.origin).await;
        assert_eq!(turn.ran.load(Ordering::Relaxed), 0);
    }
}
