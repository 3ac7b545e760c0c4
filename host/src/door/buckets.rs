//! How often each client may do something: token buckets, as many as there are and never more.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::caller::neighbourhood;

/// How many buckets there are. Clients whose addresses fall into the same one share it; which do, nobody outside can
/// tell. An array of them takes 64 KiB, whoever comes.
const BUCKETS: usize = 8192;

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// How many at once, at least one.
    pub(super) burst: u32,
    /// How long until one more.
    pub(super) each: Duration,
}

impl Rate {
    fn full(self) -> u64 {
        nanos(self.each).saturating_mul(self.burst.max(1).into()).min(FAR)
    }
}

/// A bucket for each client, or nearly.
#[derive(Debug)]
pub(super) struct Buckets {
    rate: Rate,
    start: Instant,
    which: RandomState,
    /// Until when each bucket fills up, in nanoseconds since `start`; the past means that it is full.
    full_at: Box<[AtomicU64]>,
}

impl Buckets {
    /// Buckets that are full.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let full_at = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { rate, start: now, which: RandomState::new(), full_at }
    }

    /// Takes one, or says how long until there is one.
    pub(super) fn take(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let (now, full) = (self.since(now), self.rate.full());
        let less = |full_at: u64| {
            let next = full_at.max(now) + nanos(self.rate.each);
            (next <= now + full).then_some(next)
        };
        let taken = self.bucket(client).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(drop).map_err(|full_at| self.wait(full_at, now))
    }

    /// Whether there is one to take; if not, how long until there is.
    pub(super) fn look(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let now = self.since(now);
        match self.wait(self.bucket(client).load(Ordering::Relaxed), now) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Puts one back that was taken.
    pub(super) fn give_back(&self, client: IpAddr) {
        let more = |full_at: u64| Some(full_at.saturating_sub(nanos(self.rate.each)));
        // It always has something to put there.
        let _ = self.bucket(client).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn wait(&self, full_at: u64, now: u64) -> Duration {
        let next = full_at.max(now) + nanos(self.rate.each);
        Duration::from_nanos(next.saturating_sub(now + self.rate.full()))
    }

    fn bucket(&self, client: IpAddr) -> &AtomicU64 {
        let at = self.which.hash_one(neighbourhood(client)) % BUCKETS as u64;
        &self.full_at[at as usize]
    }

    fn since(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start))
    }
}

/// The longest time that counts, in nanoseconds: 146 years. Four of them can be added.
const FAR: u64 = u64::MAX / 4;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(FAR).min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const RATE: Rate = Rate { burst: 3, each: Duration::from_millis(100) };

    #[test]
    fn a_burst_is_taken_at_once_and_what_follows_at_the_rate() {
        let start = Instant::now();
        let buckets = Buckets::new(RATE, start);
        for _ in 0..3 {
            assert_eq!(buckets.look(CLIENT, start), Ok(()));
            assert_eq!(buckets.take(CLIENT, start), Ok(()));
        }
        assert_eq!(buckets.take(CLIENT, start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_millis(60);
        assert_eq!(buckets.look(CLIENT, later), Err(Duration::from_millis(40)));
        let later = start + Duration::from_millis(100);
        assert_eq!(buckets.take(CLIENT, later), Ok(()));
        assert_eq!(buckets.take(CLIENT, later), Err(Duration::from_millis(100)));
    }

    #[test]
    fn no_more_than_a_burst_is_saved_up() {
        let start = Instant::now();
        let buckets = Buckets::new(RATE, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| buckets.take(CLIENT, later).is_ok()).count(), 3);
    }

    #[test]
    fn what_is_put_back_can_be_taken_again_and_no_more() {
        let start = Instant::now();
        let buckets = Buckets::new(RATE, start);
        buckets.give_back(CLIENT);
        assert_eq!((0..10).filter(|_| buckets.take(CLIENT, start).is_ok()).count(), 3);
        buckets.give_back(CLIENT);
        assert_eq!((0..10).filter(|_| buckets.take(CLIENT, start).is_ok()).count(), 1);
    }

    #[test]
    fn a_client_that_asks_too_much_leaves_the_others_alone() {
        let start = Instant::now();
        let buckets = Buckets::new(RATE, start);
        while buckets.take(CLIENT, start).is_ok() {}
        let others = (0..200_u8).map(|last| IpAddr::from([192, 168, 0, last]));
        // One may share the bucket; that it is ten has less than one chance in 10^22.
        assert!(others.filter(|other| buckets.take(*other, start).is_err()).count() < 10);
    }
}
