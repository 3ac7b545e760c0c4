//! What a plugin is tested with: a definition met by its manifest, as the host does it, and the user's records.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sandbar_abi::FrameBuilder;
use sandbar_abi::manifest::Kind;
use serde_json::{Map, Value, json};

use super::ConformanceArgs;
use crate::batch::Batch;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::files;
use crate::cli::manifests::Manifests;
use crate::cli::worker::DEFAULT_FILE;
use crate::config::keys::{BATCH_MAX_RECORDS, CONNECTOR_CLASS, CONNECTOR_TYPE, TOPIC, TOPICS, TOPICS_REGEX};
use crate::config::{ConfigError, ConnectorSettings, Definition, MAX_DEFINITION_BYTES, WorkerConfig};
use crate::conformance::{self, Subject};
use crate::control::planner;
use crate::discovery::FileKind;
use crate::http::Network;
use crate::json_record::JsonRecord;
use crate::plugins::Plugin;
use crate::task::StagePlan;

/// The most bytes of a file of records: a frame's worth of them.
const MAX_RECORDS_BYTES: u64 = 32 << 20;
/// The most of the user's records.
const MAX_RECORDS: usize = 10_000;
/// The largest batch, where the definition does not say.
const BATCH_RECORDS: usize = 10_000;
/// What errors of a configuration without a definition name as its source.
const CONFIG: &str = "--config";
/// The name of a connector that has no definition.
const CONNECTOR: &str = "conformance";

/// As what the plugin is tested, and how it is opened.
pub(super) async fn subjects(args: &ConformanceArgs, plugin: &Plugin) -> Outcome<Vec<Subject>> {
    let worker = worker()?;
    let network = Network::new(worker.http_ca_file.as_deref()).map_err(Failure::new)?;
    let manifest = plugin.manifest();
    let wanted = args.kind.map(Kind::from);
    let mut known = Manifests::default();
    if let Some(file) = &args.definition {
        known.look_up_in(args.plugins.as_ref().unwrap_or(&worker.plugins), &worker.trust);
        known.only(manifest);
        let bytes = files::read(file, FileKind::Definition)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        let definition = Definition::parse(file, &bytes)?;
        return of_definition(&definition, wanted, plugin, &known, &worker, &network).await;
    }
    known.only(manifest);
    let config = args.config.as_deref().map_or_else(|| Ok(Map::new()), config)?;
    let kinds: Vec<_> =
        manifest.kinds.iter().copied().filter(|kind| wanted.is_none_or(|wanted| wanted == *kind)).collect();
    if let (true, Some(wanted)) = (kinds.is_empty(), wanted) {
        return Err(Failure::new(format!("plugin {} is no {}", manifest.name, wanted.name())));
    }
    let mut subjects = Vec::new();
    for kind in kinds {
        let definition = define(&manifest.name, kind, config.clone())?;
        subjects.extend(of_definition(&definition, Some(kind), plugin, &known, &worker, &network).await?);
    }
    Ok(subjects)
}

/// The limits that definitions are held to.
fn worker() -> Outcome<WorkerConfig> {
    let file = Path::new(DEFAULT_FILE);
    Ok(if file.exists() { WorkerConfig::load(file)?.0 } else { WorkerConfig::default() })
}

/// The subjects of a definition: the connector's own plugin, and each transform that is this plugin.
async fn of_definition(
    definition: &Definition,
    wanted: Option<Kind>,
    plugin: &Plugin,
    known: &Manifests,
    worker: &WorkerConfig,
    network: &Network,
) -> Outcome<Vec<Subject>> {
    let resolved = ConnectorSettings::resolve(definition, known, worker);
    let (settings, _) = resolved.map_err(|errors| told(definition.source.as_path(), errors))?;
    let name = &plugin.manifest().name;
    let own = std::iter::once((settings.kind, "", &settings.plugin));
    let transforms = settings.transforms.iter().map(|t| (Kind::Transform, t.alias.as_str(), &t.plugin));
    let stages = own
        .chain(transforms)
        .filter(|(kind, _, stage)| stage.class == *name && wanted.is_none_or(|wanted| wanted == *kind));
    let mut subjects = Vec::new();
    for (kind, alias, stage) in stages {
        let plan = planner::stage(alias, stage, plugin, network).await.map_err(Failure::new)?;
        subjects.push(subject(definition, &settings, kind, plan, plugin));
    }
    if subjects.is_empty() {
        let kind = wanted.map(|kind| format!(" as a {}", kind.name())).unwrap_or_default();
        let message = format!("{}: does not use plugin {name}{kind}", definition.source.display());
        return Err(Failure::new(message));
    }
    Ok(subjects)
}

