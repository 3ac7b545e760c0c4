//! A topic that gets more partitions while it is in use: whoever looks is told of all of them.

use anyhow::{Context as _, Result, anyhow, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use sandbar::broker::{ReadFrom, ReadSpec, TopicPartition, Topics};
use sandbar_tests::contract::{Fixture, output};
use sandbar_tests::wait::{self, Seen};

async fn grow(topic: &str, to: usize) -> Result<()> {
    let servers = sandbar_tests::kafka::bootstrap().context("there is a cluster")?;
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().context("a client")?;
    let grown = client.create_partitions(&[NewPartitions::new(topic, to)], &AdminOptions::new()).await?;
    grown.into_iter().try_for_each(|one| one.map(drop).map_err(|(topic, code)| anyhow!("{topic}: {code}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_new_are_seen() -> Result<()> {
    let Some(broker) = crate::kafka().await? else { return Ok(()) };
    let fixture = Fixture::new(broker);
    let topic = fixture.topic("growing", 1).await?;
    let group = fixture.name("group");
    let one = output(&topic, |frame| {
        frame.record(None, Some(b"one"));
    })?;
    fixture.write(one).await?;
    let topics = Topics::Names(vec![topic.clone()]);
    let administration = fixture.broker().administration();
    let second = TopicPartition::new(topic.as_str(), 1);
    assert_eq!(administration.ranges(&topics).await?.len(), 1);

    grow(&topic, 2).await?;
    // The brokers hear of it a moment later.
    let ranges = wait::until("both partitions are seen", wait::WITHIN, async || {
        let ranges = administration.ranges(&topics).await?;
        Ok(if ranges.len() == 2 { Seen::Done(ranges) } else { Seen::NotYet(format!("{ranges:?}")) })
    })
    .await?;
    assert!(ranges.contains(&(second.clone(), (0, 0))), "{ranges:?}");
    // Who has written to the topic as it was goes on so; what others write to what is new is read.
    let spec = ReadSpec { topic: topic.clone(), partitions: Some(vec![1]), from: ReadFrom::Beginning };
    ensure!(fixture.broker().reader(spec).await?.at_end(), "nothing is in it yet");
    administration.set_group_offsets(&group, &topics, vec![(second.clone(), Some(0))]).await?;
    let stands = administration.group_offsets(&group, &topics).await?;
    assert_eq!(stands.iter().map(|at| &at.partition).collect::<Vec<_>>(), [&second]);
    Ok(())
}
