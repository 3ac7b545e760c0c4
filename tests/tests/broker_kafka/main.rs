//! Tests of the Kafka broker: the contract, and what only Kafka has. Most need a cluster, which `SANDBAR_TEST_KAFKA`
//! names by its bootstrap servers.

mod contract;
mod formats;
mod growing;
mod membership;
mod restarted;
mod sessions;
mod unreachable;

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use sandbar::broker::Broker;
use sandbar::broker::kafka::{KafkaBroker, KafkaOptions};

/// One broker object for all tests, as a worker has one.
static BROKER: OnceLock<Arc<dyn Broker>> = OnceLock::new();

/// The broker under test, where there is one.
async fn kafka() -> Result<Option<Arc<dyn Broker>>> {
    let servers = sandbar_tests::kafka_or_skip!(Ok(None));
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::new(KafkaOptions::new(servers))?);
    Ok(Some(Arc::clone(BROKER.get_or_init(|| broker))))
}
