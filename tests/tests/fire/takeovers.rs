//! Three workers of one group, one of which is killed every twenty seconds: all tasks run again soon, on those that live,
//! and what they run loses nothing and doubles nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::fire::{self, Chains, Member, Scale, not_running};
use sandbar_tests::scenario::Home;
use tokio::time::MissedTickBehavior;

/// Sources make records for as long as it takes.
const SMALL: Scale = Scale { records: 0, faults: 1 };
const FULL: Scale = Scale { records: 0, faults: 30 };
/// How many chains of three connectors there are, small and full.
const CHAINS: (u8, u8) = (2, 10);
const PLUGINS: [&str; 3] = ["datagen", "json-transform", "file-sink"];
/// From one kill to the next.
const EVERY: Duration = Duration::from_secs(20);
/// Within which all tasks have to get on again, at full size: the group misses a worker after ten seconds.
const AGAIN: Duration = Duration::from_secs(15);
/// When it is given up.
const LIMIT: Duration = Duration::from_secs(120);
/// How often the world is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What becomes of a worker that was killed.
#[derive(Clone, Copy, Debug)]
enum Killed {
    /// It comes back at once, before it is missed.
    ComesBack,
    /// Another one comes in its place at once.
    IsReplaced,
    /// It comes back when the others have taken its tasks over.
    StaysAway,
}

const KINDS: [Killed; 3] = [Killed::StaysAway, Killed::ComesBack, Killed::IsReplaced];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_tasks_run_again_soon_after_one_of_three_workers_is_killed() -> Result<()> {
    let brokers = sandbar_tests::kafka_or_skip!(Ok(()));
    let scale = Scale::of_this_run(SMALL, FULL)?;
    fire::prove(brokers, async |home, chance| scenario(home, scale, chance).await).await
}

async fn scenario(home: &Home, scale: Scale, chance: &mut Chance) -> Result<()> {
    home.install(&PLUGINS)?;
    let mut group = Vec::new();
    for name in ["a", "b", "c"] {
        group.push(Member::start(home, name.to_owned())?);
    }
    let mut answers = Vec::new();
    for member in &mut group {
        answers.push(member.until_loaded(home, PLUGINS.len()).await?);
    }
    let first = answers.first().context("there are three")?;
    let count = if Scale::is_full()? { CHAINS.1 } else { CHAINS.0 };
    let chains = Chains::define(home, first, count).await?;
    let begun = watch(home, &chains, &mut group, Instant::now(), EVERY, |_| Ok(())).await?;
    println!("{} connectors run after {:.1?}", chains.tasks().count(), begun.again);

    let (mut again, mut still) = (Vec::new(), Duration::ZERO);
    for nth in 0..scale.faults as usize {
        let kind = KINDS[nth % KINDS.len()];
        let who = usize::try_from(chance.among(0..group.len() as u64))?;
        let victim = group.remove(who);
        let name = victim.name().to_owned();
        victim.kill()?;
        let killed = Instant::now();
        match kind {
            Killed::ComesBack => group.push(Member::start(home, name.clone())?),
            Killed::IsReplaced => group.push(Member::start(home, format!("{}{nth}", &name[..1]))?),
            Killed::StaysAway => {}
        }
        let returns = |group: &mut Vec<Member>| {
            if matches!(kind, Killed::StaysAway) {
                group.push(Member::start(home, name.clone())?);
            }
            Ok(())
        };
        let seen = watch(home, &chains, &mut group, killed, EVERY, returns).await;
        let seen = seen.with_context(|| format!("kill {nth}: {name} {kind:?}"))?;
        println!(
            "kill {nth}: {name} {kind:?}; all say RUNNING after {:.1?}, get on after {:.1?}, and run after {:.1?}; the longest standstill {:.1?}",
            seen.said, seen.moved, seen.again, seen.still
        );
        again.push(seen.again);
        still = still.max(seen.still);
    }
    again.sort_unstable();
    let (longest, median) = (again.last().copied().unwrap_or_default(), again.get(again.len() / 2).copied());
    println!(
        "{} connectors, {} kills: all tasks ran again within {:.1?} in the median, {longest:.1?} at most; the longest standstill of a partition was {still:.1?}",
        chains.tasks().count(),
        scale.faults,
        median.unwrap_or_default()
    );

    let survivor = group.first_mut().context("there are three")?.rest(home)?.context("it answers")?.clone();
    let made = chains.finish(&survivor).await?;
    println!("{} records", made.iter().sum::<u32>());
    for member in group {
        member.stop().await?;
    }
    chains.check(home, &made).await?;
    ensure!(
        !Scale::is_full()? || longest <= AGAIN,
        "all tasks ran again after {longest:.1?}, and not within {AGAIN:?}"
    );
    Ok(())
}

/// What was seen after a kill, since it.
#[derive(Default)]
struct Watched {
    /// When all tasks said that they run, on workers that live.
    said: Duration,
    /// When each partition had brought a record that was made since.
    moved: Duration,
    /// When both was so.
    again: Duration,
    /// The longest for which a partition has brought nothing new.
    still: Duration,
}

/// Watches a group from a moment on until all tasks get on again, and for so long at least. Then `once` is done.
async fn watch(
    home: &Home,
    chains: &Chains,
    group: &mut Vec<Member>,
    since: Instant,
    at_least: Duration,
    once: impl FnOnce(&mut Vec<Member>) -> Result<()>,
) -> Result<Watched> {
    let began = millis().saturating_sub(u64::try_from(since.elapsed().as_millis())?);
    let (mut said, mut moved, mut again): (Option<Duration>, Option<Duration>, Option<Duration>) = (None, None, None);
    let (mut still, mut once) = (Duration::ZERO, Some(once));
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What is measured here is time itself.
        looks.tick().await;
        let mut living = Vec::new();
        for member in group.iter_mut() {
            living.extend(member.rest(home)?.cloned());
        }
        let names: Vec<String> = living.iter().map(|rest| rest.address().to_owned()).collect();
        // The one that has lived for longest was there before.
        let rest = living.first().context("nobody answers")?;
        let idle = not_running(rest, chains, &names).await?;
        let (newest, now) = (chains.newest()?, millis());
        let behind = newest.iter().filter(|(_, made)| *made <= began).map(|(name, _)| name.as_str());
        let behind: Vec<&str> = behind.collect();
        let stands = newest.iter().filter(|(_, made)| *made > 0).map(|(_, made)| now.saturating_sub(*made)).max();
        still = still.max(Duration::from_millis(stands.unwrap_or_default()));
        let elapsed = since.elapsed();
        if idle.is_none() {
            said.get_or_insert(elapsed);
        }
        if behind.is_empty() {
            moved.get_or_insert(elapsed);
        }
        if idle.is_none() && behind.is_empty() {
            again.get_or_insert(elapsed);
        }
        if let (Some(said), Some(moved), Some(again)) = (said, moved, again) {
            if let Some(once) = once.take() {
                once(group)?;
            }
            if elapsed >= at_least {
                return Ok(Watched { said, moved, again, still });
            }
        } else if elapsed > LIMIT {
            bail!("not within {LIMIT:?}: does not run: {idle:?}; brought nothing: {behind:?}");
        }
    }
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
