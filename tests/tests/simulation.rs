//! Seeds of the simulation: what whole hosts do while everything fails around them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sandbar_tests::faults::{Defect, DefectKind};
use sandbar_tests::simulation::{self, SEEDS_VARIABLE};
use tracing::subscriber::set_default;
use tracing_subscriber::filter::LevelFilter;

/// The seeds of an ordinary run.
const SEEDS: Range<u64> = 0..200;

/// In so many seeds a planted defect has to be found.
const PLANTED: u64 = 20;
/// So many seeds may fail before no more are tried.
const FAILURES: usize = 10;

/// Where files are written: in memory where that is possible, because nothing here is about disks.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

/// The seeds that were asked for.
fn seeds() -> Result<Range<u64>> {
    let Ok(text) = std::env::var(SEEDS_VARIABLE) else { return Ok(SEEDS) };
    let number =
        |text: &str| text.parse::<u64>().with_context(|| format!("{SEEDS_VARIABLE}={text}: a seed, or FROM..TO"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(&text).map(|seed| seed..seed + 1),
    }
}

fn repeat(seed: u64) -> String {
    format!("to repeat it: {SEEDS_VARIABLE}={seed} cargo test --workspace --test simulation every_seed")
}

#[test]
fn every_seed_keeps_every_promise() -> Result<()> {
    let (seeds, scratch) = (seeds()?, scratch()?);
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    // One seed is one that somebody wants to know all about.
    let is_repeated = seeds.end - seeds.start == 1;
    let log =
        || tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).without_time().with_test_writer().finish();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let _log = is_repeated.then(|| set_default(log()));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let over = failed.lock().map_or(true, |failed| failed.len() >= FAILURES);
                    if seed >= seeds.end || over {
                        return;
                    }
                    let outcome = simulation::run(seed, None, scratch.path());
                    if let Err(error) = outcome.verdict
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.insert(seed, (outcome.history, format!("{error:#}")));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().map_err(|_| anyhow!("a thread panicked"))?;
    let Some((seed, (history, _))) = failed.first_key_value() else { return Ok(()) };
    println!("{history}");
    let each: Vec<_> = failed.iter().map(|(seed, (_, error))| format!("seed {seed}: {error}")).collect();
    bail!("{}\n{}", each.join("\n\n"), repeat(*seed))
}

#[test]
fn the_same_seed_takes_the_same_course() -> Result<()> {
    let scratch = scratch()?;
    for seed in 0..20 {
        let [one, other] = [(); 2].map(|()| simulation::run(seed, None, scratch.path()).history);
        ensure!(one.digest() == other.digest(), "seed {seed}, once:\n{one}\nand again:\n{other}");
    }
    Ok(())
}

#[test]
fn every_planted_defect_is_found() -> Result<()> {
    let scratch = scratch()?;
    for kind in DefectKind::ALL {
        let found = (0..PLANTED).find_map(|seed| {
            let defect = Defect { kind, after: 3, times: if kind == DefectKind::Starve { u64::MAX } else { 1 } };
            simulation::run(seed, Some(defect), scratch.path()).verdict.err()
        });
        let found = found.with_context(|| format!("{kind:?} was not found in {PLANTED} seeds"))?;
        println!("{kind:?}: {found:#}");
    }
    Ok(())
}
