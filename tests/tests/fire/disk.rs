//! The disk is full: the host says so, loses nothing, and goes on when there is room again.

use std::fs;
use std::io::Write as _;

use anyhow::{Result, ensure};
use sandbar_tests::fire::{Ended, Load, Scale, Victim};
use sandbar_tests::scenario::{self, Home, On};
use sandbar_tests::small_disk::SmallDisk;
use sandbar_tests::wait::{self, Seen};

use crate::HOST;

const MIB: u64 = 1 << 20;
/// Room for a part of the records.
const SMALL: u64 = 8 * MIB;
/// Room for all of them.
const LARGE: u64 = 512 * MIB;
/// Room for no compiled plugin.
const TINY: u64 = 64 << 10;
const RATE: u32 = 20_000;

/// A small disk for the data of a scenario; says aloud where there can be none.
fn small_disk(home: &Home, bytes: u64) -> Result<Option<SmallDisk>> {
    let disk = SmallDisk::mount(&home.data(), bytes)?;
    if disk.is_none() {
        // Not `eprintln!`: the test runner keeps that for itself unless the test fails.
        let _ = writeln!(std::io::stderr(), "not run: a test of full disks (nobody may mount a file system here)");
    }
    Ok(disk)
}

/// Waits until the log tells of this.
async fn until_said(home: &Home, host: &mut Victim, words: &[&str]) -> Result<()> {
    wait::until(&format!("the log says {words:?}"), wait::WITHIN, async || {
        ensure!(host.ended()?.is_none(), "the host ended");
        let events = home.log().events(0)?;
        let said = events.iter().map(ToString::to_string).any(|event| words.iter().all(|word| event.contains(word)));
        Ok(Seen::when(said, || format!("{} events", events.len())))
    })
    .await
}

async fn until_counted(load: &Load, host: &mut Victim, records: u64) -> Result<()> {
    wait::until(&format!("{records} records came through"), wait::WITHIN, async || {
        ensure!(host.ended()?.is_none(), "the host ended");
        let counted = load.counted(host);
        Ok(Seen::when(counted >= records, || format!("{counted} records")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_has_no_room_for_a_while() -> Result<()> {
    scenario::run(On::Embedded, async |home| {
        let Some(disk) = small_disk(home, SMALL)? else { return Ok(()) };
        let records = 60_000;
        let load = Load::define(home, Scale { records, faults: 1 }, RATE)?;
        let mut host = Victim::start_under(home, HOST, None, &disk.inside())?;
        until_said(home, &mut host, &["disk full", "broker.db"]).await?;
        ensure!(load.counted(&host) < u64::from(records), "all records found room");
        disk.resize(LARGE)?;
        until_counted(&load, &mut host, records.into()).await?;
        host.stop()?;
        ensure!(host.until_ended().await? == Ended::Stopped, "it did not stop in good order");
        let kept = home.out().join("data");
        disk.copy_to(&kept)?;
        drop(disk);
        fs::remove_dir(home.data())?;
        fs::rename(kept, home.data())?;
        load.check(home).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_of_data_has_no_room_on_kafka() -> Result<()> {
    let brokers = sandbar_tests::kafka_or_skip!(Ok(()));
    scenario::run(On::Kafka(brokers.clone()), async |home| {
        let Some(disk) = small_disk(home, TINY)? else { return Ok(()) };
        let records = 20_000;
        let load = Load::define(home, Scale { records, faults: 1 }, RATE / 10)?;
        let mut host = Victim::start_under(home, HOST, Some(&brokers), &disk.inside())?;
        // Records do not need the folder.
        until_said(home, &mut host, &["No space left on device"]).await?;
        until_counted(&load, &mut host, u64::from(records) / 4).await?;
        host.kill()?;
        disk.resize(LARGE)?;
        let said = home.log().length();
        let mut host = Victim::start_under(home, HOST, Some(&brokers), &disk.inside())?;
        load.finish(home, &mut [&mut host]).await?;
        host.stop()?;
        ensure!(host.until_ended().await? == Ended::Stopped, "it did not stop in good order");
        let events = home.log().events(said)?;
        let still = events.iter().find(|event| event.to_string().contains("No space left"));
        ensure!(still.is_none(), "it still says {still:?}");
        load.check(home).await
    })
    .await
}
