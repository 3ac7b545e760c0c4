//! A worker of a group under fire: a process of its own that answers on a port of its own, and what it says of the group.

use std::process::ExitStatus;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Chains;
use crate::rest::Rest;
use crate::scenario::Home;
use crate::wait::{self, Seen};
use crate::worker::Process;

/// A worker. It is killed when it is dropped.
pub struct Member {
    name: String,
    process: Process,
    /// From where on its log is about this life of it.
    life: usize,
    rest: Option<Rest>,
}

impl Member {
    /// Starts one. One that had this name before is the same worker come back.
    pub fn start(home: &Home, name: String) -> Result<Self> {
        let life = home.log_of(&name).length();
        let process = Process::start_beside(home, &name)?;
        Ok(Self { name, process, life, rest: None })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its REST interface, once it answers. That it has ended is an error.
    pub fn rest(&mut self, home: &Home) -> Result<Option<&Rest>> {
        self.process.check().with_context(|| format!("worker {}", self.name))?;
        if self.rest.is_none() {
            let events = home.log_of(&self.name).events(self.life)?;
            let url =
                events.iter().find(|event| event["message"] == "the REST interface answers").map(|said| &said["url"]);
            self.rest = url.and_then(Value::as_str).map(Rest::at);
        }
        Ok(self.rest.as_ref())
    }

    /// The same, waited for until it has loaded so many plugins.
    pub async fn until_loaded(&mut self, home: &Home, plugins: usize) -> Result<Rest> {
        wait::until(&format!("worker {} has loaded {plugins} plugins", self.name), wait::WITHIN, async || {
            let Some(rest) = self.rest(home)? else { return Ok(Seen::NotYet("it does not answer".to_owned())) };
            let loaded = rest.get("/connector-plugins?connectorsOnly=false").await?.expect(200)?;
            let count = loaded.as_array().map_or(0, Vec::len);
            Ok(if count >= plugins { Seen::Done(rest.clone()) } else { Seen::NotYet(loaded.to_string()) })
        })
        .await
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(self) -> Result<()> {
        self.process.kill()
    }

    /// Stops it in good order.
    pub async fn stop(self) -> Result<()> {
        let status: ExitStatus = self.process.terminate().await?;
        ensure!(status.success(), "worker {} did not stop in good order: {status}", self.name);
        Ok(())
    }
}

/// The first task of the chains that does not run on one of these workers, as one of them sees it; none: all do.
pub async fn not_running(rest: &Rest, chains: &Chains, living: &[String]) -> Result<Option<String>> {
    let all = rest.get("/connectors?expand=status").await?.expect(200)?;
    let runs = |said: &Value| {
        let worker = said["worker_id"].as_str();
        said["state"] == "RUNNING" && worker.is_some_and(|worker| living.iter().any(|living| living == worker))
    };
    for (connector, count) in chains.tasks() {
        let status = &all[connector]["status"];
        let tasks = status["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !runs(&status["connector"]) || tasks.len() != count || !tasks.iter().all(runs) {
            return Ok(Some(format!("{connector}: {status}, where {living:?} live")));
        }
    }
    Ok(None)
}
