//! A cluster that does not answer, and one that is described wrongly: an error in time that says why, and no hanging.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::kafka::{KafkaBroker, KafkaOptions};
use sandbar::broker::{Broker as _, BrokerErrorKind, Input, SessionSpec, TopicSettings, Topics};

/// Nobody listens on this port.
const NOWHERE: &str = "127.0.0.1:1";
/// A session that cannot be opened says so within about ten seconds; a loaded machine may be slower.
const SOON: Duration = Duration::from_secs(20);

fn spec(input: Option<Input>) -> SessionSpec {
    SessionSpec {
        worker_group: "workers".into(),
        connector: "lonely".into(),
        task: 0,
        input,
        topic_settings: TopicSettings::default(),
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: Duration::from_secs(10),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_down_is_worth_another_try() -> Result<()> {
    let broker = KafkaBroker::new(KafkaOptions::new(NOWHERE))?;
    ensure!(broker.describe().contains(NOWHERE), "{}", broker.describe());
    let topics = Topics::Names(vec!["in".into()]);
    for input in [None, Some(Input { group: "connect-lonely".into(), topics })] {
        let started = Instant::now();
        let error = broker.session(spec(input)).await.err().context("a session on no cluster")?;
        assert_eq!(error.kind, BrokerErrorKind::Retriable, "{error}");
        ensure!(error.message.contains("refused"), "the reason is missing: {error}");
        ensure!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn overrides_that_would_break_exactly_once_are_refused() -> Result<()> {
    let broker = KafkaBroker::new(KafkaOptions::new(NOWHERE))?;
    let mut wrong = spec(None);
    wrong.producer_overrides.insert("enable.idempotence".into(), "false".into());
    let error = broker.session(wrong).await.err().context("idempotence was switched off")?;
    assert_eq!(error.kind, BrokerErrorKind::Fatal, "{error}");
    ensure!(error.message.contains("producer.override.enable.idempotence"), "{error}");
    Ok(())
}

#[test]
fn a_property_that_librdkafka_does_not_know_is_named() -> Result<()> {
    let mut options = KafkaOptions::new(NOWHERE);
    options.properties.insert("sasl.jaas.config".into(), "secret".into());
    let error = KafkaBroker::new(options).err().context("librdkafka knows no JAAS")?;
    assert_eq!(error.kind, BrokerErrorKind::Fatal, "{error}");
    ensure!(error.message.contains("sasl.jaas.config") && !error.message.contains("secret"), "{error}");
    Ok(())
}
