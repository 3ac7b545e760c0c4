//! Makes plans of settings: secrets resolved, grants opened, the work of a source split over its tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbar_abi::manifest::{Access, Kind};
use sandbar_abi::message::Open;
use sandbar_abi::names::ABI_MINOR;
use sandbar_abi::status::CloseReason;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::{
    ConnectorSettings, InjectSettings, PluginSettings, Properties, SandboxSettings, SystemSecrets, Tolerance,
    WorkerConfig,
};
use crate::http::{Injection, Network};
use crate::plugins::Plugin;
use crate::sandbox::{Grants, Identity, Instance, Ledger, Limits, LogQuota, OpenSpec};
use crate::task::{DeadLetterPlan, ErrorPolicy, Pace, Plan, StagePlan};
use crate::telemetry::Tracer;
use crate::text::one_line;

/// The plugins a connector runs with.
#[derive(Clone)]
pub(super) struct Plugins {
    pub(super) own: Arc<Plugin>,
    pub(super) transforms: Vec<Arc<Plugin>>,
}

impl Plugins {
    /// Whether both are the same code.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.iter().map(|plugin| plugin.inspection.sha256).eq(other.iter().map(|plugin| plugin.inspection.sha256))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        std::iter::once(&self.own).chain(&self.transforms)
    }
}

/// Makes one plan a task.
pub(super) async fn plan(
    settings: Arc<ConnectorSettings>,
    plugins: Plugins,
    worker: Arc<WorkerConfig>,
    network: Network,
    tracer: Tracer,
) -> Result<Vec<Plan>, String> {
    let own = stage("", &settings.plugin, &plugins.own, &network).await?;
    let mut transforms = Vec::new();
    for (transform, plugin) in settings.transforms.iter().zip(&plugins.transforms) {
        transforms.push(stage(&transform.alias, &transform.plugin, plugin, &network).await?);
    }
    let configs = match settings.kind {
        Kind::Source if settings.tasks_max > 1 => split(&settings, &own).await?,
        Kind::Source => vec![own.config.clone()],
        Kind::Sink | Kind::Transform => vec![own.config.clone(); settings.tasks_max as usize],
    };
    let tasks = u32::try_from(configs.len()).map_err(|_| "too many tasks".to_owned())?;
    let consumer_overrides = properties(&settings.consumer_overrides)?;
    let producer_overrides = properties(&settings.producer_overrides)?;
    let own_topics = worker.own_topics();
    let plans = configs.into_iter().zip(0..).map(|(config, task)| {
        Ok(Plan {
            worker_group: worker.group_id.clone(),
            connector: settings.name.clone(),
            task,
            tasks,
            role: settings.kind,
            input: settings.input(),
            output_topic: settings.topic.as_deref().map(Arc::from),
            plugin: StagePlan { config, ..for_task(&own)? },
            transforms: transforms.iter().map(for_task).collect::<Result<_, _>>()?,
            pace: pace(&settings),
            errors: errors(&settings),
            own_topics: own_topics.clone(),
            topic_settings: settings.topic_settings.clone(),
            consumer_overrides: consumer_overrides.clone(),
            producer_overrides: producer_overrides.clone(),
            tracer: tracer.clone(),
        })
    });
    plans.collect()
}

/// A stage for one task, which shares no connection with other tasks.
fn for_task(stage: &StagePlan) -> Result<StagePlan, String> {
    let mut stage = stage.clone();
    if let Some(client) = stage.grants.http.take() {
        stage.grants.http = Some(Arc::new(client.another().map_err(|error| error.to_string())?));
    }
    Ok(stage)
}

/// Makes the plan of one plugin: its secrets resolved, what it is granted looked up.
pub(crate) async fn stage(
    alias: &str,
    settings: &PluginSettings,
    plugin: &Plugin,
    network: &Network,
) -> Result<StagePlan, String> {
    let manifest = plugin.manifest();
    Ok(StagePlan {
        alias: alias.into(),
        plugin: manifest.name.clone(),
        version: manifest.version.to_string(),
        compiled: plugin.compiled.clone(),
        config: settings.config.resolve(&SystemSecrets).map_err(|errors| one_line(&errors))?,
        limits: limits(&settings.sandbox),
        grants: grants(&settings.sandbox, network).await?,
        idempotent_write: manifest.idempotent_write,
    })
}

