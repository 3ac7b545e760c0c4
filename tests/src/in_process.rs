//! A worker inside the test's own process: a plugin folder, the embedded broker, and the host as production wires it.
//! For tests that look at what the host does about bad plugins; what concerns the process has another harness.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sandbar::broker::{BatchLimits, Broker, ReadFrom, ReadSpec, TopicSettings};
use sandbar::config::WorkerConfig;
use sandbar::control::{Command, ConnectorState, ConnectorStatus, Handle, Status};
use sandbar::sandbox::Cache;
use sandbar::wiring::{self, Running};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::built;
use crate::contract::{Row, WITHIN, output, rows, within};
use crate::logs;
use crate::topics;

/// How often the folder is looked through. Events may come late on a busy machine; tests do not wait for them.
const SCAN: Duration = Duration::from_millis(20);
/// How long a single read, or a wait for a change, lasts before the world is looked at again.
const WAIT: Duration = Duration::from_millis(50);
/// What a single read returns at most.
const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 4 << 20 };
/// The neighbour that every worker of a test can run beside what the test is about.
const NEIGHBOUR: &str = "neighbour";

/// A running worker.
pub struct Worker {
    folder: Arc<TempDir>,
    plugins: PathBuf,
    broker: Arc<dyn Broker>,
    handle: Handle,
    address: Option<SocketAddr>,
    status: watch::Receiver<Status>,
    stop: watch::Sender<bool>,
    run: JoinHandle<Result<bool>>,
    probes: usize,
}

impl Worker {
    /// Starts a worker on an empty folder.
    pub async fn start() -> Result<Self> {
        Self::start_in(Arc::new(tempfile::tempdir()?)).await
    }

    /// Starts a worker on a folder that may hold plugins, definitions and data already.
    pub async fn start_in(folder: Arc<TempDir>) -> Result<Self> {
        let worker = config(folder.path());
        Self::start_with(folder, worker).await
    }

    /// Starts a worker with this configuration, of a folder that is to be kept.
    pub async fn start_with(folder: Arc<TempDir>, worker: WorkerConfig) -> Result<Self> {
        let process = logs::capture();
        let (stop, stopped) = watch::channel(false);
        let (told, running) = oneshot::channel();
        let (plugins, settings) = (worker.plugins.clone(), worker.clone());
        let run = tokio::spawn(wiring::run(Arc::new(worker), process, stopped, |running| {
            // The test has given up where nobody listens.
            drop(told.send(running));
        }));
        let Ok(Running { handle, address }) = running.await else {
            run.await??;
            bail!("the worker ended before it began");
        };
        let broker = wiring::broker(&settings).await?;
        let status = handle.status();
        Ok(Self { folder, plugins, broker, handle, address, status, stop, run, probes: 0 })
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn folder(&self) -> &Arc<TempDir> {
        &self.folder
    }

    /// Its broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Gives a command.
    pub async fn tell(&self, connector: &str, command: Command) -> Result<()> {
        Ok(self.handle.tell(connector, command).await?)
    }

    /// Where its REST interface answers, where it was told to.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Drops a file into the plugin folder, whole at once, and returns its path.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        put(&self.plugins, name, content)
    }

    /// Takes a file out of the plugin folder.
    pub fn remove(&self, name: &str) -> Result<()> {
        Ok(std::fs::remove_file(self.plugins.join(name))?)
    }

    /// Defines a connector.
    pub fn define(&self, name: &str, config: &[(&str, &str)]) -> Result<PathBuf> {
        self.put(&format!("{name}.json"), &definition(name, config)?)
    }

    /// The connectors as they are now.
    #[must_use]
    pub fn connectors(&self) -> Vec<ConnectorStatus> {
        self.status.borrow().connectors.clone()
    }

    /// Waits until a connector is as wanted.
    pub async fn wait(&mut self, name: &str, wanted: impl Fn(&ConnectorStatus) -> bool) -> Result<ConnectorStatus> {
        let mut last = None;
        let seen = tokio::time::timeout(WITHIN, async {
            loop {
                let found = self.status.borrow_and_update().connectors.iter().find(|c| c.name == name).cloned();
                match found {
                    Some(connector) if wanted(&connector) => return Ok(connector),
                    other => last = other,
                }
                // Counters move without a change of the status being told.
                if let Ok(changed) = tokio::time::timeout(WAIT, self.status.changed()).await {
                    changed.context("the worker has ended")?;
                }
            }
        });
        match seen.await {
            Ok(seen) => seen,
            Err(_) => bail!("connector {name} is not as wanted within {WITHIN:?}, but {last:#?}"),
        }
    }

    /// Waits until a connector is in a state, and returns the reason it gives.
    pub async fn reason(&mut self, name: &str, state: ConnectorState) -> Result<String> {
        Ok(self.wait(name, |c| c.state == state && c.reason.is_some()).await?.reason.unwrap_or_default())
    }

