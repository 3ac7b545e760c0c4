//! A simulation of whole hosts: the supervisor, the pumps and real guests on the embedded broker, on one thread, with a clock
//! that stands until all wait. A seed decides what is done to them and when, what fails, and how long everything takes; the
//! same seed leads to the same history. At the end nothing may be lost, doubled or out of order.

mod actions;
mod catalogue;
mod folder;
mod hosts;
mod scenario;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rusqlite::Connection;
use sandbar::task::seed_jitter;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::faults::{Defect, Fates, History, Plan};
use actions::Actions;
use catalogue::Catalogue;
use hosts::Hosts;
use scenario::Scenario;

/// What a failure tells how to repeat it.
pub const SEEDS_VARIABLE: &str = "SANDBAR_SIM_SEEDS";
/// How long everything may take once nothing fails any more: pauses between tries are ten minutes at most.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_secs(1);

/// How a run went.
pub struct Outcome {
    /// What happened.
    pub history: History,
    /// Whether all was as it must be.
    pub verdict: Result<()>,
}

/// Runs a seed, in a folder of its own below `scratch`. A defect may be planted, which the run then has to find.
pub fn run(seed: u64, defect: Option<Defect>, scratch: &Path) -> Outcome {
    let prepared = prepare(seed, scratch);
    let (runtime, folder, keep) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Outcome { history: History::default(), verdict: Err(error) },
    };
    seed_jitter(seed);
    let outcome = runtime.block_on(async {
        let mut chance = Chance::seeded(seed);
        let scenario = Scenario::draw(&mut chance, &folder);
        let (fates, crashes) = Fates::new(Chance::seeded(chance.draw()), actions::plan(&mut chance), defect);
        let fates = Arc::new(fates);
        let mut actions = Actions { chance, scenario, crashes };
        let verdict = simulate(&mut actions, &fates, &keep.0).await;
        Outcome { history: fates.history(), verdict }
    });
    drop(runtime);
    // What is left in the folder of one that can be repeated is of no use.
    drop(std::fs::remove_dir_all(&folder));
    outcome
}

/// A database in memory, which is gone when its last connection is.
struct Kept(String, #[allow(dead_code, reason = "it is there to be held")] Connection);

fn prepare(seed: u64, scratch: &Path) -> Result<(tokio::runtime::Runtime, PathBuf, Kept)> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let folder = scratch.join(format!("{seed}-{run}"));
    std::fs::create_dir_all(&folder)?;
    let database = format!("file:/sandbar-simulation-{run}?vfs=memdb");
    let connection = Connection::open(&database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok((runtime, folder, Kept(database, connection)))
}

async fn simulate(actions: &mut Actions, fates: &Arc<Fates>, database: &str) -> Result<()> {
    let mut hosts = Hosts::new(Arc::clone(fates), Catalogue::get()?, database.to_owned(), actions.scenario.two_hosts)?;
    actions.disturb(&mut hosts).await?;
    // From here on nothing goes wrong, and all has to come to its end.
    fates.note("all is calm");
    fates.follow(Plan::calm(3));
    actions.settle(&mut hosts).await?;
    let done = until_done(&mut hosts, &actions.scenario).await;
    let states = hosts.describe();
    let drained = hosts.stop(0).await? & hosts.stop(1).await?;
    verdict::check(&*hosts.broker, &actions.scenario, fates).await.with_context(|| states.clone())?;
    done.context(states)?;
    ensure!(drained, "not all tasks ended by themselves when the host was told to stop");
    let broken = fates.broken();
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

/// Waits until everything is where it belongs, and a little longer.
async fn until_done(hosts: &mut Hosts, scenario: &Scenario) -> Result<()> {
    let began = Instant::now();
    loop {
        hosts.check()?;
        ensure!(hosts.fates.broken().is_empty(), "{}", hosts.fates.broken().join("\n"));
        let missing = verdict::missing(&*hosts.broker, scenario, &hosts.fates).await?;
        let Some(missing) = missing else {
            // What came twice may still be under way.
            sleep(10 * LOOK).await;
            return Ok(());
        };
        if began.elapsed() > PATIENCE {
            return Err(anyhow!("no end after {PATIENCE:?} in which nothing failed: {missing}"));
        }
        sleep(LOOK).await;
    }
}
