//! Wires production together, in this one file: the engine, a broker, the folder and the supervisor.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::api::{self, App, Lags, Loggers, Logs, Parts, Socket};
use crate::broker::Broker;
use crate::broker::kafka::{KafkaBroker, KafkaOptions};
use crate::broker::local::{Durability, LocalBroker, LocalOptions};
use crate::config::{
    BrokerConfig, ConfigError, CredentialConfig, LocalConfig, ProofConfig, Synchronous, SystemSecrets, WorkerConfig,
    keys,
};
use crate::control::sharing::TakenAway;
use crate::control::{Handle, KeptVersions, Placement, Supervisor, sharing};
use crate::data::DataFolder;
use crate::discovery::Discovery;
use crate::door::{Credential, Door, DoorOptions, Limits, ListenOptions, Listening, Proof, TlsOptions};
use crate::http::Network;
use crate::plugins::Loader;
use crate::sandbox::{Cache, Engine};
use crate::storage::{Place, PluginTopic, StatusTopic, Statuses};
use crate::telemetry::{self, Exporting, Sampling, Tracer};
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
pub fn run<'a>(
    worker: Arc<WorkerConfig>,
    process: Process,
    stop: watch::Receiver<bool>,
    attend: impl FnOnce(Running) + Send + 'a,
) -> BoxFuture<'a, anyhow::Result<bool>> {
    run_on(worker, process, stop, attend, |broker| broker)
}

/// The same, on what `wrap` makes of the broker: for tests, which put faults between the two.
pub fn run_on<'a>(
    worker: Arc<WorkerConfig>,
    process: Process,
    stop: watch::Receiver<bool>,
    attend: impl FnOnce(Running) + Send + 'a,
    wrap: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker> + Send + 'a,
) -> BoxFuture<'a, anyhow::Result<bool>> {
    // A future is compiled where it is first called by name: were it not here, each program would compile the host anew.
    Box::pin(work(worker, process, stop, Box::new(attend), Box::new(wrap)))
}

/// What is done with a worker that runs.
type Attend<'a> = Box<dyn FnOnce(Running) + Send + 'a>;
/// What becomes of its broker.
type Wrap<'a> = Box<dyn FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker> + Send + 'a>;

async fn work(
    worker: Arc<WorkerConfig>,
    process: Process,
    stop: watch::Receiver<bool>,
    attend: Attend<'_>,
    wrap: Wrap<'_>,
) -> anyhow::Result<bool> {
    // Files are told by their whole names, and told apart by them.
    let plugins =
        std::path::absolute(&worker.plugins).with_context(|| format!("plugin folder {}", worker.plugins.display()))?;
    let worker = Arc::new(WorkerConfig { plugins, ..(*worker).clone() });
    let door = Door::new(door_options(&worker)?)?;
    let listening = match &worker.rest.listen {
        Some(_) => Some(door.listen().await?),
        None => None,
    };
    let address = listening.as_ref().map(Listening::address);
    if let Some(listening) = &listening {
        info!(url = listening.url(), "the REST interface answers");
    }
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
    let (tracer, exporting) = tracing(&worker, &network, folder.worker()).await?;
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
    let is_shared = matches!(placement, Placement::Shared { .. });
    let shared_plugins = worker.plugin_storage_topic.as_ref().filter(|_| is_shared).map(|topic| PluginTopic {
        broker: Arc::clone(&broker),
        place: Place {
            topic: topic.as_str().into(),
            key: keys::PLUGIN_STORAGE_TOPIC.name,
            group: worker.group_id.clone(),
            replication_factor: worker.topic_defaults.replication_factor,
        },
        worker: folder.worker().to_owned(),
    });
    let supervisor = Supervisor::new(Arc::clone(&worker), loader, Arc::clone(&broker), network, placement);
    let (caught_up, shares) = watch::channel(shared_plugins.is_none());
    let (answered, all_answered) = oneshot::channel();
    let supervisor = supervisor.keeping(kept).sharing(shares).tracing(tracer.clone()).answering(all_answered);
    let (handle, socket) = (supervisor.handle(), Socket::listen(&worker.data).await);
    let is_secure = worker.rest.tls.is_some();
    let worker_id = address.map_or_else(
        || folder.worker().to_owned(),
        |address| advertised(address, worker.rest.advertised_host.as_deref()),
    );
    let status_topic = is_shared.then(|| StatusTopic {
        broker: Arc::clone(&broker),
        topic: worker.status_storage_topic.as_str().into(),
        replication_factor: worker.topic_defaults.replication_factor,
        worker: folder.worker().to_owned(),
        worker_id: worker_id.clone(),
    });
    let (plugins, status) = (worker.plugins.clone(), handle.status());
    let taken_away = shared_plugins.is_some().then(TakenAway::default);
    let shared = shared_plugins.zip(taken_away.clone());
    let share_plugins = async {
        match shared {
            Some((topic, taken_away)) => sharing::share(topic, plugins, status, taken_away, caught_up).await,
            None => pending().await,
        }
    };
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
        taken_away,
        tracer,
        is_secure,
    });
    attend(Running { handle, address });
    // What was asked for before the host stopped is done by a host that runs.
    let interface = async {
        api::serve(app.clone(), door, socket, listening, stop.clone()).await;
        drop(answered);
        pending::<Infallible>().await
    };
    let drained = tokio::select! {
        drained = supervisor.run(discovery, stop.clone()) => drained,
        never = interface => match never {},
        never = api::keep_up(app.clone()) => match never {},
        never = share_plugins => match never {},
    };
    if let Some(topic) = status_topic {
        // Nobody waits for long: the others learn it by its silence, too.
        let _ = tokio::time::timeout(LEAVE_WITHIN, topic.leave()).await;
    }
    if let Some(exporting) = exporting {
        exporting.finish().await;
    }
    Ok(drained)
}