    /// Waits until the whole status is as wanted.
    pub async fn status(&mut self, wanted: impl Fn(&Status) -> bool) -> Result<Status> {
        let seen = tokio::time::timeout(WITHIN, self.status.wait_for(wanted)).await;
        let seen = seen.map(|status| status.map(|status| status.clone()));
        match seen {
            Ok(status) => status.context("the worker has ended"),
            Err(_) => bail!("the status is not as wanted within {WITHIN:?}, but {:#?}", self.status.borrow()),
        }
    }

    /// Waits until a connector is gone.
    pub async fn gone(&mut self, name: &str) -> Result<()> {
        let gone = self.status.wait_for(|status| status.connectors.iter().all(|c| c.name != name));
        gone.await.context("the worker has ended")?;
        Ok(())
    }

    /// Writes records with these values, of one partition.
    pub async fn write(&self, topic: &str, values: &[&str]) -> Result<()> {
        let records = output(topic, |frame| {
            for value in values {
                frame.record(Some(b"key"), Some(value.as_bytes())).header("from", Some(b"test"));
            }
        })?;
        Ok(self.broker.write(records, &TopicSettings::default()).await?)
    }

    /// Reads a topic from its beginning until it holds so many records.
    pub async fn read(&self, topic: &str, count: usize) -> Result<Vec<Row>> {
        let spec = ReadSpec { topic: topic.to_owned(), partitions: None, from: ReadFrom::Beginning };
        within(&format!("{count} records in {topic}"), async {
            let mut reader = loop {
                if let Some(reader) = topics::opened(&*self.broker, spec.clone()).await? {
                    break reader;
                }
                tokio::time::sleep(WAIT).await;
            };
            let mut all = Vec::new();
            while all.len() < count {
                for batch in reader.next(LIMITS, WAIT).await? {
                    all.extend(rows(&batch)?);
                }
            }
            ensure!(all.len() == count, "{} records in {topic}, expected {count}", all.len());
            Ok(all)
        })
        .await
    }

    /// Starts a connector that passes records from one topic to another, by a plugin that is in the folder.
    pub async fn start_neighbour(&mut self, plugin: &str) -> Result<()> {
        self.define(
            NEIGHBOUR,
            &[("connector.class", plugin), ("connector.type", "transform"), ("topics", "probes"), ("topic", "passed")],
        )?;
        self.wait(NEIGHBOUR, |c| c.state == ConnectorState::Running).await?;
        self.probe().await
    }

    /// Passes one more record through the neighbour: it makes progress, and has never failed.
    pub async fn probe(&mut self) -> Result<()> {
        self.probes += 1;
        let value = format!("probe {}", self.probes);
        self.write("probes", &[&value]).await?;
        let passed = self.read("passed", self.probes).await?;
        ensure!(passed.last().is_some_and(|row| row.text() == value), "{passed:?}");
        let neighbour = self.wait(NEIGHBOUR, |c| c.state == ConnectorState::Running).await?;
        let instances = neighbour.totals().instances;
        ensure!(instances == 1, "the neighbour has had {instances} instances");
        Ok(())
    }

    /// Stops the worker. Tells whether all tasks ended by themselves.
    pub async fn stop(self) -> Result<bool> {
        self.stop.send_replace(true);
        within("the worker stops", async { self.run.await? }).await
    }
}

/// The configuration of a worker in a folder.
#[must_use]
pub fn config(folder: &Path) -> WorkerConfig {
    let mut worker = WorkerConfig { scan_interval: SCAN, ..WorkerConfig::default() };
    worker.plugins = folder.join("plugins");
    worker.data = folder.join("data");
    worker.rest.listen = None;
    // Plugins are compiled once a program, not once a test: all workers share a cache, and the key to it. A worker that
    // could not be given the key makes one, and compiles for itself.
    static CACHE: OnceLock<Option<TempDir>> = OnceLock::new();
    let cache = CACHE.get_or_init(|| tempfile::tempdir().ok());
    worker.cache = cache.as_ref().map_or_else(|| folder.join("cache"), |cache| cache.path().to_owned());
    let _ = give_key(&worker.data);
    worker
}

/// Puts the key that all workers of a program share into a data folder, unless there is one.
fn give_key(data: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(data)?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(data.join(Cache::KEY_FILE))?;
    file.write_all(&[7; Cache::KEY_BYTES])
}

/// Drops a file into a folder, whole at once, and returns its path.
pub fn put(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf> {
    let (scratch, path) = (folder.join(format!(".{name}.part")), folder.join(name));
    std::fs::write(&scratch, content).with_context(|| format!("write {}", scratch.display()))?;
    std::fs::rename(&scratch, &path)?;
    Ok(path)
}

/// A definition, as a file holds it.
pub fn definition(name: &str, config: &[(&str, &str)]) -> Result<Vec<u8>> {
    let config: BTreeMap<_, _> = config.iter().copied().collect();
    Ok(serde_json::to_vec_pretty(&serde_json::json!({ "name": name, "config": config }))?)
}

/// A plugin of `examples-plugins/`.
pub fn example(name: &str) -> Result<Vec<u8>> {
    let path = built::plugins()?.join(format!("{name}.wasm"));
    std::fs::read(&path).with_context(|| path.display().to_string())
}
