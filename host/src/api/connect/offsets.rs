//! Where a connector stands: look, and while it is stopped, alter and reset.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use axum::Json;
use axum::extract::State;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::api::app::App;
use crate::api::error::{ApiError, Body, ErrorBody, Path};
use crate::broker::{BrokerError, BrokerErrorKind, Commit, Input, SessionSpec, SourceOffset, TopicPartition, Topics};
use crate::config::{ConnectorSettings, InitialState};
use crate::control::ConnectorStatus;

/// How many transactional ids are taken over at once.
const TAKEN_OVER_AT_ONCE: usize = 16;
/// The transactional id of a connector's first task is taken over for as long as a commit lasts.
const TRANSACTION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Where a connector stands.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ConnectorOffsets {
    /// One for each partition.
    #[serde(default)]
    offsets: Vec<ConnectorOffset>,
}

/// Where a connector stands in one partition.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ConnectorOffset {
    /// The partition: of a source its own; of a sink `{"kafka_topic": .., "kafka_partition": ..}`.
    #[schema(value_type = BTreeMap<String, Value>)]
    partition: Map<String, Value>,
    /// The offset: of a source its own; of a sink `{"kafka_offset": ..}`, the next to read. Null forgets it.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    offset: Option<Map<String, Value>>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Message {
    /// In words.
    message: &'static str,
}

/// Where a connector stands, as it committed last.
#[utoipa::path(get, path = "/connectors/{connector}/offsets", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = ConnectorOffsets),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Its plugin is not there: nobody knows what it reads"),
        (status = 503, body = ErrorBody, description = "The broker does not answer"),
    ))]
pub(in crate::api) async fn get(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<ConnectorOffsets>, ApiError> {
    let connector = app.known(&name)?;
    let offsets = match input(&connector)? {
        Some(input) => {
            let committed = app.broker.administration().group_offsets(&input.group, &input.topics).await?;
            committed.into_iter().map(|at| sink_offset(&at.partition, at.offset)).collect()
        }
        None => app.broker.administration().source_offsets(&name).await?.iter().filter_map(source_offset).collect(),
    };
    Ok(Json(ConnectorOffsets { offsets }))
}

/// Alters where a stopped connector stands.
#[utoipa::path(patch, path = "/connectors/{connector}/offsets", tag = "connect",
    params(("connector" = String, Path)), request_body = ConnectorOffsets, responses(
        (status = 200, body = Message),
        (status = 400, body = ErrorBody, description = "It is not stopped, these are no offsets of its, or there is no such partition"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Its plugin is not there"),
        (status = 503, body = ErrorBody, description = "The broker does not answer"),
    ))]
pub(in crate::api) async fn alter(
    State(app): State<App>,
    Path(name): Path<String>,
    Body(request): Body<ConnectorOffsets>,
) -> Result<Json<Message>, ApiError> {
    if request.offsets.is_empty() {
        return Err(ApiError::bad_request("Partitions / offsets need to be provided for an alter offsets request"));
    }
    let connector = stopped(&app, &name)?;
    match input(&connector)? {
        Some(input) => {
            let offsets = request.offsets.into_iter().map(read_sink).collect::<Result<Vec<_>, _>>()?;
            all_exist(&app, &offsets).await?;
            set_group(&app, &name, &input, offsets).await?;
        }
        None => {
            let offsets = request.offsets.into_iter().map(|one| SourceOffset {
                partition: Value::Object(one.partition).to_string(),
                offset: one.offset.map(|offset| Value::Object(offset).to_string()),
            });
            set_source(&app, &connector, offsets.collect()).await?;
        }
    }
    Ok(Json(Message { message: "The offsets for this connector have been altered successfully" }))
}

/// Has a stopped connector stand nowhere: it begins anew when it is resumed.
#[utoipa::path(delete, path = "/connectors/{connector}/offsets", tag = "connect",
    params(("connector" = String, Path)), responses(
        (status = 200, body = Message),
        (status = 400, body = ErrorBody, description = "It is not stopped"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Its plugin is not there"),
        (status = 503, body = ErrorBody, description = "The broker does not answer"),
    ))]
