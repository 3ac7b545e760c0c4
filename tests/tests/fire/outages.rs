//! Of three brokers one goes and comes back, in good order or killed, or stands still; and the network between them and the
//! host is cut, swallows what it is given, is slow, or breaks off in the middle of a message. The host stays up all the
//! time, and goes on by itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::chance::Chance;
use sandbar_tests::fire::{self, Ended, Load, Scale, Victim};
use sandbar_tests::own_kafka::OwnCluster;
use sandbar_tests::proxy::Mode;
use sandbar_tests::scenario::Home;
use sandbar_tests::wait::{self, Seen};

use crate::HOST;

/// So many restarts of brokers, and as many cut-offs.
const SMALL: Scale = Scale { records: 50_000, faults: 2 };
const FULL: Scale = Scale { records: 2_000_000, faults: 50 };
const RATE: u32 = 8_000;
/// Each record is on all of them, and a majority has to have it.
const BROKERS: usize = 3;
/// A broker that is killed is missed after this long, in milliseconds, and the others take over.
const MISSED_AFTER: &str = "broker.session.timeout.ms=6000";
/// How long the host may need from one fault to the next. A task that failed several times waits for a minute.
const LIMIT: Duration = Duration::from_secs(180);

/// What happens to the brokers, or to the way there.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A broker is stopped in good order, and started again.
    Restart(usize),
    /// A broker is killed, and started again.
    Kill(usize),
    /// A broker's process stands still for a while.
    Freeze(usize, Duration),
    /// The network does something for a while, between the host and one broker or all of them.
    Network(Option<usize>, Mode, Duration),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_restarts_and_cut_offs() -> Result<()> {
    // Where the suite has no Kafka, its jars may not be there either.
    sandbar_tests::kafka_or_skip!(Ok(()));
    let scale = Scale::of_this_run(SMALL, FULL)?;
    let cluster = OwnCluster::start("fire", BROKERS, &[MISSED_AFTER]).await?;
    fire::prove(cluster.bootstrap(), async |home, chance| scenario(home, &cluster, scale, chance).await).await
}

async fn scenario(home: &Home, cluster: &OwnCluster, scale: Scale, chance: &mut Chance) -> Result<()> {
    let load = Load::define(home, scale, RATE)?;
    let mut faults = faults(scale.faults, chance);
    let step = u64::from(scale.records) * 9 / 10 / faults.len().max(1) as u64;
    let mut host = Victim::start(home, HOST, &cluster.proxied())?;
    let mut work = 0;
    let total = faults.len();
    while !faults.is_empty() {
        let fault = faults.swap_remove(usize::try_from(chance.among(0..faults.len() as u64))?);
        // Where more came through than was meant, there is less for the faults that are left.
        work = (work.max(load.counted(&host)) + step).min(scale.records.into());
        go_on(&load, &mut host, work).await.with_context(|| format!("{} faults were left, {fault:?}", faults.len()))?;
        inject(cluster, fault).await.with_context(|| format!("{fault:?}"))?;
    }
    load.finish(home, &mut [&mut host]).await?;
    host.stop()?;
    ensure!(host.until_ended().await? == Ended::Stopped, "it did not stop in good order");
    println!("{} records, {total} faults", scale.records);
    load.check(home).await
}

/// So many restarts, every other one a kill, and so many cut-offs of five kinds.
fn faults(each: u32, chance: &mut Chance) -> Vec<Fault> {
    let mut faults = Vec::new();
    for nth in 0..each {
        let broker = one_of_them(chance);
        faults.push(if nth % 2 == 0 { Fault::Restart(broker) } else { Fault::Kill(broker) });
        let lasts = Duration::from_millis(chance.among(50..3_000));
        let broker = one_of_them(chance);
        let way = (chance.among(0..2) == 1).then_some(broker);
        faults.push(match nth % 5 {
            0 => Fault::Network(way, Mode::Cut, lasts),
            1 => Fault::Network(way, Mode::Swallow, lasts),
            2 => Fault::Network(way, Mode::CutAfter(u32::try_from(chance.among(1..50_000)).unwrap_or(1)), lasts),
            3 => Fault::Freeze(broker, lasts),
            _ => Fault::Network(way, Mode::Delay(Duration::from_millis(chance.among(5..200))), lasts),
        });
    }
    faults
}

fn one_of_them(chance: &mut Chance) -> usize {
    usize::try_from(chance.among(0..BROKERS as u64)).unwrap_or(0)
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

async fn inject(cluster: &OwnCluster, fault: Fault) -> Result<()> {
    let nodes = cluster.nodes();
    match fault {
        Fault::Restart(broker) => {
            nodes[broker].kafka.halt()?;
            nodes[broker].kafka.revive()
        }
        Fault::Kill(broker) => {
            nodes[broker].kafka.crash()?;
            nodes[broker].kafka.revive()
        }
        Fault::Freeze(broker, lasts) => {
            nodes[broker].kafka.freeze()?;
            tokio::time::sleep(lasts).await;
            nodes[broker].kafka.thaw()
        }
        Fault::Network(way, mode, lasts) => {
            let ways: Vec<_> = way.map_or_else(|| nodes.iter().collect(), |broker| vec![&nodes[broker]]);
            ways.iter().for_each(|node| node.proxy.set(mode));
            tokio::time::sleep(lasts).await;
            ways.iter().for_each(|node| node.proxy.set(Mode::Pass));
            Ok(())
        }
    }
}
