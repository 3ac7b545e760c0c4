//! What happened, in order: for people who look for the cause of a failure, and for a comparison of two runs.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

/// How many events are kept to be shown. All of them count in the digest.
const KEPT: usize = 3_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct History {
    events: VecDeque<String>,
    count: u64,
    digest: DefaultHasher,
}

impl History {
    /// Notes an event, so long after the beginning.
    pub fn note(&mut self, at: Duration, event: &str) {
        self.count += 1;
        self.digest.write_u128(at.as_nanos());
        self.digest.write(event.as_bytes());
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(format!("{:>10.3} {event}", at.as_secs_f64()));
    }

    /// How many events there were.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing happened yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A number that differs if anything differs.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} events, the last of them:", self.count)?;
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}
