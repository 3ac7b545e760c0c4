//! Waiting for a condition, with a limit. No test waits for time to pass.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The longest any condition may take to come true, unless a test says otherwise. A rebalance of a Kafka group takes
/// seconds, on a busy machine many.
pub const WITHIN: Duration = Duration::from_secs(90);

/// How often a condition is looked at: often enough to act in the middle of things, seldom enough to cost nothing.
const LOOK: Duration = Duration::from_millis(10);

/// What a look at the world found.
pub enum Seen<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; how far it is, for the message if the limit is reached.
    NotYet(String),
}

impl Seen<()> {
    /// Done if so.
    pub fn when(done: bool, how_far: impl FnOnce() -> String) -> Self {
        if done { Self::Done(()) } else { Self::NotYet(how_far()) }
    }
}

/// Looks until `look` has seen what it looks for.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<Seen<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look().await.with_context(|| format!("wait until {what}"))? {
            Seen::Done(found) => return Ok(found),
            Seen::NotYet(how_far) if Instant::now() >= deadline => {
                bail!("not within {limit:?}: {what}; at last: {how_far}")
            }
            Seen::NotYet(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Looks for a while whether there is something to be seen. It may never come.
pub async fn at_most<T>(patience: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let deadline = Instant::now() + patience;
    loop {
        match look().await? {
            None if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            outcome => return Ok(outcome),
        }
    }
}
