//! The host is killed at every step of its tasks and at random, again and again, while a source, a transform with state
//! and two topics are at work.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::faults::{Moment, Side, Step};
use sandbar_tests::fire::{self, Ended, Load, Scale, Victim};
use sandbar_tests::scenario::Home;
use sandbar_tests::wait::{self, Seen};

use crate::HOST;

const SMALL: Scale = Scale { records: 100_000, faults: 10 };
const FULL: Scale = Scale { records: 2_000_000, faults: 200 };
/// So many records a second that some are on their way at each kill.
const RATE: u32 = 8_000;
/// How long the host may need from one kill to the next: it starts, joins its group and goes on.
const LIMIT: Duration = Duration::from_secs(120);
/// How long nothing may come through before the host is killed where it is: there may be nothing left.
const LULL: Duration = Duration::from_secs(20);
/// How long a moment that was chosen may be waited for, before the host is killed where it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Death {
    /// While it takes its work up: the first times that the moment comes.
    Starting(Moment),
    /// While records flow.
    Running(Moment),
    /// While it stops in good order.
    Stopping(Moment),
    /// Wherever it is when some records have come through.
    Anywhere,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting(moment) | Self::Running(moment) | Self::Stopping(moment) => moment.fmt(f),
            Self::Anywhere => f.write_str("anywhere"),
        }
    }
}

/// Every way to die, once; as many at random as at commits.
fn deaths() -> Vec<Death> {
    let both = |step| [Side::Before, Side::After].map(|side| Moment { step, side });
    let starting = [Step::Session, Step::LoadOffsets, Step::LoadState, Step::Accept, Step::Release];
    let running = [Step::Consume, Step::Stage, Step::Commit, Step::Commit];
    let mut deaths: Vec<Death> = starting.into_iter().flat_map(both).map(Death::Starting).collect();
    deaths.extend(running.into_iter().flat_map(both).map(Death::Running));
    deaths.extend(both(Step::Close).map(Death::Stopping));
    deaths.extend([Death::Anywhere; 4]);
    deaths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step() -> Result<()> {
    let brokers = sandbar_tests::kafka_or_skip!(Ok(()));
    let scale = Scale::of_this_run(SMALL, FULL)?;
    fire::prove(brokers.clone(), async |home, chance| scenario(home, &brokers, scale, chance).await).await
}

async fn scenario(home: &Home, brokers: &str, scale: Scale, chance: &mut Chance) -> Result<()> {
    let load = Load::define(home, scale, RATE)?;
    // Nine tenths of the records are for the kills, the rest comes after the last.
    let step = u64::from(scale.records) * 9 / 10 / u64::from(scale.faults.max(1));
    let (mut died, mut left): (BTreeMap<String, u32>, Vec<Death>) = Default::default();
    for kill in 0..scale.faults {
        if left.is_empty() {
            left = deaths();
        }
        let death = left.swap_remove(usize::try_from(chance.among(0..left.len() as u64))?);
        let mut host = Victim::start(home, HOST, brokers)?;
        let as_planned = kill_one(&load, &mut host, death, step, chance).await;
        let place = if as_planned.with_context(|| format!("kill {kill}, {death}"))? {
            death
        } else {
            host.kill().with_context(|| format!("kill {kill}"))?;
            Death::Anywhere
        };
        *died.entry(place.to_string()).or_default() += 1;
    }
    ensure!(died.keys().any(|place| *place != Death::Anywhere.to_string()), "none died at a step: {died:?}");
    let mut host = Victim::start(home, HOST, brokers)?;
    load.finish(home, &mut [&mut host]).await?;
    host.stop()?;
    ensure!(host.until_ended().await? == Ended::Stopped, "it did not stop in good order");
    println!("{} records, {} kills: {died:?}", scale.records, scale.faults);
    load.check(home).await
}

/// Lets the host do some of the work and die. Returns whether it died as it should, or is still to be killed.
async fn kill_one(load: &Load, host: &mut Victim, death: Death, step: u64, chance: &mut Chance) -> Result<bool> {
    if let Death::Starting(moment) = death {
        // The worker group is joined and three tasks are started, with four partitions.
        host.die_at(moment, chance.among(1..5))?;
    }
    let work = chance.among(step / 2..step * 3 / 2);
    let mut last = (0, Instant::now());
    let dead = wait::until(&format!("{work} records came through"), LIMIT, async || {
        if host.ended()?.is_some() {
            return Ok(Seen::Done(true));
        }
        let counted = load.counted(host);
        if counted > last.0 {
            last = (counted, Instant::now());
        }
        // Where the lives before did more than was meant, less is left. Whether all came through is checked in the end.
        let is_over = last.1.elapsed() >= LULL;
        Ok(if counted < work && !is_over { Seen::NotYet(format!("{counted} records")) } else { Seen::Done(false) })
    })
    .await?;
    match death {
        _ if dead => return Ok(true),
        // It may not have begun yet: no task is there to die.
        _ if load.counted(host) == 0 => return Ok(false),
        Death::Starting(_) | Death::Anywhere => return Ok(false),
        Death::Running(moment) => host.die_at(moment, chance.among(1..20))?,
        Death::Stopping(moment) => {
            // Two close for certain: those of the transform's two tasks.
            host.die_at(moment, chance.among(1..3))?;
            host.stop()?;
        }
    }
    let ended = wait::at_most(PATIENCE, async || host.ended()).await?;
    ensure!(ended != Some(Ended::Stopped), "the host stopped in good order, and none of its steps was {death}");
    Ok(ended.is_some())
}
