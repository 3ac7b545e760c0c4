//! The broker that is Apache Kafka, by way of librdkafka. Nothing outside this folder names rdkafka.
//!
//! - `actor` runs a session: one thread that makes the blocking calls, with `consume` (what a group's member reads),
//!   `membership` (how it answers the group),
//!   `transaction` (the producer), `subscribe` (names and patterns), `gather` (messages to batches) and `produce`.
//! - `session` is that session's asynchronous face; `check` looks batches over before they are staged; `keys` says how
//!   offsets and state lie in Kafka.
//! - `reader` and `writer` work outside any task; `admin` knows what topics there are, `ends` what is
//!   in their partitions.
//! - `config`, `context` and `errors` translate between librdkafka and the port.

mod actor;
mod admin;
mod check;
mod config;
mod consume;
mod context;
mod ends;
mod errors;
mod gather;
mod keys;
mod membership;
mod produce;
mod reader;
mod session;
mod subscribe;
mod transaction;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;

use super::{Broker, BrokerError, Created, Output, ReadSpec, Reader, Session, SessionSpec, TopicInfo, TopicSettings};
use admin::{Admin, blocking};
pub use config::KafkaOptions;
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
