//! Wires production together, in this one file: the engine, a broker, the folder and the supervisor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::api::{self, App, Lags, Loggers, Logs, Parts, Socket};
use crate::broker::Broker;
use crate::broker::kafka::{KafkaBroker, KafkaOptions};
use crate::broker::local::{Durability, LocalBroker, LocalOptions};
use crate::config::{BrokerConfig, LocalConfig, Synchronous, SystemSecrets, WorkerConfig};
use crate::control::{Handle, KeptVersions, Placement, Supervisor};
use crate::data::DataFolder;
use crate::discovery::Discovery;
use crate::http::Network;
use crate::plugins::Loader;
use crate::sandbox::{Cache, Engine};
use crate::storage::{StatusTopic, Statuses};
use crate::text::one_line;

/// The broker a worker's configuration names. Kafka need not be up yet.
pub async fn broker(worker: &WorkerConfig) -> anyhow::Result<Arc<dyn Broker>> {
    match &worker.broker {
        BrokerConfig::Local(config) => {
            std::fs::create_dir_all(&worker.data)
                .with_context(|| format!("data folder {} cannot be created", worker.data.display()))?;
            let (data, options) = (worker.data.clone(), local_options(config));
            let broker = spawn_blocking(move || LocalBroker::open_with(&data, options)).await??;
            Ok(Arc::new(broker))
        }
        BrokerConfig::Kafka(properties) => {
            let properties = properties.resolve(&SystemSecrets).map_err(|errors| anyhow!(one_line(&errors)))?;
            let options = KafkaOptions {
                properties,
                offset_storage_topic: worker.offset_storage_topic.clone(),
                internal_replication_factor: worker.topic_defaults.replication_factor,
            };
            Ok(Arc::new(KafkaBroker::new(options)?))
        }
    }
}

fn local_options(config: &LocalConfig) -> LocalOptions {
    LocalOptions {
        durability: match config.synchronous {
            Synchronous::Full => Durability::Full,
            Synchronous::Normal => Durability::Process,
        },
        max_message_bytes: config.message_max_bytes,
        retention: config.log_retention,
        maintenance_interval: config.log_retention_check_interval,
        ..LocalOptions::default()
    }
}

/// How long a worker that ends may take to say so.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// What belongs to the process and not to a worker of it: what is logged.
#[derive(Clone, Default)]
pub struct Process {
    /// What tasks and plugins logged lately.
    pub logs: Logs,
    /// How much is logged.
    pub loggers: Loggers,
}

/// A worker that runs, for whoever watches it or tells it what to do.
pub struct Running {
    /// The host.
    pub handle: Handle,
    /// Where the REST interface answers.
    pub address: Option<SocketAddr>,
}

/// Runs a worker until it is told to stop. Returns whether all tasks ended by themselves. `attend` is handed what is
/// needed to watch it and to tell it what to do.
pub async fn run(
    worker: Arc<WorkerConfig>,
    process: Process,
    stop: watch::Receiver<bool>,
    attend: impl FnOnce(Running),
) -> anyhow::Result<bool> {
    run_on(worker, process, stop, attend, |broker| broker).await
}

/// The same, on what `wrap` makes of the broker: for tests, which put faults between the two.
pub async fn run_on(
    worker: Arc<WorkerConfig>,
    process: Process,
    stop: watch::Receiver<bool>,
    attend: impl FnOnce(Running),
    wrap: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
) -> anyhow::Result<bool> {
    let listener = listen(&worker).await?;
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    std::fs::create_dir_all(&worker.plugins)
        .with_context(|| format!("plugin folder {} cannot be created", worker.plugins.display()))?;
    let folder = DataFolder::take(&worker.data)?;
    let placement = match &worker.broker {
        // Nobody else has its file.
        BrokerConfig::Local(_) => Placement::Alone,
        BrokerConfig::Kafka(_) => Placement::Shared { worker: folder.worker().to_owned() },
    };
    let broker = wrap(broker(&worker).await?);
    let network = Network::new(worker.http_ca_file.as_deref())?;
    info!(broker = broker.describe(), plugins = %worker.plugins.display(), "sandbar {} starts", env!("CARGO_PKG_VERSION"));
    let discovery = Discovery::new(&worker.plugins, worker.scan_interval)
        .with_context(|| format!("plugin folder {} cannot be followed", worker.plugins.display()))?;
    let loader = loader(&worker).await?;
    let data = worker.data.clone();
    let opened = spawn_blocking(move || {
        let kept = KeptVersions::open(&data, |file| loader.load_now(file))?;
        std::io::Result::Ok((loader, kept))
    });
    let (loader, kept) = opened.await??;
    let supervisor = Supervisor::new(Arc::clone(&worker), loader, Arc::clone(&broker), network, placement);
    let supervisor = supervisor.keeping(kept);
    let (handle, socket) = (supervisor.handle(), Socket::listen(&worker.data).await);
    if let Some(address) = address {
        info!(%address, "the REST interface answers");
    }
    let worker_id = address.map_or_else(|| folder.worker().to_owned(), |address| address.to_string());
    let status_topic = matches!(worker.broker, BrokerConfig::Kafka(_)).then(|| StatusTopic {
        broker: Arc::clone(&broker),
        topic: worker.status_storage_topic.as_str().into(),
        replication_factor: worker.topic_defaults.replication_factor,
        worker: folder.worker().to_owned(),
        worker_id: worker_id.clone(),
    });
    let app = App::new(Parts {
        handle: handle.clone(),
        broker,
        worker,
        worker_id,
        logs: process.logs,
        loggers: process.loggers,
        lags: Lags::default(),
        statuses: Statuses::default(),
        status_topic: status_topic.clone(),
        is_secure: false,
    });
    attend(Running { handle, address });
    let drained = tokio::select! {
        drained = supervisor.run(discovery, stop) => drained,
        () = api::serve(app, socket, listener) => bail!("no interface of the host answers any more"),
    };
    if let Some(topic) = status_topic {
        // Nobody waits for long: the others learn it by its silence, too.
        let _ = tokio::time::timeout(LEAVE_WITHIN, topic.leave()).await;
    }
    Ok(drained)
}

/// Takes the address of the REST interface.
async fn listen(worker: &WorkerConfig) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = &worker.listen else { return Ok(None) };
    let listener = TcpListener::bind(address.as_str()).await;
    let listener = listener.with_context(|| {
        format!("the REST interface cannot answer on {address}; --listen takes another address, or `none`")
    })?;
    Ok(Some(listener))
}

/// What loads plugins. Without a cache that can be relied on it compiles each of them.
async fn loader(worker: &Arc<WorkerConfig>) -> anyhow::Result<Loader> {
    let (engine, trust) = (Engine::new()?, worker.trust.clone());
    let (opener, worker) = (engine.clone(), Arc::clone(worker));
    let opened =
        spawn_blocking(move || Cache::open(&opener, &worker.cache, &worker.data, worker.cache_max_bytes)).await?;
    let cache = opened.inspect_err(|error| warn!("the cache is not used, plugins are compiled at each start: {error}"));
    Ok(Loader { engine, cache: cache.ok(), trust })
}
