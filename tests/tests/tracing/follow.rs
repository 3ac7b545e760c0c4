//! One record's way through three connectors.

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use sandbar::control::ConnectorState;
use sandbar_tests::contract::Row;
use sandbar_tests::http_server::Authority;

use crate::Traced;
use crate::collector::{Collector, attribute, comes_of, is_within, traceparent};

fn header(row: &Row) -> Option<String> {
    let found = row.headers.iter().find(|(name, _)| name == "traceparent");
    found.and_then(|(_, value)| Some(String::from_utf8_lossy(value.as_deref()?).into_owned()))
}

#[track_caller]
fn has(span: &Span, attributes: &[(&str, &str)]) {
    for (key, expected) in attributes {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(*expected), "{key} of {}", span.name);
    }
}

#[tokio::test]
async fn a_record_is_followed_from_its_poll_to_the_commit_of_the_sink() -> Result<()> {
    let collector = Collector::start().await?;
    let tracing = format!("endpoint = \"{}\"\nservice.name = \"here\"", collector.server().origin());
    let mut traced = Traced::start(&tracing, &["datagen", "shout", "file_sink"]).await?;
    let files = traced.worker.folder().path().join("files");
    std::fs::create_dir(&files)?;
    let files = files.to_str().context("a path")?.to_owned();
    let worker = &mut traced.worker;
    let source = [
        ("connector.class", "datagen"),
        ("topic", "quiet"),
        ("count", "3"),
        ("rate", "1000"),
        ("template", "n {{seq}}"),
    ];
    worker.define("source", &source)?;
    worker.define("shout", &[("connector.class", "shout"), ("topics", "quiet"), ("topic", "loud")])?;
    let path = format!("{files}/out");
    let sink = [("connector.class", "file-sink"), ("topics", "loud"), ("path", &path), ("sandbox.fs.write", &files)];
    worker.define("sink", &sink)?;
    worker.wait("source", |source| source.state == ConnectorState::Completed).await?;
    let (quiet, loud) = (worker.read("quiet", 3).await?, worker.read("loud", 3).await?);

    // The source's span is on its records. `shout` drops all headers of what it gets; the host puts this one back.
    let parent = header(&quiet[0]).context("a source's record has the header")?;
    ensure!(loud.iter().filter(|row| header(row).as_deref() == Some(&parent)).count() > 0, "{parent} {loud:?}");
    let poll = collector.wait("the poll", |span| span.name == "poll quiet" && traceparent(span) == parent).await?;
    ensure!(poll.kind == SpanKind::Producer as i32 && poll.parent_span_id.is_empty(), "{poll:?}");
    has(&poll, &[("messaging.system", "kafka"), ("messaging.operation.type", "create")]);
    has(&poll, &[("messaging.destination.name", "quiet"), ("sandbar.connector", "source"), ("sandbar.task", "0")]);
    let call = collector.wait("the call", |span| span.name == "datagen poll" && is_within(span, &poll)).await?;
    has(&call, &[("sandbar.plugin", "datagen"), ("sandbar.plugin.version", "0.1.0")]);
    let fuel = attribute(&call.attributes, "sandbar.fuel").context("fuel")?;
    ensure!(fuel.parse::<u64>()? > 0, "{fuel}");
    let send = collector.wait("the sending", |span| span.name == "send quiet" && is_within(span, &poll)).await?;
    has(&send, &[("messaging.operation.type", "send"), ("messaging.destination.name", "quiet")]);
    let of_source = |span: &Span| attribute(&span.attributes, "sandbar.connector").as_deref() == Some("source");
    let commit = collector
        .wait("the source's commit", |span| span.name == "commit" && of_source(span) && comes_of(span, &poll))
        .await?;
    has(&commit, &[("messaging.operation.type", "settle"), ("messaging.operation.name", "commit")]);
    ensure!(commit.start_time_unix_nano >= send.end_time_unix_nano, "a commit comes after what it commits");

    // Through the transform: a batch that links to what its records come of.
    let process = collector.wait("the transform", |span| span.name == "process quiet" && comes_of(span, &poll)).await?;
    ensure!(process.kind == SpanKind::Consumer as i32 && !process.links.is_empty(), "{process:?}");
    has(&process, &[("messaging.consumer.group.name", "connect-shout"), ("messaging.destination.partition.id", "0")]);
    ensure!(attribute(&process.attributes, "messaging.batch.message_count").is_some());
    for name in ["shout transform", "send loud"] {
        collector.wait(name, |span| span.name == name && is_within(span, &process)).await?;
    }
    collector.wait("the transform's commit", |span| span.name == "commit" && comes_of(span, &process)).await?;

    // And into the sink, of the same span still.
    let written = collector.wait("the sink", |span| span.name == "process loud" && comes_of(span, &poll)).await?;
    collector.wait("the write", |span| span.name == "file-sink write" && is_within(span, &written)).await?;
    collector.wait("the flush", |span| span.name == "file-sink flush" && comes_of(span, &written)).await?;
    let commit = collector.wait("its commit", |span| span.name == "commit" && comes_of(span, &written)).await?;
    ensure!(commit.status.as_ref().is_none_or(|status| status.code != StatusCode::Error as i32), "{commit:?}");
    has(&commit, &[("messaging.consumer.group.name", "connect-sink"), ("sandbar.connector", "sink")]);

    let resource = collector.resource()?;
    ensure!(attribute(&resource, "service.name").as_deref() == Some("here"), "{resource:?}");
    ensure!(attribute(&resource, "service.instance.id").is_some(), "{resource:?}");
    ensure!(traced.worker.stop().await?);
    Ok(())
}

#[tokio::test]
async fn what_is_left_is_sent_when_the_host_stops_by_tls_too() -> Result<()> {
    let authority = Authority::new()?;
    let collector = Collector::start_tls(&authority).await?;
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let tracing = format!("endpoint = \"{}\"", collector.server().origin());
    let mut traced = Traced::start_trusting(&tracing, &["datagen"], Some(ca)).await?;
    let source = [
        ("connector.class", "datagen"),
        ("topic", "numbers"),
        ("count", "3"),
        ("rate", "1000"),
        ("template", "n {{seq}}"),
    ];
    traced.worker.define("source", &source)?;
    traced.worker.wait("source", |source| source.state == ConnectorState::Completed).await?;
    ensure!(traced.worker.stop().await?);
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    for name in ["poll numbers", "send numbers", "commit"] {
        ensure!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
    Ok(())
}
