//! A member of the group of workers that runs nothing: it takes its share of the slots, answers the group, and goes again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sandbar::broker::{Input, SessionSpec, TopicPartition, TopicSettings, Topics};
use sandbar_tests::contract::{Fixture, Task, within};
use sandbar_tests::scenario::Home;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One that has come. It answers while nobody looks, too: a group that deals anew waits for all.
pub struct Guest {
    slots: watch::Receiver<BTreeSet<TopicPartition>>,
    stays: watch::Sender<bool>,
    played: JoinHandle<Result<()>>,
}

impl Guest {
    /// Comes, and waits until it holds so many slots.
    pub async fn come(home: &Home, fixture: &Fixture, slots: usize) -> Result<Self> {
        let task = Task::open(fixture, session(home)).await?;
        let ((told, held), (stays, goes)) = (watch::channel(BTreeSet::new()), watch::channel(true));
        let mut guest = Self { slots: held, stays, played: tokio::spawn(play(task, told, goes)) };
        let what = format!("hold {slots} slots");
        let dealt =
            within(&what, async { Ok(guest.slots.wait_for(|held| held.len() == slots).await.map(drop)) }).await?;
        match dealt {
            Ok(()) => Ok(guest),
            Err(_) => Err(guest.played.await?.err().context("it ended before it was told to")?),
        }
    }

    /// The slots it holds.
    pub fn slots(&self) -> BTreeSet<i32> {
        self.slots.borrow().iter().map(|held| held.partition).collect()
    }

    /// Goes, in good order.
    pub async fn go(self) -> Result<()> {
        self.stays.send_replace(false);
        self.played.await?
    }
}

async fn play(
    mut task: Task,
    told: watch::Sender<BTreeSet<TopicPartition>>,
    goes: watch::Receiver<bool>,
) -> Result<()> {
    while *goes.borrow() {
        task.step().await?;
        told.send_if_modified(|held| {
            let is_other = *held != task.owned;
            held.clone_from(&task.owned);
            is_other
        });
    }
    task.close().await.map(drop)
}

fn session(home: &Home) -> SessionSpec {
    SessionSpec {
        worker_group: home.name("guests"),
        connector: home.name("guest"),
        task: 0,
        input: Some(Input {
            group: format!("sandbar-workers-{}", home.name("workers")),
            topics: Topics::Names(vec!["sandbar-slots".to_owned()]),
        }),
        topic_settings: TopicSettings::default(),
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: Duration::from_secs(10),
    }
}
