//! A cluster that was restarted: what was known of it is out of date, and is asked for anew.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar::broker::kafka::{KafkaBroker, KafkaOptions};
use sandbar::broker::{Broker as _, BrokerErrorKind, Commit, SessionSpec, SourceOffset, TopicSettings};
use sandbar_tests::own_kafka::OwnKafka;
use sandbar_tests::wait::{self, Seen};

fn spec() -> SessionSpec {
    SessionSpec {
        worker_group: "workers".into(),
        connector: "patient".into(),
        task: 0,
        input: None,
        topic_settings: TopicSettings::default(),
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: Duration::from_secs(60),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_loaded_after_a_restart() -> Result<()> {
    // Where the suite has no Kafka, its jars may not be there either.
    sandbar_tests::kafka_or_skip!(Ok(()));
    let kafka = OwnKafka::start("restarted", &[])?;
    let broker = KafkaBroker::new(KafkaOptions::new(kafka.bootstrap()))?;
    let mut session = broker.session(spec()).await?;
    let offset = SourceOffset { partition: r#"{"file":"a"}"#.into(), offset: Some(r#"{"line":7}"#.into()) };
    session.commit(Commit { source_offsets: vec![offset], ..Commit::default() }).await?;
    session.close().await?;
    let mut session = broker.session(spec()).await?;
    let before = session.load_offsets().await?;
    ensure!(before.len() == 1, "{before:?}");
    session.close().await?;

    // Partitions have leaders of another epoch now, which the broker's client has not heard of.
    kafka.halt()?;
    kafka.revive()?;
    // It may take a while to know its transactions again.
    let mut session = wait::until("a session opens", wait::WITHIN, async || match broker.session(spec()).await {
        Err(error) if error.kind == BrokerErrorKind::Retriable => Ok(Seen::NotYet(error.to_string())),
        session => Ok(Seen::Done(session?)),
    })
    .await?;
    let after = session.load_offsets().await?;
    ensure!(after == before, "{after:?}");
    session.close().await?;
    Ok(())
}
