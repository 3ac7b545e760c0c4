//! Two workers of one group, under load: one of them goes every few seconds, in good order, killed, or standing still for
//! longer than its group waits, and comes back under its own name or a new one. Its partitions
//! move each time, its slots where it is missed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::fire::{self, Ended, Load, Scale, Victim};
use sandbar_tests::scenario::Home;
use sandbar_tests::wait::{self, Seen};
use serde_json::Value;

use crate::HOST;

const SMALL: Scale = Scale { records: 160_000, faults: 4 };
const FULL: Scale = Scale { records: 2_000_000, faults: 60 };
/// So many records a second that some are on their way at each move: they last for all of them.
const RATE: u32 = 4_000;
/// From one move to the next.
const EVERY: Duration = Duration::from_secs(5);
/// Longer than the group waits for a worker, which is 10 seconds.
const STILL: Duration = Duration::from_secs(13);
/// Half of the slots of a group.
const HALF: u64 = 30;

/// How a worker goes.
#[derive(Clone, Copy, Debug)]
enum Going {
    /// It stops in good order, and comes back.
    Stop,
    /// It is killed, and comes back.
    Kill,
    /// It is killed, and another one comes: its tasks move once the group has missed it.
    Replace,
    /// It stands still until its tasks run elsewhere, then finds out.
    Freeze,
}

const GOINGS: [Going; 4] = [Going::Stop, Going::Kill, Going::Replace, Going::Freeze];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_and_hand_over() -> Result<()> {
    let brokers = sandbar_tests::kafka_or_skip!(Ok(()));
    let scale = Scale::of_this_run(SMALL, FULL)?;
    fire::prove(brokers.clone(), async |home, chance| scenario(home, &brokers, scale, chance).await).await
}

/// One of the two workers: who it is now, and from where on its log is about this life of it.
struct Worker {
    name: String,
    life: usize,
    process: Victim,
}

impl Worker {
    fn start(home: &Home, brokers: &str, name: String) -> Result<Self> {
        let life = home.log_of(&name).length();
        let process = Victim::start_beside(home, HOST, brokers, &name)?;
        Ok(Self { name, life, process })
    }

    /// Waits until it holds its share.
    async fn until_shared(&self, home: &Home) -> Result<()> {
        wait::until(&format!("{} holds half of the slots", self.name), wait::WITHIN, async || {
            let events = home.log_of(&self.name).events(self.life)?;
            let dealt = events.iter().rev().find_map(|event| event.pointer("/fields/slots").and_then(Value::as_u64));
            Ok(Seen::when(dealt == Some(HALF), || format!("{dealt:?}")))
        })
        .await
    }

    /// Stands still until its tasks run elsewhere, and finds out.
    async fn freeze(&self, home: &Home) -> Result<()> {
        let before = home.log_of(&self.name).length();
        self.process.freeze(true)?;
        tokio::time::sleep(STILL).await;
        self.process.freeze(false)?;
        let missed = "the worker group went on without this worker";
        home.log_of(&self.name).until(before, missed, "").await.map(drop)
    }
}

async fn scenario(home: &Home, brokers: &str, scale: Scale, chance: &mut Chance) -> Result<()> {
    let load = Load::define(home, scale, RATE)?;
    let mut workers = [Worker::start(home, brokers, "a".to_owned())?, Worker::start(home, brokers, "b".to_owned())?];
    until_shared(home, &workers).await?;
    for nth in 0..scale.faults as usize {
        // The time itself is what is tested here: tasks move while records flow.
        tokio::time::sleep(EVERY).await;
        let going = GOINGS[nth % GOINGS.len()];
        let who = usize::from(chance.among(0..2) == 1);
        let worker = &mut workers[who];
        ensure!(worker.process.ended()?.is_none(), "move {nth}: worker {} has ended by itself", worker.name);
        let name = match going {
            Going::Stop => {
                worker.process.stop()?;
                ensure!(worker.process.until_ended().await? == Ended::Stopped, "move {nth}: not in good order");
                worker.name.clone()
            }
            Going::Kill => {
                worker.process.kill()?;
                worker.name.clone()
            }
            Going::Replace => {
                worker.process.kill()?;
                format!("{}{nth}", worker.name)
            }
            Going::Freeze => {
                // A group that is about to deal waits longer than one that has.
                until_shared(home, &workers).await.with_context(|| format!("move {nth}"))?;
                workers[who].freeze(home).await.with_context(|| format!("move {nth}"))?;
                continue;
            }
        };
        workers[who] = Worker::start(home, brokers, name)?;
    }
    let [a, b] = &mut workers;
    load.finish(home, &mut [&mut a.process, &mut b.process]).await?;
    for worker in &mut workers {
        worker.process.stop()?;
        ensure!(worker.process.until_ended().await? == Ended::Stopped, "{} did not stop in good order", worker.name);
    }
    println!("{} records, {} moves", scale.records, scale.faults);
    load.check(home).await
}

async fn until_shared(home: &Home, workers: &[Worker]) -> Result<()> {
    for worker in workers {
        worker.until_shared(home).await?;
    }
    Ok(())
}