pub(in crate::api) async fn reset(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Message>, ApiError> {
    let connector = stopped(&app, &name)?;
    match input(&connector)? {
        Some(input) => {
            let committed = app.broker.administration().group_offsets(&input.group, &input.topics).await?;
            set_group(&app, &name, &input, committed.into_iter().map(|at| (at.partition, None)).collect()).await?;
        }
        None => {
            let known = app.broker.administration().source_offsets(&name).await?;
            let forget = |(partition, _)| SourceOffset { partition, offset: None };
            set_source(&app, &connector, known.into_iter().map(forget).collect()).await?;
        }
    }
    Ok(Json(Message { message: "The offsets for this connector have been reset successfully" }))
}

/// A connector whose offsets may be changed.
fn stopped(app: &App, name: &str) -> Result<ConnectorStatus, ApiError> {
    let connector = app.known(name)?;
    if connector.target != InitialState::Stopped || !connector.tasks.is_empty() {
        return Err(ApiError::bad_request(
            "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
                .replace("{name}", name),
        ));
    }
    Ok(connector)
}

/// What a connector consumes; a source consumes nothing.
fn input(connector: &ConnectorStatus) -> Result<Option<Input>, ApiError> {
    let unknown = || ApiError::conflict(format!("the plugin of connector {} is not there", connector.name));
    connector.settings.as_deref().map(ConnectorSettings::input).ok_or_else(unknown)
}

/// Refuses to have a group stand in partitions that are not there. It may be forgotten where it stood in one that was.
async fn all_exist(app: &App, offsets: &[(TopicPartition, Option<i64>)]) -> Result<(), ApiError> {
    let set = || offsets.iter().filter(|(_, offset)| offset.is_some()).map(|(partition, _)| partition);
    let topics: BTreeSet<&str> = set().map(|partition| &*partition.topic).collect();
    let topics = Topics::Names(topics.into_iter().map(str::to_owned).collect());
    let there: HashSet<TopicPartition> =
        app.broker.administration().ranges(&topics).await?.into_iter().map(|(partition, _)| partition).collect();
    match set().find(|partition| !there.contains(partition)) {
        None => Ok(()),
        Some(missing) => {
            Err(ApiError::bad_request(match there.iter().filter(|other| other.topic == missing.topic).count() {
                0 => format!("Cannot alter offsets: there is no topic {}", missing.topic),
                count => format!(
                    "Cannot alter offsets: there is no partition {} of topic {}, which has {count}",
                    missing.partition, missing.topic
                ),
            }))
        }
    }
}

async fn set_group(
    app: &App,
    name: &str,
    input: &Input,
    offsets: Vec<(TopicPartition, Option<i64>)>,
) -> Result<(), ApiError> {
    let set = app.broker.administration().set_group_offsets(&input.group, &input.topics, offsets).await;
    set.map_err(|error| match error.kind {
        BrokerErrorKind::Fatal => ApiError::bad_request(format!(
            "Failed to alter consumer group offsets for connector {name} either because its tasks haven't stopped completely yet or the connector was resumed before the request to alter its offsets could be successfully completed. If the connector is in a stopped state, this operation can be safely retried: {error}"
        )),
        _ => error.into(),
    })
}

/// Writes offsets under the transactional id of the connector's first task, and takes over those of the others, so that no
/// task that is left over can write any.
async fn set_source(app: &App, connector: &ConnectorStatus, offsets: Vec<SourceOffset>) -> Result<(), ApiError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let settings = connector.settings.as_deref();
    let spec = SessionSpec {
        worker_group: app.worker.group_id.clone(),
        connector: connector.name.clone(),
        task: 0,
        input: None,
        topic_settings: settings.map(|settings| settings.topic_settings.clone()).unwrap_or_default(),
        consumer_overrides: BTreeMap::new(),
        producer_overrides: BTreeMap::new(),
        transaction_timeout: TRANSACTION_TIMEOUT,
    };
    // Whoever is left over of the others can commit nothing any more either.
    let others = stream::iter(1..settings.map_or(1, |settings| settings.tasks_max)).map(|task| {
        let taken_over = app.broker.session(SessionSpec { task, ..spec.clone() });
        async move {
            let _ = taken_over.await?.close().await;
            Ok::<_, BrokerError>(())
        }
    });
    others.buffer_unordered(TAKEN_OVER_AT_ONCE).try_collect::<()>().await?;
    let mut session = app.broker.session(spec).await?;
    let written: Result<(), BrokerError> = async {
        // What others wrote under keys of their own spelling is written there, too, once that was read.
        session.load_offsets().await?;
        session.commit(Commit { source_offsets: offsets, ..Commit::default() }).await
    }
    .await;
    // It has nothing left to do.
    let _ = session.close().await;
    Ok(written?)
}

