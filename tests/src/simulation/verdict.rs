//! Whether all is where it belongs: once, in order, and with the state that it leads to.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sandbar::broker::{BatchLimits, Broker, Consumed, Input, SessionSpec, TopicSettings, Topics};
use sandbar::config::WorkerConfig;

use super::scenario::{COUNTS, DEAD, KEPT, LETTERS, LINES, Scenario};
use crate::checks::{self, Numbered};
use crate::faults::Fates;
use crate::files::{self, Lines};
use crate::topics;

/// How long a group is asked whether it has anything left to read.
const QUIET: Duration = Duration::from_millis(10);

/// What is not where it belongs yet.
pub(super) async fn missing(broker: &dyn Broker, scenario: &Scenario, fates: &Fates) -> Result<Option<String>> {
    let ends: BTreeMap<String, i64> = broker
        .topics()
        .await?
        .into_iter()
        .map(|topic| (topic.name, topic.partitions.iter().map(|(_, end)| end).sum()))
        .collect();
    let (lines, updates) = (i64::from(scenario.lines()), i64::from(scenario.updates()));
    for (topic, due) in [(LINES, lines), (COUNTS, updates), (KEPT, lines - 1), (DEAD, 1)] {
        let end = ends.get(topic).copied().unwrap_or(0);
        if end < due {
            return Ok(Some(format!("{topic} holds {end} records of {due}")));
        }
    }
    if !scenario.two_hosts {
        let written = i64::try_from(Lines::of(scenario.archive()).count()?)?;
        if written < updates {
            return Ok(Some(format!("{written} lines are written of {updates}")));
        }
    }
    for (connector, topic) in readers(scenario) {
        let (position, end) = (fates.position(&group(connector), topic), ends.get(topic).copied().unwrap_or(0));
        if position < end {
            return Ok(Some(format!("{connector} has committed {position} of {end} records of {topic}")));
        }
    }
    Ok(None)
}

/// The connectors that consume, and what.
fn readers(scenario: &Scenario) -> Vec<(&'static str, &'static str)> {
    let mut readers = vec![("count", LINES), ("sieve", LINES)];
    if !scenario.two_hosts {
        readers.push(("archive", COUNTS));
    }
    readers
}

fn group(connector: &str) -> String {
    format!("connect-{connector}")
}

/// Reads both ends of everything, after all hosts have stopped.
pub(super) async fn check(broker: &dyn Broker, scenario: &Scenario, fates: &Fates) -> Result<()> {
    fates.note("everything is checked");
    let [a, b] = scenario.records;
    let lines = checks::read(broker, LINES, scenario.partitions).await?;
    checks::complete("the sources", &lines, &[('a', a), ('b', b)])?;

    let model = checks::count(broker, LINES, LETTERS).await?;
    checks::check_updates(broker, COUNTS, &model).await.context("the counts")?;
    let worker = WorkerConfig::default();
    checks::check_state(broker, &worker.group_id, "count", LINES, &model).await?;

    let poison = Numbered { n: scenario.poison, s: 'b' };
    let kept = checks::read(broker, KEPT, scenario.partitions).await?;
    let mut due = lines;
    due.values_mut().for_each(|records| records.retain(|record| *record != poison));
    due.retain(|_, records| !records.is_empty());
    checks::same("what is kept", &due, &kept)?;
    let dead: Vec<_> = topics::read(broker, DEAD).await?.into_iter().filter_map(|row| row.value).collect();
    ensure!(dead == [scenario.poison()], "the dead letters are {dead:?} and not {:?}", scenario.poison());

    if !scenario.two_hosts {
        let rows = topics::read(broker, COUNTS).await?;
        for (partition, values) in topics::values_by_partition(&rows) {
            let written = files::lines_of(&scenario.archive(), partition)?;
            ensure!(values == written, "partition {partition} of the files:\n{written:?} and not\n{values:?}");
        }
    }
    for (connector, topic) in readers(scenario) {
        at_the_end(broker, connector, topic).await?;
    }
    Ok(())
}

/// Makes sure that a connector's group has nothing left to read: its offsets are where its topic ends.
async fn at_the_end(broker: &dyn Broker, connector: &str, topic: &str) -> Result<()> {
    let spec = SessionSpec {
        worker_group: "verdict".to_owned(),
        connector: connector.to_owned(),
        task: 0,
        input: Some(Input { group: group(connector), topics: Topics::Names(vec![topic.to_owned()]) }),
        topic_settings: TopicSettings::default(),
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: Duration::from_secs(10),
    };
    let mut session = broker.session(spec).await?;
    loop {
        match session.consume(BatchLimits { records: 1_000, bytes: 1 << 20 }, QUIET).await? {
            Consumed::Assigned(places) => {
                session.accept(places.into_iter().map(|place| (place, None)).collect()).await?
            }
            Consumed::Idle | Consumed::Joining => break,
            Consumed::Batches(left) => {
                let left: Vec<_> =
                    left.iter().map(|left| format!("{} before {}", left.partition, left.next_offset)).collect();
                bail!(
                    "{connector} has dealt with all of {topic}, but for its offsets there is more: {}",
                    left.join(", ")
                )
            }
            other => bail!("{other:?} for the one member of {connector}'s group"),
        }
    }
    Ok(session.close().await?)
}
