//! The broker that is Apache Kafka, by way of librdkafka. Nothing outside this folder names rdkafka.
//!
//! - `actor` runs a session: one thread that makes the blocking calls, with `consume` (what a group's member reads),
//!   `membership` (how it answers the group),
//!   `transaction` (the producer), `subscribe` (names and patterns), `gather` (messages to batches) and `produce`.
//! - `session` is that session's asynchronous face; `check` looks batches over before they are staged; `keys` says how
//!   offsets and state lie in Kafka.
//! - `load` reads offsets and state; `groups` knows where consumer groups stand.
//! - `reader` and `writer` work outside any task; `admin` knows what topics there are (`listing`: all of them), `ends`
//!   what is in their partitions.
//! - `config` (by `tables`), `context` and `errors` translate between librdkafka and the port.

mod actor;
mod admin;
mod check;
mod config;
mod consume;
mod context;
mod ends;
mod errors;
mod gather;
mod groups;
mod keys;
mod listing;
mod load;
mod membership;
mod produce;
mod reader;
mod session;
mod subscribe;
mod tables;
mod transaction;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Administration, Broker, BrokerError, Created, Output, ReadSpec, Reader, Session, SessionSpec, StateScope,
    TopicInfo, TopicPartition, TopicPartitionOffset, TopicSettings, Topics,
};
use admin::{Admin, blocking};
pub use config::KafkaOptions;
use keys::{OffsetKeys, StateKeys};
use reader::{Cursor, DECIDED_WITHIN, KafkaReader};
use session::KafkaSession;
use writer::Writer;

/// Apache Kafka. Making one connects to nothing.
pub struct KafkaBroker {
    options: Arc<KafkaOptions>,
    admin: Arc<Admin>,
    writer: Writer,
}

impl KafkaBroker {
    /// A broker with these options; an error names the property that librdkafka does not take.
    pub fn new(options: KafkaOptions) -> Result<Self, BrokerError> {
        config::check_worker(&options)?;
        let (admin, writer) = (Arc::new(Admin::new(&options)), Writer::new(&options));
        Ok(Self { options: Arc::new(options), admin, writer })
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn describe(&self) -> String {
        let servers = self.options.properties.iter().find(|(key, _)| config::is_servers(key));
        format!("Apache Kafka at {}", servers.map_or("nowhere", |(_, servers)| servers.as_str()))
    }

    fn administration(&self) -> &dyn Administration {
        self
    }

    async fn session(&self, spec: SessionSpec) -> Result<Box<dyn Session>, BrokerError> {
        let session = KafkaSession::open(Arc::clone(&self.options), Arc::clone(&self.admin), spec).await?;
        Ok(Box::new(session))
    }

    async fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<Created, BrokerError> {
        self.admin.create(name, settings).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        self.admin.topics().await
    }

    async fn reader(&self, spec: ReadSpec) -> Result<Box<dyn Reader>, BrokerError> {
        let (options, admin) = (Arc::clone(&self.options), Arc::clone(&self.admin));
        let cursor = blocking(move || Cursor::open(&options, &admin, &spec, DECIDED_WITHIN)).await?;
        Ok(Box::new(KafkaReader::new(cursor)))
    }

    async fn write(&self, output: Output, settings: &TopicSettings) -> Result<(), BrokerError> {
        self.writer.write(&self.admin, output, settings).await
    }
}

#[async_trait]
impl Administration for KafkaBroker {
    async fn source_offsets(&self, connector: &str) -> Result<Vec<(String, String)>, BrokerError> {
        Ok(load::source_offsets(&self.options, &self.admin, OffsetKeys::new(connector)).await?.0)
    }

    async fn state(
        &self,
        worker_group: &str,
        connector: &str,
        scope: &StateScope,
    ) -> Result<Vec<(Bytes, Bytes)>, BrokerError> {
        load::state(&self.options, &self.admin, &StateKeys::new(worker_group, connector, 0), scope).await
    }

    async fn ranges(&self, topics: &Topics) -> Result<Vec<(TopicPartition, (i64, i64))>, BrokerError> {
        let (admin, topics) = (Arc::clone(&self.admin), topics.clone());
        blocking(move || {
            let mut all = Vec::new();
            for name in groups::names(&admin, &topics)? {
                let Some(count) = admin.partitions_now(&name)? else { continue };
                let partitions: Vec<i32> = (0..count).collect();
                let ranges = admin.ranges(&name, &partitions)?;
                all.extend(
                    ranges.into_iter().map(|(number, range)| (TopicPartition::new(name.as_str(), number), range)),
                );
            }
            Ok(all)
        })
        .await
    }

    async fn cluster_id(&self) -> Result<String, BrokerError> {
        let admin = Arc::clone(&self.admin);
        blocking(move || admin.cluster_id()).await
    }

    async fn group_offsets(&self, group: &str, topics: &Topics) -> Result<Vec<TopicPartitionOffset>, BrokerError> {
        let (options, admin) = (Arc::clone(&self.options), Arc::clone(&self.admin));
        let (group, topics) = (group.to_owned(), topics.clone());
        blocking(move || groups::committed(&options, &admin, &group, &topics)).await
    }

    async fn set_group_offsets(
        &self,
        group: &str,
        topics: &Topics,
        offsets: Vec<(TopicPartition, Option<i64>)>,
    ) -> Result<(), BrokerError> {
        groups::set(&self.options, &self.admin, group, topics, offsets).await
    }
}