/// How long a request to a collector may take: what OpenTelemetry says.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);

/// What makes spans, and what sends them; by default neither does anything.
async fn tracing(
    worker: &WorkerConfig,
    network: &Network,
    instance: &str,
) -> anyhow::Result<(Tracer, Option<Exporting>)> {
    let (options, warnings) = worker.tracing.resolve(&SystemSecrets)?;
    for warning in warnings {
        warn!("{warning}");
    }
    let Some(options) = options else { return Ok((Tracer::default(), None)) };
    let url = options.url.parse().context("tracing.endpoint")?;
    let headers: Vec<_> =
        options.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    let poster = network.poster(url, &headers, EXPORT_WITHIN).await.context("tracing")?;
    info!(collector = poster.url().as_str(), "traces are sent");
    let sampling = Sampling { ratio: options.ratio.get(), follows: options.follows };
    let options = telemetry::Options { service_name: options.service_name, instance: instance.to_owned(), sampling };
    let (tracer, exporting) = telemetry::start(&options, poster);
    Ok((tracer, Some(exporting)))
}

/// What others call a worker that listens there.
fn advertised(address: SocketAddr, host: Option<&str>) -> String {
    match host {
        Some(host) => format!("{host}:{}", address.port()),
        None if address.ip().is_unspecified() => {
            // Where the system keeps its name elsewhere the key says it.
            let named = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let host = Some(named.trim()).filter(|name| !name.is_empty()).unwrap_or("localhost");
            format!("{host}:{}", address.port())
        }
        None => address.to_string(),
    }
}

/// What the configuration says of the REST interface, secrets resolved.
pub fn door_options(worker: &WorkerConfig) -> Result<DoorOptions, ConfigError> {
    let rest = &worker.rest;
    let credential = |CredentialConfig { name, role, proof }: &CredentialConfig| {
        let proof = match proof {
            ProofConfig::Token(token) => Proof::Token(token.resolve(&SystemSecrets)?),
            ProofConfig::Password(password) => Proof::Password(password.resolve(&SystemSecrets)?),
        };
        Ok(Credential { name: name.clone(), role: *role, proof })
    };
    let defaults = ListenOptions::default();
    let listen = ListenOptions {
        address: rest.listen.clone().unwrap_or_else(|| defaults.address.clone()),
        insecure: rest.insecure,
        tls: rest
            .tls
            .as_ref()
            .map(|tls| TlsOptions { client_ca: tls.client_ca.clone(), ..TlsOptions::new(&tls.certificate, &tls.key) }),
        connections: rest.connections,
        idle_timeout: rest.idle_timeout,
        // Tasks end meanwhile; what is told last shall be told before they have had their time.
        shutdown_timeout: defaults.shutdown_timeout.min(worker.shutdown_timeout / 2),
        ..defaults
    };
    let limits = Limits {
        body_bytes: rest.body_max_bytes,
        upload_bytes: rest.plugin_max_bytes,
        request_timeout: rest.request_timeout,
        requests: rest.requests_max,
        requests_per_second: rest.rate_per_second,
        failures_per_minute: rest.failures_per_minute,
    };
    let credentials = rest.credentials.iter().map(credential).collect::<Result<_, _>>()?;
    let (allowed_origins, hosts) = (rest.allowed_origins.clone(), rest.hosts.clone());
    Ok(DoorOptions { listen, credentials, limits, allowed_origins, hosts })
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
