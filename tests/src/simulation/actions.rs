//! What is done to the hosts while they work: by people who change definitions and plugins, and by the world.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use sandbar::control::Command;
use sandbar::storage::Restart;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, advance, sleep, timeout_at};

use super::catalogue::{Catalogue, VERSIONS};
use super::hosts::Hosts;
use super::scenario::Scenario;
use crate::chance::Chance;
use crate::faults::{Life, Plan};

/// Actions of a run, at most.
const ACTIONS: u64 = 14;
/// The longest time between two of them, in milliseconds.
const PAUSE_MS: u64 = 700;
/// The longest a crashed host stays away, in milliseconds.
const AWAY_MS: u64 = 3_000;

/// See the module.
pub(super) struct Actions {
    pub(super) chance: Chance,
    pub(super) scenario: Scenario,
    /// Crashes that the plan decrees.
    pub(super) crashes: UnboundedReceiver<Life>,
}

/// How much goes wrong in a run.
pub(super) fn plan(chance: &mut Chance) -> Plan {
    let mut one_of = |rates: [u64; 4]| rates[usize::try_from(chance.among(0..4)).unwrap_or(0)];
    Plan {
        failures: one_of([0, 15, 40, 150]),
        crashes: one_of([0, 0, 150, 400]),
        stalls: one_of([0, 60, 200, 1_000]),
        delay_ms: one_of([0, 2, 10, 60]),
        outages: Vec::new(),
    }
}

impl Actions {
    /// Starts the first host, and lets things go wrong.
    pub(super) async fn disturb(&mut self, hosts: &mut Hosts) -> Result<()> {
        for connector in self.scenario.connectors() {
            self.define(hosts, connector, "RUNNING")?;
        }
        hosts.start(0)?;
        for _ in 0..self.chance.among(0..ACTIONS) {
            self.pause(hosts, PAUSE_MS).await?;
            self.act(hosts).await?;
        }
        self.pause(hosts, PAUSE_MS).await
    }

    /// Undoes what people did, and leaves one host that runs everything, or two that share it.
    pub(super) async fn settle(&mut self, hosts: &mut Hosts) -> Result<()> {
        for package in Catalogue::packages() {
            hosts.put_plugin(package, 0)?;
        }
        for connector in self.scenario.connectors() {
            self.define(hosts, connector, "RUNNING")?;
        }
        // Two may live on: each has its share, or one of them has everything.
        let both = self.scenario.two_hosts && self.chance.among(0..2) == 1;
        if !both {
            hosts.stop(1).await?;
        }
        // A crash may have been decreed that was not carried out.
        while let Ok(life) = self.crashes.try_recv() {
            hosts.crash_life(life).await;
        }
        for host in 0..2 {
            for connector in self.scenario.connectors() {
                hosts.tell(host, connector, Command::Resume).await;
            }
        }
        hosts.start(0)?;
        if both { hosts.start(1) } else { Ok(()) }
    }

    /// Lets time pass, in which hosts crash as they have to, and live again.
    async fn pause(&mut self, hosts: &mut Hosts, longest_ms: u64) -> Result<()> {
        let until = Instant::now() + Duration::from_millis(self.chance.among(0..longest_ms));
        while let Ok(Some(life)) = timeout_at(until, self.crashes.recv()).await {
            if hosts.crash_life(life).await {
                sleep(Duration::from_millis(self.chance.among(0..AWAY_MS))).await;
                hosts.start(life.host)?;
            }
        }
        Ok(())
    }

    async fn act(&mut self, hosts: &mut Hosts) -> Result<()> {
        let host = if self.scenario.two_hosts { usize::from(self.chance.among(0..2) == 1) } else { 0 };
        match self.chance.among(0..14) {
            0 | 1 => {
                hosts.crash(host).await;
                sleep(Duration::from_millis(self.chance.among(0..AWAY_MS))).await;
                hosts.start(host)
            }
            2 => {
                // What has to end while much fails may take too long, and is cut off.
                hosts.stop(host).await?;
                hosts.start(host)
            }
            3 => self.change(hosts, "PAUSED"),
            4 => self.change(hosts, "STOPPED"),
            5 | 6 => self.change(hosts, "RUNNING"),
            7 => {
                let connector = self.connector();
                hosts.fates.note(&format!("{connector} is taken away"));
                hosts.folder.remove(Path::new(&file(connector)));
                Ok(())
            }
            8 | 9 => self.swap(hosts),
            10 | 11 => {
                let (connector, command) = (self.connector(), self.command());
                hosts.tell(host, connector, command).await;
                Ok(())
            }
            12 => {
                let length = Duration::from_millis(self.chance.among(10..60_000));
                hosts.fates.note(&format!("the broker is away for {length:?}"));
                hosts.fates.outage(length);
                Ok(())
            }
            _ => {
                let hours = Duration::from_secs(self.chance.among(1..6 * 3600));
                hosts.fates.note(&format!("the clock jumps by {hours:?}"));
                advance(hours).await;
                Ok(())
            }
        }
    }

    fn change(&mut self, hosts: &Hosts, state: &str) -> Result<()> {
        let connector = self.connector();
        self.define(hosts, connector, state)
    }

    /// Puts another version of a plugin in its place, or takes it away.
    fn swap(&mut self, hosts: &Hosts) -> Result<()> {
        let packages: Vec<_> = Catalogue::packages().collect();
        let package = pick(&packages, &mut self.chance);
        let version = usize::try_from(self.chance.among(0..VERSIONS as u64 + 1))?;
        if version < VERSIONS {
            hosts.fates.note(&format!("version {version} of {package} is put there"));
            hosts.put_plugin(package, version)
        } else {
            hosts.fates.note(&format!("{package} is taken away"));
            hosts.remove_plugin(package);
            Ok(())
        }
    }

    fn define(&mut self, hosts: &Hosts, connector: &str, state: &str) -> Result<()> {
        hosts.fates.note(&format!("{connector} is defined, {state}"));
        hosts.folder.define(&file(connector), self.scenario.define(connector, state, &mut self.chance)?);
        Ok(())
    }

    /// Something that an operator says.
    fn command(&mut self) -> Command {
        match self.chance.among(0..6) {
            0 => Command::Pause,
            1 => Command::Stop,
            2 | 3 => Command::Resume,
            4 => Command::Restart(Restart::Tasks { only_failed: self.chance.among(0..2) == 1 }),
            _ => Command::Restart(Restart::Task(u32::from(self.chance.among(0..2) == 1))),
        }
    }

    fn connector(&mut self) -> &'static str {
        pick(&self.scenario.connectors(), &mut self.chance)
    }
}

fn pick(names: &[&'static str], chance: &mut Chance) -> &'static str {
    let index = chance.among(0..names.len() as u64);
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

fn file(connector: &str) -> String {
    format!("{connector}.json")
}
