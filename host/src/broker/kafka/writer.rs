//! Appends records outside any task: for tools, which want to know that their records are there, and no transaction.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use super::admin::{Admin, blocking};
use super::check::{MESSAGE_MAX_BYTES, prepare};
use super::config::{KafkaOptions, Properties};
use super::context::{Context, Deliveries, Owner, lock};
use super::errors::broker_error;
use super::produce::{KafkaProducer, send_all, settle};
use crate::broker::{BrokerError, Output, TopicSettings};

/// How long a write may take; librdkafka gives its records up a little before.
const WRITE_WITHIN: Duration = Duration::from_secs(15);
/// librdkafka's part of that, in milliseconds.
const DELIVER_WITHIN_MS: &str = "12000";

/// An idempotent producer, made when it is first needed. Writes take turns.
pub(super) struct Writer {
    properties: Properties,
    producer: Arc<Mutex<Option<KafkaProducer>>>,
}

impl Writer {
    /// A writer that has not connected yet.
    pub fn new(options: &KafkaOptions) -> Self {
        let mut properties = Properties::writer(options);
        properties.set("message.timeout.ms", DELIVER_WITHIN_MS);
        Self { properties, producer: Arc::default() }
    }

    /// Writes, and waits until all replicas in sync have it.
    pub async fn write(&self, admin: &Arc<Admin>, output: Output, settings: &TopicSettings) -> Result<(), BrokerError> {
        let max_bytes = self.properties.number("message.max.bytes", MESSAGE_MAX_BYTES);
        prepare(admin, &output, settings, usize::try_from(max_bytes).unwrap_or(usize::MAX)).await?;
        let (admin, slot, properties) = (Arc::clone(admin), Arc::clone(&self.producer), self.properties.clone());
        blocking(move || {
            let operation = format!("write {} records to {}", output.batch.len(), output.topic);
            let mut slot = lock(&slot);
            let producer = match &*slot {
                Some(producer) => producer,
                None => {
                    let context = Context::new(Owner::worker("writer"), Deliveries::default());
                    let created = properties.build().create_with_context(context);
                    slot.insert(created.map_err(|error| broker_error(operation.as_str(), &error))?)
                }
            };
            let deadline = Instant::now() + WRITE_WITHIN;
            let sent = send_all(producer, &output, deadline);
            let delivered = settle(producer, deadline);
            if let Err(not) = sent {
                return Err(broker_error(operation, &not.error));
            }
            if let Some(failures) = producer.context().notes.take() {
                let topics: Vec<String> = failures.first.iter().map(|(place, _)| place.topic.to_string()).collect();
                admin.forget(&topics);
                return Err(BrokerError::fatal(operation, failures.describe()));
            }
            if !delivered {
                return Err(BrokerError::fatal(operation, "not every record was acknowledged in time"));
            }
            Ok(())
        })
        .await
    }
}
