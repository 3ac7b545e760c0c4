//! `sandbar topic list`.

use clap::Args;
use serde_json::{Value, json};

use super::super::failure::Outcome;
use super::super::text::{self, Table};
use super::super::worker::WorkerArgs;
use super::Connection;
use crate::broker::{CleanupPolicy, TopicInfo};

/// List topics
///
/// Shows each topic with its partitions, about how many records it holds, and what happens to old ones. The number of
/// records is the distance between a partition's ends: gaps that compaction and transactions leave are counted too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar topic list
  sandbar topic list --brokers localhost:9092
  sandbar topic list --json | jq -r '.[].name'")]
pub(super) struct ListArgs {
    /// Print JSON: an array of topics, with the first and the next offset of each partition
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// Lists topics.
pub(super) fn run(args: &ListArgs) -> Outcome {
    let connection = Connection::to_read(&args.worker)?;
    let topics = connection.wait(connection.broker.topics())?;
    if args.json {
        let topics: Vec<Value> = topics.iter().map(as_json).collect();
        return super::super::print_json(&topics);
    }
    super::super::print(as_table(&topics))
}

fn as_table(topics: &[TopicInfo]) -> String {
    let mut table = Table::new(&["NAME", "PARTITIONS", "RECORDS", "CLEANUP POLICY"], &[1, 2]);
    for topic in topics {
        table.row([
            topic.name.as_str(),
            &topic.partitions.len().to_string(),
            &text::grouped(about(topic)),
            topic.cleanup_policy.map_or("-", CleanupPolicy::name),
        ]);
    }
    table.text("")
}

fn as_json(topic: &TopicInfo) -> Value {
    let partition =
        |(number, (start, end)): (usize, &(i64, i64))| json!({"partition": number, "start": start, "end": end});
    let partitions: Vec<Value> = topic.partitions.iter().enumerate().map(partition).collect();
    let policy = topic.cleanup_policy.map(CleanupPolicy::name);
    json!({"name": topic.name, "partitions": partitions, "records": about(topic), "cleanup_policy": policy})
}

fn about(topic: &TopicInfo) -> u64 {
    topic.partitions.iter().map(|(start, end)| u64::try_from(end.saturating_sub(*start)).unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    //! What a list shows.

    use super::*;

    fn topic() -> TopicInfo {
        TopicInfo {
            name: "orders".to_owned(),
            partitions: vec![(0, 1500), (10, 12)],
            cleanup_policy: Some(CleanupPolicy::Compact),
        }
    }

    #[test]
    fn people_get_a_table() {
        let expected = "NAME    PARTITIONS  RECORDS  CLEANUP POLICY\norders           2    1,502  compact\n";
        assert_eq!(as_table(&[topic()]), expected);
    }

    #[test]
    fn programs_get_the_offsets() {
        let partitions = json!([{"partition": 0, "start": 0, "end": 1500}, {"partition": 1, "start": 10, "end": 12}]);
        let expected =
            json!({"name": "orders", "partitions": partitions, "records": 1502, "cleanup_policy": "compact"});
        assert_eq!(as_json(&topic()), expected);
    }
}