fn subject(
    definition: &Definition,
    settings: &ConnectorSettings,
    kind: Kind,
    plan: StagePlan,
    plugin: &Plugin,
) -> Subject {
    let given = definition.entries.contains_key(BATCH_MAX_RECORDS.name);
    Subject {
        plugin: plan.plugin,
        version: plan.version,
        compiled: plan.compiled,
        optional: plugin.inspection.optional,
        kind,
        connector: settings.name.clone(),
        config: plan.config,
        limits: plan.limits,
        grants: plan.grants,
        batch_records: if given { settings.batch_max_records } else { BATCH_RECORDS },
    }
}

/// The definition of a connector of which only the configuration is given, or nothing.
fn define(class: &str, kind: Kind, mut config: Map<String, Value>) -> Outcome<Definition> {
    let mut default = |key: &str, value: &str| {
        config.entry(key).or_insert_with(|| value.into());
    };
    default(CONNECTOR_CLASS.name, class);
    default(CONNECTOR_TYPE.name, kind.name());
    if kind != Kind::Sink {
        default(TOPIC.name, "sandbar-conformance-out");
    }
    if kind != Kind::Source && !config.contains_key(TOPICS_REGEX.name) {
        config.entry(TOPICS.name).or_insert_with(|| conformance::TOPIC.into());
    }
    let definition = json!({"name": CONNECTOR, "config": config}).to_string();
    let source = Path::new(CONFIG);
    Definition::parse(source, definition.as_bytes()).map_err(|errors| told(source, errors))
}

/// What is wrong with a definition. Where the kit has written it, its lines and columns are nobody's.
fn told(source: &Path, mut errors: Vec<ConfigError>) -> Failure {
    if source == Path::new(CONFIG) {
        errors.iter_mut().for_each(|error| (error.line, error.column) = (None, None));
    }
    errors.into()
}

/// The value of `--config`: an object, or the file that holds one.
fn config(text: &str) -> Outcome<Map<String, Value>> {
    let fault = |reason: &dyn std::fmt::Display| Failure::new(format!("{CONFIG}: {reason}"));
    let json = if text.trim_start().starts_with('{') {
        text.as_bytes().to_vec()
    } else {
        bounded(Path::new(text), MAX_DEFINITION_BYTES as u64)?
    };
    serde_json::from_slice(&json).map_err(|error| fault(&error).hint("it is an object, as `config` of a definition"))
}

/// The records of a file, a line each.
pub(super) fn records(path: &Path) -> Outcome<Batch> {
    let bytes = bounded(path, MAX_RECORDS_BYTES)?;
    let mut frame = FrameBuilder::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let at = |reason: String| Failure::new(format!("{}:{}: {reason}", path.display(), number + 1));
        if frame.len() == MAX_RECORDS {
            return Err(at(format!("there are more than {MAX_RECORDS} records")));
        }
        JsonRecord::parse(line).and_then(|record| record.append(&mut frame, None)).map_err(at)?;
    }
    if frame.is_empty() {
        return Err(Failure::new(format!("{}: holds no record", path.display())));
    }
    Batch::build(&frame).map_err(Failure::new)
}

fn bounded(path: &Path, max: u64) -> Outcome<Vec<u8>> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| fault(&error))?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| fault(&error))?;
    if bytes.len() as u64 > max {
        return Err(fault(&format!("is longer than {max} bytes")));
    }
    Ok(bytes)
}
