//! The load of the proofs: a source that numbers its records, a transform whose state counts words, and the proof that
//! both ends agree.

use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar::broker::Broker;
use serde_json::json;

use super::{Scale, Victim};
use crate::scenario::Home;
use crate::wait::{self, Seen};
use crate::{checks, topics};

/// Partitions of both topics.
const PARTITIONS: i32 = 4;
/// The words have so many letters; what is shorter, the records' numbers, is not counted.
const LETTERS: usize = 8;
/// How long the rest may take after the last fault: a tenth of the records, behind a task that waits for a minute before
/// it starts again.
const REST: Duration = Duration::from_secs(900);

/// The topics and connectors of one scenario.
pub struct Load {
    lines: String,
    counts: String,
    count: String,
    records: u32,
}

impl Load {
    /// Defines the connectors. The source makes so many records a second.
    pub fn define(home: &Home, scale: Scale, rate: u32) -> Result<Self> {
        Self::define_as(home, "lines", scale, rate)
    }

    /// The same, with a source that goes by this name.
    pub fn define_as(home: &Home, source: &str, scale: Scale, rate: u32) -> Result<Self> {
        let (lines, counts) = (home.name(source), home.name("counts"));
        home.install(&["datagen", "word-count"])?;
        home.define(
            source,
            &json!({
                "connector.class": "datagen",
                "topic": lines,
                "topic.creation.default.partitions": PARTITIONS,
                "count": scale.records,
                "rate": rate,
                "key": "{{int 0 999}}",
                "template": "{{seq}} {{pick absolute breaking champion daughter elephant fountain graphics hospital}}",
                "commit.interval.ms": 100,
                // Above any outage of a broker: see docs/delivery.md, "A cluster of one broker".
                "producer.override.transaction.timeout.ms": 60_000,
            }),
        )?;
        home.define(
            "count",
            &json!({
                "connector.class": "word-count",
                "tasks.max": 2,
                "topics": lines,
                "topic": counts,
                "topic.creation.default.partitions": PARTITIONS,
                "min.length": LETTERS,
                "commit.interval.ms": 100,
                "producer.override.transaction.timeout.ms": 60_000,
                // A killed member is missed after this long, and the others wait for it.
                "consumer.override.session.timeout.ms": 2_000,
                "consumer.override.heartbeat.interval.ms": 500,
            }),
        )?;
        Ok(Self { lines, counts, count: home.name("count"), records: scale.records })
    }

    /// How many records the transform has committed in this life of the host.
    #[must_use]
    pub fn counted(&self, host: &Victim) -> u64 {
        host.committed(&self.count)
    }

    /// Waits until the transform has begun to write, as one that is about to disturb it wants it to.
    pub async fn until_flowing(&self, home: &Home) -> Result<()> {
        let broker = home.broker().await?;
        self.reader(&*broker).await.map(drop)
    }

    /// A reader of what the transform writes, once it has begun to: the topic is made for its first record.
    async fn reader(&self, broker: &dyn Broker) -> Result<topics::Counter> {
        wait::until("the first records came through", REST, async || {
            let reader = topics::Counter::open(broker, &self.counts).await?;
            Ok(reader.map_or_else(|| Seen::NotYet("nothing is written yet".to_owned()), Seen::Done))
        })
        .await
    }

    /// Waits until every record has come out of the transform, as a reader of committed records sees it.
    pub async fn finish(&self, home: &Home, hosts: &mut [&mut Victim]) -> Result<()> {
        let broker = home.broker().await?;
        let mut counted = 0;
        let mut reader = self.reader(&*broker).await?;
        wait::until("all records came through", REST, async || {
            for host in hosts.iter_mut() {
                ensure!(host.ended()?.is_none(), "a host ended");
            }
            counted += reader.more().await?;
            Ok(Seen::when(counted >= u64::from(self.records), || format!("{counted} of {}", self.records)))
        })
        .await
    }

    /// Proves that both ends agree, once the host has ended: the source's numbers are all there once and in order, each
    /// word was told of as often as it came and in order, and the state is what the words lead to.
    pub async fn check(&self, home: &Home) -> Result<()> {
        let broker = home.broker().await?;
        checks::numbered_lines(&*broker, &self.lines, self.records, PARTITIONS).await?;
        let model = checks::count(&*broker, &self.lines, LETTERS).await?;
        checks::check_updates(&*broker, &self.counts, &model).await?;
        checks::check_state(&*broker, &home.config()?.group_id, &self.count, &self.lines, &model).await
    }
}
