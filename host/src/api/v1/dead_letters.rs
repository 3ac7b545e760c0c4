//! The dead letters of a connector: looked at, sent back to where they came from, or dropped.
//!
//! A record cannot be taken out of a topic. What was done about a letter is kept as state beside it: in one transaction
//! with the record that goes back, so that none goes back twice.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use regex::Regex;
use sandbar_abi::{FrameBuilder, Record};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::letter_marks::{self, Letters};
use super::letters::{self, Letter, Place};
use crate::api::app::App;
use crate::api::error::{ApiError, Body, ErrorBody, Path, Query, count};
use crate::batch::Batch;
use crate::broker::{Output, StateChange, Topics, whole_names};
use crate::config::keys;
use crate::control::ConnectorStatus;
use crate::task::CONTEXT_PREFIX;

/// How many letters are answered where nobody says, and at most.
const PAGE: (usize, usize) = (50, 500);
/// The most letters that are dealt with at once.
const MAX_AT_ONCE: usize = 1_000;
/// How the names of Kafka's own topics begin. No pattern reads them.
const KAFKAS_OWN: &str = "__";
/// What is wrong with a letter without headers.
const UNKNOWN_PLACE: &str = "does not tell its topic and partition: errors.deadletterqueue.context.headers.enable has \
                             letters tell where they came from";

/// A page of letters.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Page {
    /// The most letters; more than 500 are 500.
    #[serde(default, deserialize_with = "count")]
    #[param(value_type = u64, required = false, default = 50)]
    limit: Option<u64>,
    /// Only those before: what `next` of the page before said.
    #[param(value_type = String, required = false, pattern = r"^[0-9]{1,9}:[0-9]{1,18}(,[0-9]{1,9}:[0-9]{1,18})*$")]
    before: Option<String>,
}

/// Letters.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LetterPage {
    /// The topic they lie in.
    topic: String,
    /// The newest first.
    letters: Vec<Letter>,
    /// Where the next page begins; null: there is none.
    next: Option<String>,
}

/// Which letters.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Chosen {
    /// By their place in the topic.
    #[schema(value_type = Vec<Place>, min_items = 1, max_items = 1000)]
    letters: BTreeSet<Place>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Replayed {
    /// How many went back. Those that had been dealt with before did not.
    replayed: usize,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Dropped {
    /// How many were dropped. Those that had been dealt with before were not.
    dropped: usize,
}

/// The dead letters of a connector.
#[utoipa::path(get, path = "/v1/connectors/{connector}/dead-letters", tag = "sandbar",
    params(("connector" = String, Path), Page), responses(
        (status = 200, body = LetterPage),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody, description = "There is no such connector, or it has no dead letter queue"),
        (status = 503, body = ErrorBody, description = "The broker does not answer"),
    ))]
pub(in crate::api) async fn list(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(Page { limit, before }): Query<Page>,
) -> Result<Json<LetterPage>, ApiError> {
    let (_, topic) = queue(&app, &name)?;
    let limit = limit.map_or(PAGE.0, |limit| usize::try_from(limit).unwrap_or(PAGE.1).clamp(1, PAGE.1));
    let before = before.map(|text| letters::cursor(&text)).transpose()?;
    let (letters, next) = letters::newest(&app, &name, &topic, before, limit).await?;
    Ok(Json(LetterPage { topic, letters, next }))
}

/// Sends letters back to the topics and partitions they came from, without the headers that say why they failed. Whoever
/// else reads those topics gets them, too.
#[utoipa::path(post, path = "/v1/connectors/{connector}/dead-letters/replay", tag = "sandbar",
    params(("connector" = String, Path)), request_body = Chosen, responses(
        (status = 200, body = Replayed),
        (status = 400, body = ErrorBody,
            description = "A letter is not there, or does not say that it came from a topic that the connector reads"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody,
            description = "What a source returned cannot go back, or it is not known what the connector reads"),
        (status = 413, body = ErrorBody, description = "The letters, or the body, are too much at once"),
        (status = 503, body = ErrorBody, description = "The broker does not answer"),
    ))]