fn limits(sandbox: &SandboxSettings) -> Limits {
    Limits {
        fuel_per_call: sandbox.limits.fuel_per_call,
        call_timeout: sandbox.limits.call_timeout,
        memory_max_bytes: usize::try_from(sandbox.limits.memory_max_bytes).unwrap_or(usize::MAX),
        state_max_bytes: usize::try_from(sandbox.state_max_bytes).unwrap_or(usize::MAX),
    }
}

async fn grants(sandbox: &SandboxSettings, network: &Network) -> Result<Grants, String> {
    let mut grants = Grants::default();
    for (directory, access) in &sandbox.grants.fs {
        match access {
            Access::Read => grants.read.push(directory.clone()),
            Access::Write => grants.write.push(directory.clone()),
        }
    }
    for name in &sandbox.grants.env {
        let value = std::env::var(name)
            .map_err(|_| format!("sandbox.env: the host's environment has no variable {name} that is UTF-8"))?;
        grants.env.push((name.clone(), value));
    }
    if let Some(http) = &sandbox.grants.http {
        let injections = http.inject.iter().map(injection).collect::<Result<_, _>>()?;
        let client = network.client(http.policy.clone(), injections).await.map_err(|error| error.to_string())?;
        grants.http = Some(Arc::new(client));
    }
    Ok(grants)
}

fn injection(settings: &InjectSettings) -> Result<Injection, String> {
    let value = settings.value.resolve(&SystemSecrets).map_err(|error| error.to_string())?;
    let injection = Injection::new(&settings.header, value.expose(), settings.hosts.clone());
    injection.map_err(|why| format!("{}: {why}", settings.value.key()))
}

fn pace(settings: &ConnectorSettings) -> Pace {
    Pace {
        batch_records: settings.batch_max_records,
        batch_bytes: settings.batch_max_bytes,
        commit_interval: settings.commit.interval,
        commit_records: settings.commit.max_records,
        commit_bytes: settings.commit.max_bytes,
        poll_interval: settings.poll_interval,
    }
}

fn errors(settings: &ConnectorSettings) -> ErrorPolicy {
    let errors = &settings.errors;
    let queue = errors.dead_letters.as_ref().map(|queue| DeadLetterPlan {
        topic: queue.topic.as_str().into(),
        settings: queue.topic_settings.clone(),
        context_headers: queue.context_headers,
    });
    ErrorPolicy {
        tolerate: errors.tolerance == Tolerance::All,
        retry_timeout: errors.retry.timeout,
        retry_delay_max: errors.retry.delay_max,
        dead_letters: queue,
        log: errors.log,
        log_messages: errors.log_messages,
    }
}

/// Asks the source itself how its work splits. One that does not split has one task.
async fn split(settings: &ConnectorSettings, own: &StagePlan) -> Result<Vec<Value>, String> {
    let identity = Identity {
        plugin: own.plugin.clone(),
        version: own.version.clone(),
        connector: settings.name.clone(),
        task: 0,
    };
    let open = Open {
        config: own.config.clone(),
        kind: settings.kind,
        connector: settings.name.clone(),
        task: 0,
        tasks: settings.tasks_max,
        abi_minor: ABI_MINOR,
        features: Vec::new(),
    };
    let spec = OpenSpec {
        identity: Arc::new(identity),
        open,
        limits: own.limits.clone(),
        grants: own.grants.clone(),
        log: LogQuota::new(Instant::now().into_std()),
        meter: Arc::default(),
    };
    let ledger = Ledger::new("", own.limits.state_max_bytes);
    let mut instance = Instance::open(&own.compiled, &spec, ledger).await.map_err(|(error, _)| error.to_string())?;
    let configs = instance.task_configs(settings.tasks_max).await.map_err(|error| error.to_string())?;
    // The instance was opened for this question alone; what it says at its end changes nothing.
    let _ = instance.close(CloseReason::Stop).await;
    match configs {
        None => Ok(vec![own.config.clone()]),
        Some(configs) if configs.is_empty() => Err("the source splits its work into no task at all".to_owned()),
        Some(configs) if configs.len() > settings.tasks_max as usize => {
            Err(format!("the source splits its work into {} tasks, tasks.max is {}", configs.len(), settings.tasks_max))
        }
        Some(configs) => Ok(configs),
    }
}

fn properties(properties: &Properties) -> Result<BTreeMap<String, String>, String> {
    properties.resolve(&SystemSecrets).map_err(|errors| one_line(&errors))
}
