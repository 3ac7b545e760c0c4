//! Wires production together, in this one file: the engine, a broker, the folder and the supervisor.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::api::{self, Socket};
use crate::broker::Broker;
use crate::broker::kafka::{KafkaBroker, KafkaOptions};
use crate::broker::local::{Durability, LocalBroker, LocalOptions};
use crate::config::{BrokerConfig, LocalConfig, Synchronous, SystemSecrets, WorkerConfig};
use crate::control::{Handle, KeptVersions, Placement, Supervisor, Targets};
use crate::data::DataFolder;
use crate::discovery::Discovery;
use crate::http::Network;
use crate::plugins::Loader;
use crate::sandbox::{Cache, Engine};
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

/// Runs a worker until it is told to stop. Returns whether all tasks ended by themselves. `attend` is handed what is
/// needed to watch it and to tell it what to do.
pub async fn run(
    worker: Arc<WorkerConfig>,
    stop: watch::Receiver<bool>,
    attend: impl FnOnce(Handle),
) -> anyhow::Result<bool> {
    run_on(worker, stop, attend, |broker| broker).await
}

/// The same, on what `wrap` makes of the broker: for tests, which put faults between the two.
pub async fn run_on(
    worker: Arc<WorkerConfig>,
    stop: watch::Receiver<bool>,
    attend: impl FnOnce(Handle),
    wrap: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
) -> anyhow::Result<bool> {
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
        std::io::Result::Ok((loader, kept, Targets::open(&data)?))
    });
    let (loader, kept, targets) = opened.await??;
    let supervisor = Supervisor::new(Arc::clone(&worker), loader, broker, network, targets, placement);
    let supervisor = supervisor.keeping(kept);
    let (handle, socket) = (supervisor.handle(), Socket::listen(&worker.data).await);
    attend(handle.clone());
    tokio::select! {
        drained = supervisor.run(discovery, stop) => Ok(drained),
        () = api::serve(socket, handle) => bail!("the control socket ended"),
    }
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