pub(in crate::api) async fn replay(
    State(app): State<App>,
    Path(name): Path<String>,
    Body(Chosen { letters }): Body<Chosen>,
) -> Result<Json<Replayed>, ApiError> {
    let (connector, topic) = queue(&app, &name)?;
    let inputs = Inputs::of(&connector)?;
    let mut open = letter_marks::open(&app, &name, &topic, checked(letters)?).await?;
    let replayed = mark(&mut open, &name, "replayed", |letter, frame| {
        let wrong = |what: &str| {
            let offset = letter.offset.unwrap_or_default();
            ApiError::bad_request(format!("letter {}:{offset} {what}", letter.partition))
        };
        let from = letters::came_from(&letter.record).ok_or_else(|| wrong(UNKNOWN_PLACE))?;
        // Anybody may have written the headers, and in some topics what is written is believed.
        if app.worker.is_own_topic(&from.topic) {
            return Err(wrong(&format!("names topic {}, a worker group's own: nothing goes there", from.topic)));
        }
        if !inputs.hold(&from.topic) {
            let what = format!("names topic {}, no input of connector {name}: it does not go there", from.topic);
            return Err(wrong(&what));
        }
        let place = frame.topic_partition(Some(&from.topic), Some(from.partition));
        let mut back = frame.record(letter.record.key, letter.record.value);
        back.topic_partition(place);
        if let Some(timestamp) = letter.record.timestamp {
            back.timestamp(timestamp);
        }
        for (name, value) in letter.record.headers.filter(|(name, _)| !name.starts_with(CONTEXT_PREFIX)) {
            back.header(name, value);
        }
        Ok(())
    });
    let replayed = finish(open, &topic, replayed).await?;
    Ok(Json(Replayed { replayed }))
}

/// Drops letters: they are not listed as open any more. The records stay in the topic for as long as it keeps them.
#[utoipa::path(post, path = "/v1/connectors/{connector}/dead-letters/drop", tag = "sandbar",
    params(("connector" = String, Path)), request_body = Chosen, responses(
        (status = 200, body = Dropped),
        (status = 400, body = ErrorBody, description = "A letter is not there"),
        (status = 404, body = ErrorBody),
        (status = 413, body = ErrorBody, description = "The letters, or the body, are too much at once"),
        (status = 503, body = ErrorBody, description = "The broker does not answer"),
    ))]
pub(in crate::api) async fn discard(
    State(app): State<App>,
    Path(name): Path<String>,
    Body(Chosen { letters }): Body<Chosen>,
) -> Result<Json<Dropped>, ApiError> {
    let (_, topic) = queue(&app, &name)?;
    let mut open = letter_marks::open(&app, &name, &topic, checked(letters)?).await?;
    let dropped = mark(&mut open, &name, "dropped", |_, _| Ok(()));
    let dropped = finish(open, &topic, dropped).await?;
    Ok(Json(Dropped { dropped }))
}

/// The topics that a connector reads: its records come from nowhere else.
enum Inputs {
    Names(Vec<String>),
    Pattern(Regex),
}

impl Inputs {
    fn of(connector: &ConnectorStatus) -> Result<Self, ApiError> {
        let Some(settings) = &connector.settings else {
            return Err(ApiError::conflict(format!(
                "the plugin of connector {} is not there, or its configuration cannot be used: \
                 it is not known where its records come from",
                connector.name
            )));
        };
        match &settings.topics {
            Some(topics) => Self::named(topics).map_err(|error| ApiError::conflict(format!("topics.regex: {error}"))),
            None => {
                let message = "records of a source come from no topic: there is nowhere to send them back to";
                Err(ApiError::conflict(message))
            }
        }
    }

    fn named(topics: &Topics) -> Result<Self, regex::Error> {
        Ok(match topics {
            Topics::Names(names) => Self::Names(names.clone()),
            Topics::Pattern(pattern) => Self::Pattern(whole_names(pattern)?),
        })
    }

    fn hold(&self, topic: &str) -> bool {
        match self {
            Self::Names(names) => names.iter().any(|name| name == topic),
            Self::Pattern(pattern) => !topic.starts_with(KAFKAS_OWN) && pattern.is_match(topic),
        }
    }
}

