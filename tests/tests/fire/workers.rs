//! Two workers of one group, under load. Slots move every few seconds, because another member of the group comes and goes;
//! or one of the two goes, in good order, killed, or standing still for longer than its group waits, and comes back under
//! its own name or a new one.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sandbar::broker::partitioner::partition_of_key;
use sandbar_tests::chance::Chance;
use sandbar_tests::contract::Fixture;
use sandbar_tests::fire::{self, Ended, Load, Scale, Victim};
use sandbar_tests::scenario::Home;
use sandbar_tests::wait::{self, Seen};
use serde_json::Value;

use crate::HOST;
use crate::guest::Guest;

const SMALL: Scale = Scale { records: 160_000, faults: 4 };
const FULL: Scale = Scale { records: 2_000_000, faults: 60 };
/// The same where nobody stands still.
const SMALL_MOVES: Scale = Scale { records: 80_000, faults: 4 };
/// So many records a second that some are on their way at each move: they last for all of them.
const RATE: u32 = 4_000;
/// From one move to the next.
const EVERY: Duration = Duration::from_secs(5);
/// How often a guest comes and goes at most before it gets some slot twice running.
const REHEARSALS: u32 = 6;
/// How many more moves there are at most until the source was among what moved.
const MORE: u32 = 20;
/// The slots of a group.
const SLOTS: usize = 60;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_between_two_workers() -> Result<()> {
    let brokers = sandbar_tests::kafka_or_skip!(Ok(()));
    let scale = Scale::of_this_run(SMALL_MOVES, FULL)?;
    fire::prove(brokers.clone(), async |home, _| slots_move(home, &brokers, scale).await).await
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

    /// Waits until it holds its share of the slots, one of so many.
    async fn until_shared(&self, home: &Home, members: usize) -> Result<()> {
        let share = SLOTS / members;
        wait::until(&format!("{} holds {share} slots", self.name), wait::WITHIN, async || {
            let events = home.log_of(&self.name).events(self.life)?;
            let dealt = events.iter().rev().find_map(|event| event.pointer("/fields/slots").and_then(Value::as_u64));
            Ok(Seen::when(dealt == Some(share as u64), || format!("{dealt:?}")))
        })
        .await
    }

    /// Stands still until the other one of the group has all slots, and finds out.
    async fn freeze(&self, home: &Home, other: &Self) -> Result<()> {
        let before = home.log_of(&self.name).length();
        self.process.freeze(true)?;
        other.until_shared(home, 1).await?;
        self.process.freeze(false)?;
        let missed = "the worker group went on without this worker";
        home.log_of(&self.name).until(before, missed, "").await.map(drop)
    }
}

async fn two(home: &Home, brokers: &str) -> Result<[Worker; 2]> {
    let workers = [Worker::start(home, brokers, "a".to_owned())?, Worker::start(home, brokers, "b".to_owned())?];
    until_shared(home, &workers, 2).await?;
    Ok(workers)
}

/// A member of the group of workers that runs nothing comes every other time, takes a third of the slots, and goes again:
/// whatever was there moves, and moves on to either of the two. The source is one that it gets.
async fn slots_move(home: &Home, brokers: &str, scale: Scale) -> Result<()> {
    let workers = two(home, brokers).await?;
    let fixture = Fixture::new(home.broker().await?);
    let slots = rehearse(home, &fixture, &workers).await?;
    let mut sources = (0..).map(|nth| format!("lines{nth}"));
    let source = sources.find(|what| slots.contains(&source_slot(&home.name(what)))).context("a name")?;

    let load = Load::define_as(home, &source, scale, RATE)?;
    load.until_flowing(home).await?;
    let (mut guest, mut taken): (Option<Guest>, u32) = (None, 0);
    let mut ticks = tokio::time::interval(EVERY);
    let mut longest = Duration::ZERO;
    for nth in 0.. {
        // It was likely to be taken away each time, and is in the end.
        if nth >= scale.faults && (taken > 0 || nth >= scale.faults + MORE) {
            break;
        }
        // The time itself is what is tested here: tasks move while records flow.
        let came = ticks.tick().await;
        guest = match guest {
            None => {
                let guest = Guest::come(home, &fixture, SLOTS / 3).await.with_context(|| format!("move {nth}"))?;
                taken += u32::from(guest.slots().contains(&source_slot(&home.name(&source))));
                Some(guest)
            }
            Some(guest) => {
                guest.go().await.with_context(|| format!("move {nth}"))?;
                None
            }
        };
        until_shared(home, &workers, 2 + usize::from(guest.is_some())).await.with_context(|| format!("move {nth}"))?;
        longest = longest.max(came.elapsed());
    }
    if let Some(guest) = guest {
        guest.go().await?;
    }
    println!(
        "{} records, slots moved {} times, each within {longest:.1?}; the source was taken away {taken} times",
        scale.records, scale.faults
    );
    ensure!(taken > 0, "the source never moved");
    finish(home, &load, workers).await
}

/// Slots that a guest got twice running, and so is likely to get again. Which they are depends on who came when.
async fn rehearse(home: &Home, fixture: &Fixture, workers: &[Worker]) -> Result<BTreeSet<i32>> {
    let mut before = BTreeSet::new();
    for _ in 0..REHEARSALS {
        let guest = Guest::come(home, fixture, SLOTS / 3).await?;
        let slots = guest.slots();
        guest.go().await?;
        until_shared(home, workers, 2).await?;
        let again: BTreeSet<i32> = slots.intersection(&before).copied().collect();
        if !again.is_empty() {
            return Ok(again);
        }
        before = slots;
    }
    bail!("a guest gets other slots each time: {before:?} at last")
}

/// The slot of a source, as ADR 14 has it.
fn source_slot(connector: &str) -> i32 {
    partition_of_key(connector.as_bytes(), SLOTS as i32)
}

async fn scenario(home: &Home, brokers: &str, scale: Scale, chance: &mut Chance) -> Result<()> {
    let load = Load::define(home, scale, RATE)?;
    let mut workers = two(home, brokers).await?;
    load.until_flowing(home).await?;
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
                until_shared(home, &workers, 2).await.with_context(|| format!("move {nth}"))?;
                workers[who].freeze(home, &workers[1 - who]).await.with_context(|| format!("move {nth}"))?;
                continue;
            }
        };
        workers[who] = Worker::start(home, brokers, name)?;
    }
    println!("{} records, {} moves", scale.records, scale.faults);
    finish(home, &load, workers).await
}

async fn until_shared(home: &Home, workers: &[Worker], members: usize) -> Result<()> {
    for worker in workers {
        worker.until_shared(home, members).await?;
    }
    Ok(())
}

async fn finish(home: &Home, load: &Load, mut workers: [Worker; 2]) -> Result<()> {
    let [a, b] = &mut workers;
    load.finish(home, &mut [&mut a.process, &mut b.process]).await?;
    for worker in &mut workers {
        worker.process.stop()?;
        ensure!(worker.process.until_ended().await? == Ended::Stopped, "{} did not stop in good order", worker.name);
    }
    load.check(home).await
}
