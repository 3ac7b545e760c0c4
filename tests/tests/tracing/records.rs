//! What tracing does to records, and that it does nothing where it is off.

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use sandbar::broker::TopicSettings;
use sandbar::control::ConnectorState;
use sandbar_tests::contract::output;

use crate::Traced;
use crate::collector::{Collector, attribute};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00";

/// Writes records with these headers `traceparent`.
async fn write(traced: &Traced, topic: &str, records: &[(&str, Option<&str>)]) -> Result<()> {
    let records = output(topic, |frame| {
        for (value, parent) in records {
            let mut record = frame.record(None, Some(value.as_bytes()));
            if let Some(parent) = parent {
                record.header("traceparent", Some(parent.as_bytes()));
            }
        }
    })?;
    Ok(traced.worker.broker().write(records, &TopicSettings::default()).await?)
}

#[tokio::test]
async fn where_tracing_is_off_no_record_is_touched() -> Result<()> {
    let mut traced = Traced::start("endpoint = \"none\"", &["datagen", "shout"]).await?;
    write(&traced, "quiet", &[("a", Some(PARENT))]).await?;
    traced.worker.define("shout", &[("connector.class", "shout"), ("topics", "quiet"), ("topic", "loud")])?;
    let source = [("connector.class", "datagen"), ("topic", "numbers"), ("count", "1"), ("template", "n")];
    traced.worker.define("source", &source)?;
    traced.worker.wait("source", |source| source.state == ConnectorState::Completed).await?;
    for topic in ["loud", "numbers"] {
        let rows = traced.worker.read(topic, 1).await?;
        ensure!(rows[0].headers.is_empty(), "{rows:?}");
    }
    ensure!(!traced.rest.get("/metrics").await?.text().contains("sandbar_spans"));
    Ok(())
}

#[tokio::test]
async fn what_others_do_not_record_is_not_recorded_here_and_keeps_its_header() -> Result<()> {
    let collector = Collector::start().await?;
    let tracing = format!("endpoint = \"{}\"", collector.server().origin());
    let mut traced = Traced::start(&tracing, &["shout"]).await?;
    write(&traced, "quiet", &[("a", Some(OTHER))]).await?;
    traced.worker.define("shout", &[("connector.class", "shout"), ("topics", "quiet"), ("topic", "loud")])?;
    let rows = traced.worker.read("loud", 1).await?;
    ensure!(rows[0].headers == [("traceparent".to_owned(), Some(OTHER.into()))], "{rows:?}");
    traced.worker.wait("shout", |shout| shout.totals().commits > 0).await?;
    ensure!(traced.worker.stop().await?);
    ensure!(collector.spans().is_empty(), "{:?}", collector.spans());
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_is_an_event_of_its_batch_and_keeps_its_header() -> Result<()> {
    let collector = Collector::start().await?;
    let tracing = format!("endpoint = \"{}\"", collector.server().origin());
    let traced = Traced::start(&tracing, &["json_transform"]).await?;
    write(&traced, "in", &[("{}", None), ("no JSON", Some(PARENT))]).await?;
    let transform = [
        ("connector.class", "json-transform"),
        ("topics", "in"),
        ("topic", "out"),
        ("operations", "[{\"op\": \"set\", \"field\": \"a\", \"value\": 1}]"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "dead"),
    ];
    traced.worker.define("transform", &transform)?;
    let dead = traced.worker.read("dead", 1).await?;
    ensure!(dead[0].headers.contains(&("traceparent".to_owned(), Some(PARENT.into()))), "{dead:?}");
    let batch = collector.wait("the batch", |span| span.name == "process in").await?;
    // One record comes of a span, the other of none: the batch links to it and is no part of its trace.
    ensure!(batch.links.len() == 1 && batch.parent_span_id.is_empty(), "{batch:?}");
    let event = batch.events.first().context("an event")?;
    ensure!(event.name == "record dead-lettered", "{event:?}");
    ensure!(attribute(&event.attributes, "sandbar.record").as_deref() == Some("in-0@1"), "{event:?}");
    ensure!(attribute(&event.attributes, "sandbar.dead_letter.topic").as_deref() == Some("dead"), "{event:?}");
    ensure!(traced.worker.stop().await?);
    Ok(())
}

#[tokio::test]
async fn a_batch_that_fails_says_why() -> Result<()> {
    let collector = Collector::start().await?;
    let tracing = format!("endpoint = \"{}\"", collector.server().origin());
    let traced = Traced::start(&tracing, &["json_transform"]).await?;
    write(&traced, "in", &[("no JSON", None)]).await?;
    let transform = [
        ("connector.class", "json-transform"),
        ("topics", "in"),
        ("topic", "out"),
        ("operations", "[{\"op\": \"set\", \"field\": \"a\", \"value\": 1}]"),
    ];
    traced.worker.define("transform", &transform)?;
    let batch = collector.wait("the batch", |span| span.name == "process in").await?;
    let status = batch.status.as_ref().context("a status")?;
    ensure!(status.code == StatusCode::Error as i32 && status.message.contains("in-0@0"), "{status:?}");
    ensure!(attribute(&batch.attributes, "error.type").as_deref() == Some("sandbar.RecordFailed"), "{batch:?}");
    ensure!(traced.worker.stop().await?);
    Ok(())
}
