//! A worker inside the test's own process, where the state of its connectors can be seen. It has a runtime and a log of
//! its own, so that several scenarios do not get into each other's way.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use sandbar::config::WorkerConfig;
use sandbar::control::{ConnectorStatus, Status};
use sandbar::wiring::{self, Process, Running};
use tokio::sync::watch;
use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::filter::LevelFilter;

use super::log::Log;
use crate::wait::{self, Seen};

thread_local! {
    /// What directs the events of a runtime's thread to the log of its worker.
    static DIRECTED: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// A worker. It is told to stop when it is dropped.
pub struct InProcess {
    stop: watch::Sender<bool>,
    status: watch::Receiver<Status>,
    thread: Option<JoinHandle<Result<bool>>>,
}

impl InProcess {
    /// Starts one.
    pub(crate) fn start(config: WorkerConfig, log: &Log) -> Result<Self> {
        let events = tracing_subscriber::fmt()
            .json()
            .with_max_level(LevelFilter::INFO)
            .with_writer(Mutex::new(log.append()?))
            .finish();
        let events: Arc<dyn tracing::Subscriber + Send + Sync> = Arc::new(events);
        let (stop, stopped) = watch::channel(false);
        let (shown, status) = watch::channel(Status::default());
        let run = move || -> Result<bool> {
            let direct = move || DIRECTED.with(|guard| *guard.borrow_mut() = Some(set_default(Arc::clone(&events))));
            direct();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .on_thread_start(direct)
                .build()?;
            runtime.block_on(async {
                let show = |running: Running| {
                    let mut from = running.handle.status();
                    drop(tokio::spawn(async move {
                        while from.changed().await.is_ok() {
                            let now = from.borrow_and_update().clone();
                            shown.send_replace(now);
                        }
                    }));
                };
                wiring::run(Arc::new(config), Process::default(), stopped, show).await
            })
        };
        let thread = thread::Builder::new().name("worker".to_owned()).spawn(run)?;
        Ok(Self { stop, status, thread: Some(thread) })
    }

    /// Waits until the state of the connectors is as it should be.
    pub async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Status) -> bool) -> Result<Status> {
        wait::until(what, wait::WITHIN, async || {
            if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
                let drained = thread.join().map_err(|_| anyhow!("the worker panicked"))?;
                bail!("the worker ended by itself: {drained:?}");
            }
            let status = self.status.borrow().clone();
            Ok(if is_so(&status) { Seen::Done(status) } else { Seen::NotYet(describe(&status)) })
        })
        .await
    }

    /// Waits until the state of one connector, by its full name, is as it should be.
    pub async fn until_connector(
        &mut self,
        name: &str,
        what: &str,
        mut is_so: impl FnMut(&ConnectorStatus) -> bool,
    ) -> Result<ConnectorStatus> {
        let status = self.until(&format!("{name} {what}"), |status| find(status, name).is_some_and(&mut is_so)).await?;
        find(&status, name).cloned().context("it was there")
    }

    /// Stops it, and waits until it has ended. Everything it had taken up must be done by then.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
        let drained = ended.map_err(|_| anyhow!("the worker panicked"))??;
        ensure!(drained, "not all tasks ended by themselves");
        Ok(())
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Joined, so that nothing writes into a folder that is about to be deleted.
            let _ = thread.join();
        }
    }
}

/// A connector of the status, by its full name.
#[must_use]
pub fn find<'s>(status: &'s Status, name: &str) -> Option<&'s ConnectorStatus> {
    status.connectors.iter().find(|connector| connector.name == name)
}

fn describe(status: &Status) -> String {
    let connectors = status.connectors.iter().map(|connector| {
        let totals = connector.totals();
        format!("{} {} {totals:?} {:?}", connector.name, connector.state, connector.reason)
    });
    format!("ready: {}; {}", status.ready, connectors.collect::<Vec<_>>().join("; "))
}
