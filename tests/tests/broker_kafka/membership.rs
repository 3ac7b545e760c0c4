//! The other ways to be a member of a group: by the protocol in which the brokers assign, and as a static member.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use sandbar::broker::kafka::{KafkaBroker, KafkaOptions};
use sandbar::broker::{BatchLimits, Broker, Consumed, SessionSpec};
use sandbar_tests::contract::{Fixture, Task, within};

/// What is asked for at once, and for how long.
const LIMITS: BatchLimits = BatchLimits { records: 1, bytes: 1 };
const WAIT: Duration = Duration::from_millis(100);

/// One broker object for all tests, as a worker has one.
static BROKER: OnceLock<Arc<dyn Broker>> = OnceLock::new();

async fn consumer_protocol() -> Result<Option<Arc<dyn Broker>>> {
    let servers = sandbar_tests::kafka_or_skip!(Ok(None));
    let mut options = KafkaOptions::new(servers);
    options.properties.insert("group.protocol".to_owned(), "consumer".to_owned());
    let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::new(options)?);
    Ok(Some(Arc::clone(BROKER.get_or_init(|| broker))))
}

mod assigned_by_the_brokers {
    sandbar_tests::contract_cases! { super::consumer_protocol;
        groups::two_sessions_share_the_partitions,
        groups::a_partition_moves_only_once_released,
        groups::a_new_group_begins_at_the_earliest_record,
        groups::a_session_may_begin_at_its_own_offsets,
        groups::a_pattern_picks_new_topics_up,
        standing_by::a_session_that_stands_by_lets_partitions_go,
        standing_by::what_comes_while_a_session_stands_by_waits_for_it,
        standing_by::a_partition_that_comes_back_is_read_on,
        standing_by::what_came_meanwhile_may_begin_at_its_own_offsets,
        transactions::a_newer_session_fences_the_older,
        transactions::a_restart_resumes_at_the_last_commit,
        state::partition_state_moves_with_the_partition,
    }
}

/// A member that was not answered yet is told from one that has nothing to do, also where the answer is that it gets nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_joins_until_its_group_has_answered() -> Result<()> {
    let Some(broker) = crate::kafka().await? else { return Ok(()) };
    let fixture = Fixture::new(broker);
    let topic = fixture.topic("joining", 1).await?;
    let mut owner = Task::open(&fixture, fixture.sink("joining", 0, &topic)).await?;
    let first = owner.session.consume(LIMITS, Duration::ZERO).await?;
    ensure!(matches!(first, Consumed::Joining), "{first:?}");
    owner.until_owned(1).await?;
    let mut other = Task::open(&fixture, fixture.sink("joining", 1, &topic)).await?;
    within("be answered", async {
        loop {
            let next = owner.session.consume(LIMITS, WAIT).await?;
            ensure!(matches!(next, Consumed::Idle), "the owner of the only partition: {next:?}");
            match other.session.consume(LIMITS, WAIT).await? {
                Consumed::Joining => {}
                Consumed::Idle => return Ok(()),
                news => bail!("there is nothing for it: {news:?}"),
            }
        }
    })
    .await?;
    other.close().await?;
    owner.close().await?;
    Ok(())
}

/// One that goes without a word has as many partitions when it returns, long before anybody misses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_that_returns_is_not_missed() -> Result<()> {
    let Some(broker) = crate::kafka().await? else { return Ok(()) };
    let fixture = Fixture::new(broker);
    let topic = fixture.topic("static", 4).await?;
    let spec = |task| static_member(&fixture, task, &topic);
    let mut stays = Task::open(&fixture, spec(0)).await?;
    stays.until_owned(4).await?;
    let mut returns = Task::open(&fixture, spec(1)).await?;
    until_split(&mut stays, &mut returns).await?;
    drop(returns);
    let mut returned = Task::open(&fixture, spec(1)).await?;
    // Sooner than it would be missed: that is longer than any wait here.
    until_split(&mut stays, &mut returned).await?;
    stays.close().await?;
    returned.close().await?;
    Ok(())
}

/// One that goes while it is asked to let go takes nothing with it: what was on its way arrives when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_on_its_way_from_a_static_member_arrives() -> Result<()> {
    let Some(broker) = crate::kafka().await? else { return Ok(()) };
    let fixture = Fixture::new(broker);
    let topic = fixture.topic("on-its-way", 4).await?;
    let spec = |task| static_member(&fixture, task, &topic);
    let mut goes = Task::open(&fixture, spec(0)).await?;
    goes.until_owned(4).await?;
    let mut comes = Task::open(&fixture, spec(1)).await?;
    within("be asked to let go", async {
        loop {
            if let Consumed::Revoked(_) = goes.session.consume(LIMITS, WAIT).await? {
                return Ok(());
            }
            comes.step().await?;
        }
    })
    .await?;
    drop(goes);
    let mut back = Task::open(&fixture, spec(0)).await?;
    until_split(&mut back, &mut comes).await?;
    back.close().await?;
    comes.close().await?;
    Ok(())
}

/// A static member that is missed after longer than a case may wait for anything.
fn static_member(fixture: &Fixture, task: u32, topic: &str) -> SessionSpec {
    let overrides = [("group.instance.id", fixture.name("member")), ("session.timeout.ms", "120000".to_owned())];
    SessionSpec {
        consumer_overrides: BTreeMap::from(overrides.map(|(key, value)| (key.to_owned(), value))),
        ..fixture.sink("static", task, topic)
    }
}

/// Steps until each of two tasks has two of four partitions.
async fn until_split(one: &mut Task, other: &mut Task) -> Result<()> {
    within("split the partitions", async {
        while (one.owned.len(), other.owned.len()) != (2, 2) {
            one.step().await?;
            other.step().await?;
        }
        Ok(())
    })
    .await
}
