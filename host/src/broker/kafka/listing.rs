//! All topics of the cluster at once: their names, what is in them, and what is kept of it.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::admin::{OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::Offset;

use super::admin::{ASK_WITHIN, Admin, Range, blocking, dispose, leaders, options};
use super::ends::ends;
use super::errors::broker_error;
use crate::broker::{BrokerError, CleanupPolicy, TopicInfo};

/// Names of Kafka's own topics begin with this.
const INTERNAL: &str = "__";

impl Admin {
    /// All topics but Kafka's own.
    pub async fn topics(self: &Arc<Self>) -> Result<Vec<TopicInfo>, BrokerError> {
        let admin = Arc::clone(self);
        let mut topics = blocking(move || admin.with_ranges()).await?;
        if topics.is_empty() {
            return Ok(topics);
        }
        let operation = "describe the topics";
        let client = self.client(operation).await?;
        let names: Vec<String> = topics.iter().map(|info| info.name.clone()).collect();
        let resources: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described =
            client.describe_configs(&resources, &options()).await.map_err(|error| broker_error(operation, &error))?;
        dispose(client);
        let mut policies = HashMap::new();
        // A topic that may not be described, or that went away meanwhile, is listed without its policy.
        for resource in described.into_iter().flatten() {
            let policy = resource.get("cleanup.policy").and_then(|entry| entry.value.as_deref());
            if let (Some(policy), OwnedResourceSpecifier::Topic(name)) = (policy, &resource.specifier) {
                policies.insert(name.clone(), CleanupPolicy::from_name(policy));
            }
        }
        for info in &mut topics {
            info.cleanup_policy = policies.remove(&info.name).flatten();
        }
        Ok(topics)
    }

    fn with_ranges(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        let all = self.all()?;
        let places: Vec<(&str, i32)> = all
            .iter()
            .flat_map(|(name, leaders)| (0..).zip(leaders).filter(|(_, led)| **led).map(|(p, _)| (name.as_str(), p)))
            .collect();
        let probe = self.probe()?;
        let starts = ends(&probe, &places, Offset::Beginning)?;
        let ends = ends(&probe, &places, Offset::End)?;
        let ranges: HashMap<(&str, i32), Range> = places.into_iter().zip(starts.into_iter().zip(ends)).collect();
        let info = |(name, leaders): &(String, Vec<bool>)| TopicInfo {
            name: name.clone(),
            // A partition without a leader cannot be asked.
            partitions: (0..)
                .zip(leaders)
                .map(|(p, _)| ranges.get(&(name.as_str(), p)).copied().unwrap_or_default())
                .collect(),
            cleanup_policy: None,
        };
        Ok(all.iter().map(info).collect())
    }

    /// Names of all topics but Kafka's own, in order, with which of their partitions have a leader.
    pub(super) fn all(&self) -> Result<Vec<(String, Vec<bool>)>, BrokerError> {
        let probe = self.probe()?;
        let metadata =
            probe.fetch_metadata(None, ASK_WITHIN).map_err(|error| self.unreachable("list topics", &error))?;
        let ours = |topic: &&MetadataTopic| !topic.name().starts_with(INTERNAL) && topic.error().is_none();
        let mut all: Vec<(String, Vec<bool>)> =
            metadata.topics().iter().filter(ours).map(|topic| (topic.name().to_owned(), leaders(topic))).collect();
        all.sort();
        Ok(all)
    }
}
