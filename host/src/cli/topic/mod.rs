//! `sandbar topic`: a look into topics, and a hand in them, on Kafka and on the embedded broker alike.

mod create;
mod list;
mod position;
mod read;
pub(super) mod write;

use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::runtime::Runtime;
use tracing::warn;

use super::failure::{Failure, Outcome};
use super::worker::{WorkerArgs, runtime};
use super::{logging, text};
use crate::broker::{Broker, BrokerError, BrokerErrorKind};
use crate::config::keys::Kind;
use crate::config::{BrokerConfig, WorkerConfig};
use crate::wiring;

/// List, read, write and create topics
///
/// Works on the broker that `sandbar run` would use with the same options: Kafka where the configuration or --brokers
/// names it, else the embedded broker in the data folder. A worker may run on the same data folder meanwhile.
#[derive(Args)]
pub(super) struct TopicArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::ListArgs),
    Read(read::ReadArgs),
    Write(write::WriteArgs),
    Create(create::CreateArgs),
}

/// Does what was asked.
pub(super) fn run(args: TopicArgs) -> Outcome {
    logging::start_quietly()?;
    match args.command {
        Command::List(args) => list::run(&args),
        Command::Read(args) => read::run(args),
        Command::Write(args) => write::run(&args),
        Command::Create(args) => create::run(&args),
    }
}

/// A broker to work on, and what it takes to wait for it.
struct Connection {
    runtime: Runtime,
    worker: WorkerConfig,
    broker: Arc<dyn Broker>,
}

impl Connection {
    /// To a broker that may be new: an embedded one begins to exist.
    fn to_write(args: &WorkerArgs) -> Outcome<Self> {
        let worker = worker(args)?;
        let runtime = runtime()?;
        let broker = runtime.block_on(wiring::broker(&worker))?;
        Ok(Self { runtime, worker, broker })
    }

    /// To a broker that exists: to look at an embedded one must not make it.
    fn to_read(args: &WorkerArgs) -> Outcome<Self> {
        let worker = worker(args)?;
        if matches!(worker.broker, BrokerConfig::Local(_)) && !worker.data.is_dir() {
            let what = format!("there is no data folder {}: no embedded broker has run here", worker.data.display());
            return Err(Failure::new(what).hint("name another folder with --data, or Kafka with --brokers"));
        }
        Self::to_write(args)
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, BrokerError>>) -> Outcome<T> {
        self.runtime.block_on(work).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: BrokerError) -> Failure {
        let is_passing = error.kind == BrokerErrorKind::Retriable;
        let failure = Failure::from(error);
        if is_passing { failure.hint(format!("is the {} up and reachable?", self.broker.describe())) } else { failure }
    }
}

fn worker(args: &WorkerArgs) -> Outcome<WorkerConfig> {
    let (worker, warnings) = args.load()?;
    for warning in warnings {
        warn!("{warning}");
    }
    Ok(worker)
}

/// Reads the name of a topic from the command line.
fn topic_name(name: &str) -> Result<String, String> {
    Kind::Topic.check(name).map(|()| name.to_owned())
}

/// A number of partitions or replicas from the command line.
fn at_least_one() -> clap::builder::RangedI64ValueParser<i32> {
    clap::value_parser!(i32).range(1..)
}

/// `1 record`, `2 records`.
fn records(count: u64) -> String {
    text::counted(usize::try_from(count).unwrap_or(usize::MAX), "record")
}
