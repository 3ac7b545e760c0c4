//! The hosts of a simulation: each a supervisor with its tasks, which lives until it is stopped or crashes, and lives again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use sandbar::broker::Broker;
use sandbar::broker::local::{Durability, LocalBroker, LocalOptions};
use sandbar::config::WorkerConfig;
use sandbar::control::{Command, Handle, Placement, Supervisor};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::catalogue::{Catalogue, Shelf};
use super::folder::Folder;
use crate::faults::{Fates, FaultyBroker, Life};

/// The moment in which all that was dropped has gone.
const MOMENT: Duration = Duration::from_millis(1);

/// All hosts, their folder, and the broker they share.
pub(super) struct Hosts {
    pub(super) fates: Arc<Fates>,
    pub(super) folder: Folder,
    pub(super) broker: Arc<dyn Broker>,
    catalogue: &'static Catalogue,
    database: String,
    /// Whether they share their tasks.
    shared: bool,
    lives: u64,
    alive: [Option<Alive>; 2],
}

struct Alive {
    life: Life,
    stop: watch::Sender<bool>,
    handle: Handle,
    run: JoinHandle<bool>,
}

impl Hosts {
    /// No host yet, on an empty broker in memory.
    pub(super) fn new(
        fates: Arc<Fates>,
        catalogue: &'static Catalogue,
        database: String,
        shared: bool,
    ) -> Result<Self> {
        let broker = open(&database)?;
        let hosts = Self {
            fates,
            folder: Folder::default(),
            broker,
            catalogue,
            database,
            shared,
            lives: 0,
            alive: [None, None],
        };
        for package in Catalogue::packages() {
            hosts.put_plugin(package, 0)?;
        }
        Ok(hosts)
    }

    /// Puts a version of a plugin into the folder.
    pub(super) fn put_plugin(&self, package: &str, version: usize) -> Result<()> {
        self.folder.put(self.catalogue.file(package, version)?);
        Ok(())
    }

    /// Takes a plugin away.
    pub(super) fn remove_plugin(&self, package: &str) {
        self.folder.remove(&Catalogue::path(package));
    }

    pub(super) fn lives(&self, host: usize) -> bool {
        self.alive.get(host).is_some_and(Option::is_some)
    }

    /// Starts a host, unless it lives. One that is alone opens the broker anew: all that counts has to be in the database.
    pub(super) fn start(&mut self, host: usize) -> Result<()> {
        if self.lives(host) {
            return Ok(());
        }
        if self.alive.iter().all(Option::is_none) {
            self.broker = open(&self.database)?;
        }
        self.lives += 1;
        let life = Life { host, number: self.lives };
        self.fates.note(&format!("host {host} starts its life {}", life.number));
        let broker = FaultyBroker::new(Arc::clone(&self.broker), Arc::clone(&self.fates), life);
        let worker = Arc::new(WorkerConfig::default());
        let shelf = Shelf { catalogue: self.catalogue, fates: Arc::clone(&self.fates) };
        let placement = match self.shared {
            true => Placement::Shared { worker: format!("host-{host}") },
            false => Placement::Alone,
        };
        let network = self.catalogue.network.clone();
        let supervisor = Supervisor::new(worker, shelf, Arc::new(broker), network, placement);
        let (handle, (stop, stopped)) = (supervisor.handle(), watch::channel(false));
        let run = tokio::spawn(supervisor.run(self.folder.follow(Arc::clone(&self.fates)), stopped));
        if let Some(place) = self.alive.get_mut(host) {
            *place = Some(Alive { life, stop, handle, run });
        }
        Ok(())
    }

    /// Gives a host a command, if it lives. It may know no such connector, or no such task.
    pub(super) async fn tell(&self, host: usize, connector: &str, command: Command) {
        let Some(alive) = self.alive.get(host).and_then(Option::as_ref) else { return };
        let told = alive.handle.tell(connector, command).await;
        let answer = told.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        self.fates.note(&format!("host {host} is told {command:?} of {connector}: {answer}"));
    }

    /// Ends a host on the spot, with all it does.
    pub(super) async fn crash(&mut self, host: usize) {
        let Some(alive) = self.alive.get_mut(host).and_then(Option::take) else { return };
        self.fates.note(&format!("host {host} is no more"));
        alive.run.abort();
        // It was aborted, which is no news.
        drop(alive.run.await);
        sleep(MOMENT).await;
    }

    /// Ends the host that a crash was decreed for, if it is still the same life.
    pub(super) async fn crash_life(&mut self, life: Life) -> bool {
        let is_it = self.alive.get(life.host).and_then(Option::as_ref).is_some_and(|alive| alive.life == life);
        if is_it {
            self.crash(life.host).await;
        }
        is_it
    }

    /// Tells a host to stop, and waits until it has. Returns whether all tasks ended by themselves.
    pub(super) async fn stop(&mut self, host: usize) -> Result<bool> {
        let Some(alive) = self.alive.get_mut(host).and_then(Option::take) else { return Ok(true) };
        self.fates.note(&format!("host {host} stops"));
        alive.stop.send_replace(true);
        let drained = alive.run.await?;
        sleep(MOMENT).await;
        self.fates.note(&format!("host {host} has stopped"));
        Ok(drained)
    }

    /// The state of the connectors, for people.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        for alive in self.alive.iter().flatten() {
            for connector in &alive.handle.status().borrow().connectors {
                let totals = connector.totals();
                let tasks: Vec<_> = connector.tasks.iter().map(|task| (task.id, task.state, &task.trace)).collect();
                text += &format!(
                    "\nhost {}: {} {} {:?}, {} in, {} out, {tasks:?}",
                    alive.life.host,
                    connector.name,
                    connector.state,
                    connector.reason,
                    totals.records_in,
                    totals.records_out
                );
            }
        }
        text
    }

    /// Makes sure that no life ended by a panic.
    pub(super) fn check(&self) -> Result<()> {
        for alive in self.alive.iter().flatten() {
            ensure!(!alive.run.is_finished(), "host {} ended by itself", alive.life.host);
        }
        Ok(())
    }
}

fn open(database: &str) -> Result<Arc<dyn Broker>> {
    let options = LocalOptions { durability: Durability::Process, ..LocalOptions::default() };
    Ok(Arc::new(LocalBroker::open_inline(Path::new(database), options)?))
}
