//! `sandbar topic create`.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::super::failure::{Failure, Outcome};
use super::super::worker::WorkerArgs;
use super::{Connection, at_least_one, topic_name};
use crate::broker::{CleanupPolicy, Created, TopicSettings};
use crate::config::WorkerConfig;

/// Create a topic
///
/// Creates a topic with the settings given; those not given come from `topic.defaults.*` of sandbar.toml. A topic that
/// exists is left as it is, which is an error without --if-not-exists.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar topic create orders --partitions 6 --replication-factor 3 --brokers localhost:9092
  sandbar topic create customers --cleanup-policy compact
  sandbar topic create clicks --retention-ms 3600000 --if-not-exists")]
pub(super) struct CreateArgs {
    /// The topic
    #[arg(value_parser = topic_name)]
    topic: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// What happens to old records: delete them by age, keep the newest of each key, or both
    #[arg(long, value_name = "POLICY", value_parser = PossibleValuesParser::new(["delete", "compact", "compact,delete"]))]
    cleanup_policy: Option<String>,
    /// How long records are kept at least; -1 keeps them for ever
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(-1..), allow_negative_numbers = true)]
    retention_ms: Option<i64>,
    /// Take it as done if the topic exists
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// How a topic that does not exist is created.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SettingsArgs {
    /// How many partitions a new topic gets [default: 1, or as sandbar.toml says]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    partitions: Option<i32>,
    /// How many replicas a new topic gets; the embedded broker has one of everything [default: as many as the
    /// cluster says, or sandbar.toml]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    replication_factor: Option<i32>,
}

impl SettingsArgs {
    /// The worker's defaults with what was given in their place.
    pub(super) fn over(&self, worker: &WorkerConfig) -> TopicSettings {
        let defaults = worker.topic_defaults.clone();
        TopicSettings {
            partitions: self.partitions.unwrap_or(defaults.partitions),
            replication_factor: self.replication_factor.unwrap_or(defaults.replication_factor),
            ..defaults
        }
    }
}

/// Creates the topic.
pub(super) fn run(args: &CreateArgs) -> Outcome {
    let connection = Connection::to_write(&args.worker)?;
    let mut settings = args.settings.over(&connection.worker);
    if let Some(policy) = args.cleanup_policy.as_deref().and_then(CleanupPolicy::from_name) {
        settings.cleanup_policy = policy;
    }
    settings.retention_ms = args.retention_ms.or(settings.retention_ms);
    match connection.wait(connection.broker.create_topic(&args.topic, &settings))? {
        Created::New => super::super::print(format!("created topic {}\n", args.topic)),
        Created::Existed if args.if_not_exists => super::super::print(format!("topic {} exists\n", args.topic)),
        Created::Existed => {
            let what = format!("topic {} exists already and was left as it is", args.topic);
            Err(Failure::new(what).hint("--if-not-exists takes that as done"))
        }
    }
}