type Marked = Result<(FrameBuilder, Vec<StateChange>, usize), ApiError>;

/// A letter in a batch that was read.
struct Read<'b> {
    partition: i32,
    offset: Option<i64>,
    record: Record<'b>,
}

/// Notes what is done about the letters that nothing was done about yet.
fn mark(
    open: &mut Letters,
    connector: &str,
    what: &str,
    mut each: impl FnMut(&Read<'_>, &mut FrameBuilder) -> Result<(), ApiError>,
) -> Marked {
    let (mut frame, mut changes, mut count) = (FrameBuilder::new(), Vec::new(), 0);
    let mut missing: BTreeSet<_> = open.chosen.clone();
    for batch in &open.batches {
        let partition = batch.partition.partition;
        for record in batch.batch.frame().records() {
            let Some(offset) = record.offset else { continue };
            let place = Place { partition, offset };
            // Another connector's letters are not this one's to deal with.
            let is_chosen = letters::is_of(&record, connector) && missing.remove(&place);
            if !is_chosen || open.handled.contains_key(&place) {
                continue;
            }
            each(&Read { partition, offset: Some(offset), record }, &mut frame)?;
            changes.push(open.change(&place, Some(what)));
            count += 1;
        }
    }
    match missing.first() {
        Some(Place { partition, offset }) => {
            Err(ApiError::bad_request(format!("there is no letter at offset {offset} of partition {partition}")))
        }
        None => Ok((frame, changes, count)),
    }
}

async fn finish(open: Letters, topic: &str, marked: Marked) -> Result<usize, ApiError> {
    let (frame, changes, count) = match marked {
        Ok(marked) => marked,
        Err(error) => {
            open.close().await;
            return Err(error);
        }
    };
    let output = if frame.is_empty() {
        None
    } else {
        let batch = Batch::build(&frame).map_err(|error| ApiError::bad_request(error.to_string()))?;
        Some(Output { topic: topic.into(), batch })
    };
    open.commit(output, changes).await?;
    Ok(count)
}

fn checked(letters: BTreeSet<Place>) -> Result<BTreeSet<Place>, ApiError> {
    if letters.is_empty() || letters.len() > MAX_AT_ONCE {
        return Err(ApiError::bad_request(format!("letters: 1 to {MAX_AT_ONCE} at once")));
    }
    Ok(letters)
}

/// A connector and the topic its dead letters go to.
fn queue(app: &App, name: &str) -> Result<(ConnectorStatus, String), ApiError> {
    let connector = app.known(name)?;
    // Its plugin need not be there.
    let topic = connector.definition.config().remove(keys::ERRORS_DEADLETTERQUEUE_TOPIC_NAME.name);
    let topic = topic.filter(|topic| !topic.is_empty()).ok_or_else(|| {
        ApiError::not_found(format!(
            "connector {name} has no dead letter queue: errors.deadletterqueue.topic.name gives it one"
        ))
    })?;
    Ok((connector, topic))
}

#[cfg(test)]
mod tests {
    //! Where letters may go back to.

    use super::*;

    #[test]
    fn a_letter_goes_back_to_what_its_connector_reads_and_nowhere_else() {
        #[track_caller]
        fn reads(topics: &Topics, these: &[&str], not_these: &[&str]) {
            let inputs = Inputs::named(topics).unwrap();
            assert_eq!(these.iter().find(|topic| !inputs.hold(topic)), None);
            assert_eq!(not_these.iter().find(|topic| inputs.hold(topic)), None);
        }
        let names = Topics::Names(vec!["orders".to_owned(), "in.1".to_owned()]);
        reads(&names, &["orders", "in.1"], &["orders-2", "in-1", "order", "", "sandbar-configs-sandbar"]);
        let pattern = Topics::Pattern("orders|in.*".to_owned());
        reads(&pattern, &["orders", "in", "in-1"], &["orders-2", "old-orders", "main", "in\n", ""]);
        let all = Topics::Pattern(".*".to_owned());
        reads(&all, &["orders", "_orders"], &["__consumer_offsets", "__transaction_state"]);
    }
}
