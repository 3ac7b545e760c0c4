//! Apache Kafka under fire: the host is killed at every step, the broker goes away, the network breaks. Nothing is lost,
//! nothing doubled, the state is right. `make fire` runs it at full size; see docs/testing.md.

mod disk;
mod guest;
mod kills;
mod outages;
mod poison;
mod proxy;
mod takeovers;
mod waiting;
mod workers;

use anyhow::Result;
use sandbar_tests::fire;

/// The name of the test below, by which this program is started again as the host.
const HOST: &str = "host";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the host that the other tests start"]
async fn host() -> Result<()> {
    fire::run_host().await
}
