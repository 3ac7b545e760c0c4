//! Two workers of one group, under load: one of them goes every few seconds, in good order, killed, or standing still for
//! longer than its group waits, and comes back under its own name or a new one. Tasks and partitions move each time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::fire::{Ended, Load, Scale, Victim};
use sandbar_tests::scenario::{self, Home, On};
use sandbar_tests::wait::{self, Seen};

use crate::HOST;

const SMALL: Scale = Scale { records: 100_000, faults: 5 };
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
    let mut chance = Chance::new()?;
    let about = chance.describe();
    scenario::run(On::Kafka(brokers.clone()), async |home| scenario(home, &brokers, scale, &mut chance).await)
        .await
        .context(about)
}

async fn scenario(home: &Home, brokers: &str, scale: Scale, chance: &mut Chance) -> Result<()> {
    let load = Load::define(home, scale, RATE)?;
    let mut names = ["a".to_owned(), "b".to_owned()];
    let start = |name: &str| Victim::start_beside(home, HOST, brokers, name);
    let mut workers = [start(&names[0])?, start(&names[1])?];
    until_shared(home, 0).await?;
    for nth in 0..scale.faults as usize {
        // The time itself is what is tested here: partitions move while records flow.
        tokio::time::sleep(EVERY).await;
        let going = GOINGS[nth % GOINGS.len()];
        let who = usize::from(chance.among(0..2) == 1);
        let (worker, name) = (&mut workers[who], &mut names[who]);
        ensure!(worker.ended()?.is_none(), "move {nth}: worker {name} has ended by itself");
        let before = home.log().length();
        match going {
            Going::Stop => {
                worker.stop()?;
                ensure!(worker.until_ended().await? == Ended::Stopped, "move {nth}: it did not stop in good order");
            }
            Going::Kill => worker.kill()?,
            Going::Replace => {
                worker.kill()?;
                *name = format!("{name}{nth}");
            }
            Going::Freeze => {
                worker.freeze(true)?;
                tokio::time::sleep(STILL).await;
                worker.freeze(false)?;
                until_missed(home, before).await.with_context(|| format!("move {nth}, {going:?} of {name}"))?;
                continue;
            }
        }
        *worker = start(name)?;
    }
    let [a, b] = &mut workers;
    load.finish(home, &mut [a, b]).await?;
    for worker in &mut workers {
        worker.stop()?;
        ensure!(worker.until_ended().await? == Ended::Stopped, "it did not stop in good order");
    }
    println!("{} records, {} moves", scale.records, scale.faults);
    load.check(home).await
}

/// Waits until both workers have their share.
async fn until_shared(home: &Home, from: usize) -> Result<()> {
    wait::until("each worker holds half of the slots", wait::WITHIN, async || {
        let events = home.log().events(from)?;
        let halves = events.iter().filter(|event| event.pointer("/fields/slots").is_some_and(|n| *n == HALF));
        let count = halves.count();
        Ok(Seen::when(count >= 2, || format!("{count} of them did")))
    })
    .await
}

/// Waits until a worker that stood still has noticed that its group went on.
async fn until_missed(home: &Home, from: usize) -> Result<()> {
    home.log().until(from, "the worker group went on without this worker", "").await.map(drop)
}
