//! The host's clock jumps ahead and back while records flow on Apache Kafka.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::false_clock::FalseClock;
use sandbar_tests::fire::{self, Ended, Load, Scale, Victim};
use sandbar_tests::scenario::Home;
use sandbar_tests::topics;
use sandbar_tests::wait::{self, Seen};

use crate::HOST;

/// So many jumps.
const SMALL: Scale = Scale { records: 40_000, faults: 6 };
const FULL: Scale = Scale { records: 400_000, faults: 60 };
const RATE: u32 = 4_000;
/// The furthest it is off, in seconds. Kafka refuses records that are more than an hour ahead of its own clock.
const FURTHEST: u64 = 50 * 60;
/// So far off, in milliseconds, that no delay explains it.
const CLEARLY: i64 = 5 * 60 * 1000;
/// How long the host may need from one jump to the next.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_jumps() -> Result<()> {
    let brokers = sandbar_tests::kafka_or_skip!(Ok(()));
    let scale = Scale::of_this_run(SMALL, FULL)?;
    fire::prove(brokers.clone(), async |home, chance| scenario(home, &brokers, scale, chance).await).await
}

async fn scenario(home: &Home, brokers: &str, scale: Scale, chance: &mut Chance) -> Result<()> {
    let Some(clock) = FalseClock::new(&home.out())? else {
        // Not `eprintln!`: the test runner keeps that for itself unless the test fails.
        let _ = writeln!(std::io::stderr(), "not run: a test of clocks that jump (libfaketime is not installed)");
        return Ok(());
    };
    let load = Load::define(home, scale, RATE)?;
    let mut host = Victim::start_under(home, HOST, Some(brokers), &clock.inside())?;
    let step = u64::from(scale.records) * 9 / 10 / u64::from(scale.faults.max(1));
    for jump in 0..u64::from(scale.faults) {
        wait::until(&format!("records came through before jump {jump}"), LIMIT, async || {
            ensure!(host.ended()?.is_none(), "the host ended");
            let counted = load.counted(&host);
            Ok(Seen::when(counted >= jump * step, || format!("{counted} records")))
        })
        .await?;
        // The first is a long one; after that short ones are as likely.
        let ahead = if jump == 0 { FURTHEST } else { chance.among(1..FURTHEST) >> chance.among(0..10) };
        clock.set(if chance.among(0..2) == 0 { ahead.cast_signed() } else { -ahead.cast_signed() })?;
    }
    load.finish(home, &mut [&mut host]).await?;
    host.stop()?;
    ensure!(host.until_ended().await? == Ended::Stopped, "it did not stop in good order");
    println!("{} records, {} jumps of the clock", scale.records, scale.faults);
    let mut furthest = 0;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    topics::for_each(&*home.broker().await?, load.lines(), |_, record| {
        furthest = furthest.max(record.timestamp.map_or(0, |at| (at - now).abs()));
        Ok(())
    })
    .await?;
    ensure!(furthest > CLEARLY, "the clock was right all the time: no record is off by more than {furthest} ms");
    load.check(home).await
}
