//! A cluster that was restarted: what was known of it is out of date, and is asked for anew.

use anyhow::{Result, ensure};
use sandbar::broker::kafka::{KafkaBroker, KafkaOptions};
use sandbar_tests::own_kafka::OwnKafka;
use sandbar_tests::topics;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_found_after_a_restart() -> Result<()> {
    // Where the suite has no Kafka, its jars may not be there either.
    sandbar_tests::kafka_or_skip!(Ok(()));
    let kafka = OwnKafka::start("restarted", &[])?;
    let broker = KafkaBroker::new(KafkaOptions::new(kafka.bootstrap()))?;
    topics::create(&broker, "numbers", 4).await?;
    topics::write_values(&broker, "numbers", ["1", "2", "3"]).await?;
    ensure!(topics::read(&broker, "numbers").await?.len() == 3);
    // Partitions have leaders of another epoch now, which the client has not heard of.
    kafka.halt()?;
    kafka.revive()?;
    let rows = topics::read(&broker, "numbers").await?;
    ensure!(rows.len() == 3, "{rows:?}");
    Ok(())
}
