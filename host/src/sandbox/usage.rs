//! What guests have used: calls, fuel, time, memory, host calls; counted over the instances that follow each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Counts what the instances of one stage use. The host keeps it, so it survives them.
#[derive(Debug, Default)]
pub struct Meter {
    calls: AtomicU64,
    fuel: AtomicU64,
    time: AtomicU64,
    busy: AtomicU64,
    host_calls: AtomicU64,
    memory_peak: AtomicU64,
}

/// What was used up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Calls into the plugin, of every kind.
    pub calls: u64,
    /// Fuel: about one unit an instruction, and what host calls are charged.
    pub fuel: u64,
    /// How long the calls lasted, waits included; milliseconds where it is written out.
    #[serde(rename = "time_ms", serialize_with = "millis")]
    pub time: Duration,
    /// How long they held a thread of the host; milliseconds where it is written out.
    #[serde(rename = "busy_ms", serialize_with = "millis")]
    pub busy: Duration,
    /// Calls of host functions, WASI's included.
    pub host_calls: u64,
    /// The most linear memory one instance has had, in bytes.
    pub memory_peak: u64,
}

impl Meter {
    /// Adds what a call used.
    pub(super) fn add(&self, used: &Usage) {
        self.calls.fetch_add(used.calls, Ordering::Relaxed);
        self.fuel.fetch_add(used.fuel, Ordering::Relaxed);
        self.time.fetch_add(nanos(used.time), Ordering::Relaxed);
        self.busy.fetch_add(nanos(used.busy), Ordering::Relaxed);
        self.host_calls.fetch_add(used.host_calls, Ordering::Relaxed);
        self.memory_peak.fetch_max(used.memory_peak, Ordering::Relaxed);
    }

    /// What was used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            fuel: self.fuel.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.time.load(Ordering::Relaxed)),
            busy: Duration::from_nanos(self.busy.load(Ordering::Relaxed)),
            host_calls: self.host_calls.load(Ordering::Relaxed),
            memory_peak: self.memory_peak.load(Ordering::Relaxed),
        }
    }
}

impl Usage {
    /// This and what others used. Peaks do not add up: they need not have been at the same time.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            fuel: self.fuel.saturating_add(other.fuel),
            time: self.time + other.time,
            busy: self.busy + other.busy,
            host_calls: self.host_calls + other.host_calls,
            memory_peak: self.memory_peak.max(other.memory_peak),
        }
    }
}

/// Five hundred years fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up_and_peaks_do_not() {
        let meter = Meter::default();
        let ms = Duration::from_millis;
        let one = Usage { calls: 1, fuel: 10, time: ms(3), busy: ms(2), host_calls: 4, memory_peak: 200 };
        let two = Usage { memory_peak: 100, ..one };
        meter.add(&one);
        meter.add(&two);
        let both = Usage { calls: 2, fuel: 20, time: ms(6), busy: ms(4), host_calls: 8, memory_peak: 200 };
        assert_eq!(meter.usage(), both);
        assert_eq!(one.and(two), both);
        let json = serde_json::to_value(both).unwrap();
        assert_eq!(json["time_ms"], 6);
        assert_eq!(json["busy_ms"], 4);
    }
}
