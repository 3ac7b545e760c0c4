//! How far connectors are behind their input: looked up now and then, so that no answer waits for a broker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::debug;

use super::app::App;
use crate::broker::{Administration, BrokerError, Input, TopicPartition};
use crate::config::ConnectorSettings;

/// How often it is looked up.
const EVERY: Duration = Duration::from_secs(5);

/// Records that are still to be consumed, by connector. Clones are the same.
#[derive(Clone, Default)]
pub struct Lags(Arc<Mutex<BTreeMap<String, u64>>>);

impl Lags {
    /// How far a connector is behind, where that is known.
    pub(super) fn of(&self, connector: &str) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(connector).copied()
    }

    fn replace(&self, all: BTreeMap<String, u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

/// Looks it up until it is dropped.
pub(super) async fn follow(app: App) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let connectors = app.status().borrow().connectors.clone();
        let mut all = BTreeMap::new();
        for connector in connectors {
            let Some(input) = connector.settings.as_deref().and_then(ConnectorSettings::input) else { continue };
            match lag(app.broker.administration(), &input).await {
                Ok(lag) => drop(all.insert(connector.name, lag)),
                Err(error) => debug!(connector = %connector.name, "its lag is not known: {error}"),
            }
        }
        app.lags.replace(all);
    }
}

/// A partition of which nothing was committed is read from its beginning.
async fn lag(broker: &dyn Administration, input: &Input) -> Result<u64, BrokerError> {
    let ranges = broker.ranges(&input.topics).await?;
    let committed = broker.group_offsets(&input.group, &input.topics).await?;
    let committed: BTreeMap<TopicPartition, i64> = committed.into_iter().map(|at| (at.partition, at.offset)).collect();
    let behind = |(at, (start, end)): (TopicPartition, (i64, i64))| {
        let next = committed.get(&at).copied().unwrap_or(start).max(start);
        u64::try_from(end - next).unwrap_or(0)
    };
    Ok(ranges.into_iter().map(behind).sum())
}