fn source_offset((partition, offset): &(String, String)) -> Option<ConnectorOffset> {
    // Only objects are written; what others wrote may be anything.
    let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
    Some(ConnectorOffset { partition: object(partition)?, offset: Some(object(offset)?) })
}

fn sink_offset(at: &TopicPartition, offset: i64) -> ConnectorOffset {
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    ConnectorOffset {
        partition: object(json!({"kafka_topic": &*at.topic, "kafka_partition": at.partition})),
        offset: Some(object(json!({"kafka_offset": offset}))),
    }
}

fn read_sink(one: ConnectorOffset) -> Result<(TopicPartition, Option<i64>), ApiError> {
    let wrong = |what: &str| ApiError::bad_request(what);
    let keys = "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'";
    let topic = one.partition.get("kafka_topic").and_then(Value::as_str);
    let topic = topic.ok_or_else(|| wrong(keys))?;
    let number = one.partition.get("kafka_partition").and_then(number);
    let number = number.and_then(|number| i32::try_from(number).ok()).filter(|number| *number >= 0);
    let number = number.ok_or_else(|| wrong(keys))?;
    let offset = one.offset.map(|offset| {
        let given = offset.get("kafka_offset");
        let given = given.ok_or_else(|| {
            wrong("The offset for a sink connector should either be null or contain the key 'kafka_offset'")
        })?;
        let read = self::number(given).filter(|offset| *offset >= 0);
        read.ok_or_else(|| wrong("The 'kafka_offset' for a sink connector must be a whole number from 0 on"))
    });
    Ok((TopicPartition::new(topic, number), offset.transpose()?))
}

/// A number, or text that is one.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(partition: Value, offset: Value) -> ConnectorOffset {
        serde_json::from_value(json!({"partition": partition, "offset": offset})).unwrap()
    }

    #[test]
    fn offsets_of_sinks_are_numbers_or_text() {
        for (partition, offset) in [(json!(3), json!(7)), (json!("3"), json!("7"))] {
            let read = read_sink(one(
                json!({"kafka_topic": "t", "kafka_partition": partition}),
                json!({"kafka_offset": offset}),
            ));
            assert_eq!(read.unwrap(), (TopicPartition::new("t", 3), Some(7)));
        }
        let read = read_sink(one(json!({"kafka_topic": "t", "kafka_partition": 0}), json!(null)));
        assert_eq!(read.unwrap(), (TopicPartition::new("t", 0), None));
    }

    #[test]
    fn what_is_no_offset_of_a_sink_says_so() {
        for (partition, offset) in [
            (json!({"filename": "f"}), json!({"position": 3})),
            (json!({"kafka_topic": "t", "kafka_partition": -1}), json!({"kafka_offset": 1})),
            (json!({"kafka_topic": "t", "kafka_partition": 0}), json!({"kafka_offset": -1})),
            (json!({"kafka_topic": "t", "kafka_partition": 0}), json!({})),
        ] {
            let error = read_sink(one(partition, offset)).unwrap_err();
            assert!(error.message.contains("kafka_"), "{}", error.message);
        }
    }
}
