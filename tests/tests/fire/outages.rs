//! The broker is stopped and started again, or stands still, and the network between it and the host is cut, swallows what
//! it is given, is slow, or breaks off in the middle of a message. The host stays up all the time, and goes on by itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::fire::{self, Ended, Load, Scale, Victim};
use sandbar_tests::own_kafka::OwnKafka;
use sandbar_tests::proxy::{Mode, Proxy};
use sandbar_tests::scenario::Home;
use sandbar_tests::wait::{self, Seen};

use crate::HOST;

/// So many restarts of the broker, and as many cut-offs.
const SMALL: Scale = Scale { records: 50_000, faults: 2 };
const FULL: Scale = Scale { records: 2_000_000, faults: 50 };
const RATE: u32 = 8_000;
/// How long the broker stands still where it is not restarted: longer than sessions last.
const STILL: Duration = Duration::from_secs(4);
/// How long the host may need from one fault to the next. A task that failed several times waits for a minute.
const LIMIT: Duration = Duration::from_secs(180);
/// Longer than any outage: a broker that has just come back ends no transaction by itself. What a lone one may do wrong
/// then, no client can mend.
const LOOKS_LATE: &str = "transaction.abort.timed.out.transaction.cleanup.interval.ms=60000";

/// What happens to the broker, or to the way there.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The broker is stopped in good order, and started again.
    Restart,
    /// The broker's process stands still for a while.
    Freeze(Duration),
    /// The network does something for a while.
    Network(Mode, Duration),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_restarts_and_cut_offs() -> Result<()> {
    // Where the suite has no Kafka, its jars may not be there either.
    sandbar_tests::kafka_or_skip!(Ok(()));
    let scale = Scale::of_this_run(SMALL, FULL)?;
    let (kafka, proxy) = OwnKafka::start_behind_proxy("fire", &[LOOKS_LATE]).await?;
    fire::prove(kafka.bootstrap().to_owned(), async |home, chance| scenario(home, &kafka, &proxy, scale, chance).await)
        .await
}

async fn scenario(home: &Home, kafka: &OwnKafka, proxy: &Proxy, scale: Scale, chance: &mut Chance) -> Result<()> {
    let load = Load::define(home, scale, RATE)?;
    let mut faults = faults(scale.faults, chance);
    let step = u64::from(scale.records) * 9 / 10 / faults.len().max(1) as u64;
    let mut host = Victim::start(home, HOST, &proxy.address().to_string())?;
    let mut work = 0;
    let total = faults.len();
    while !faults.is_empty() {
        let fault = faults.swap_remove(usize::try_from(chance.among(0..faults.len() as u64))?);
        // Where more came through than was meant, there is less for the faults that are left.
        work = (work.max(load.counted(&host)) + step).min(scale.records.into());
        go_on(&load, &mut host, work).await.with_context(|| format!("{} faults were left, {fault:?}", faults.len()))?;
        inject(kafka, proxy, fault).await.with_context(|| format!("{fault:?}"))?;
    }
    load.finish(home, &mut [&mut host]).await?;
    host.stop()?;
    ensure!(host.until_ended().await? == Ended::Stopped, "it did not stop in good order");
    println!("{} records, {total} faults", scale.records);
    load.check(home).await
}

/// So many restarts, and so many cut-offs of five kinds. All restarts are in good order: a lone broker that is killed may
/// forget to end a transaction, see docs/delivery.md, "A cluster of one broker".
fn faults(each: u32, chance: &mut Chance) -> Vec<Fault> {
    let mut faults = Vec::new();
    for nth in 0..each {
        // One restart in some dozens meets the moment in which a lone broker forgets a marker: see docs/delivery.md.
        faults.push(if each > SMALL.faults { Fault::Restart } else { Fault::Freeze(STILL) });
        let lasts = Duration::from_millis(chance.among(50..3_000));
        faults.push(match nth % 5 {
            0 => Fault::Network(Mode::Cut, lasts),
            1 => Fault::Network(Mode::Swallow, lasts),
            2 => Fault::Network(Mode::CutAfter(u32::try_from(chance.among(1..50_000)).unwrap_or(1)), lasts),
            3 => Fault::Freeze(lasts),
            _ => Fault::Network(Mode::Delay(Duration::from_millis(chance.among(5..200))), lasts),
        });
    }
    faults
}

/// Waits until so many records came through in all.
async fn go_on(load: &Load, host: &mut Victim, work: u64) -> Result<()> {
    wait::until(&format!("{work} records came through"), LIMIT, async || {
        ensure!(host.ended()?.is_none(), "the host ended");
        let counted = load.counted(host);
        Ok(Seen::when(counted >= work, || format!("{counted} records")))
    })
    .await
}

async fn inject(kafka: &OwnKafka, proxy: &Proxy, fault: Fault) -> Result<()> {
    match fault {
        Fault::Restart => {
            kafka.halt()?;
            kafka.revive()
        }
        Fault::Freeze(lasts) => {
            kafka.freeze()?;
            tokio::time::sleep(lasts).await;
            kafka.thaw()
        }
        Fault::Network(mode, lasts) => {
            proxy.set(mode);
            tokio::time::sleep(lasts).await;
            proxy.set(Mode::Pass);
            Ok(())
        }
    }
}
