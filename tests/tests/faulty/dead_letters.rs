//! Faults that are tolerated: the record that causes one goes to the dead letter queue and says why, the others go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sandbar::config::BrokerConfig;
use sandbar::control::ConnectorState;
use sandbar_tests::contract::Row;
use sandbar_tests::in_process::{self, Worker};
use sandbar_tests::logs;

use crate::{config, worker};

/// What tolerates faults, with a queue of the connector's own.
fn tolerant<'a>(queue: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut config = vec![
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", queue),
        ("errors.deadletterqueue.context.headers.enable", "true"),
        ("poison", "3"),
    ];
    config.extend_from_slice(more);
    config
}

/// The headers that say what went wrong, without their prefix.
fn why(letter: &Row) -> BTreeMap<&str, String> {
    let text = |value: &Option<Vec<u8>>| String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
    let headers = letter.headers.iter();
    headers.filter_map(|(name, value)| Some((name.strip_prefix("__connect.errors.")?, text(value)))).collect()
}

fn texts(rows: &[Row]) -> Vec<String> {
    rows.iter().map(Row::text).collect()
}

/// The one dead letter of a connector is record `3`, with everything that can be said about it.
async fn is_dead_letter(worker: &Worker, name: &str, stage: &str, class: &str, message: &str) -> Result<()> {
    let letters = worker.read(&format!("{name}-dead"), 1).await?;
    let letter = letters.first().context("a letter")?;
    ensure!((letter.key.as_deref(), letter.text().as_str()) == (Some(&b"key"[..]), "3"), "{letter:?}");
    ensure!(letter.headers.first() == Some(&("from".to_owned(), Some(b"test".to_vec()))), "{letter:?}");
    let mut why = why(letter);
    let said = why.remove("exception.message").context("a message")?;
    ensure!(said.contains(message), "{name}: {said:?} does not say {message:?}");
    let trace = why.remove("exception.stacktrace").context("a trace")?;
    ensure!(trace == format!("{class}: {said}"), "{trace:?}");
    let expected = [
        ("class.name", "faulty"),
        ("connector.name", name),
        ("exception.class.name", class),
        ("offset", "2"),
        ("partition", "0"),
        ("stage", stage),
        ("task.id", "0"),
        ("topic", "in"),
    ];
    let found: Vec<_> = why.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ensure!(found == expected, "{found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_that_breaks_a_transform_is_set_aside() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3", "4", "5"]).await?;
    // Long enough for the records that are not at fault on a busy machine.
    let time = ("sandbox.call.timeout.ms", "500");
    for (mode, more, class, message) in [
        ("fail-record", &[("message", "not my sort")][..], "sandbar.RecordFailed", "not my sort"),
        ("panic", &[("message", "no idea")], "sandbar.Trap", "task 0: transform: trapped: "),
        ("trap", &[], "sandbar.Trap", "task 0: transform: trapped: wasm trap: wasm `unreachable`"),
        ("exit", &[], "sandbar.Exit", "task 0: transform: exited with status 3"),
        ("loop", &[("sandbox.fuel.per.call", "20000000")], "sandbar.OutOfFuel", "task 0: transform: used up its fuel"),
        ("sleep", &[("millis", "60000"), time], "sandbar.TimedOut", "task 0: transform: took longer than 500 ms"),
        ("recurse", &[], "sandbar.Trap", "task 0: transform: trapped: "),
        ("allocate", &[("sandbox.memory.max.bytes", "8388608")], "sandbar.OutOfMemory", "transform: ran out of memory"),
        ("huge-output", &[], "sandbar.ContractViolation", "transform: contract violation"),
        // Tried again for a while; each try is answered, which is no progress.
        (
            "retry-record",
            &[("message", "not yet"), ("errors.retry.timeout", "300")],
            "sandbar.Retryable",
            "not yet (errors.retry.timeout is used up)",
        ),
    ] {
        let name = format!("aside-{mode}");
        let (queue, topic) = (format!("{name}-dead"), format!("{name}-out"));
        let mut more = tolerant(&queue, more);
        more.push(("topic", &topic));
        worker.define(&name, &config("transform", mode, &more))?;
        let passed = worker.read(&topic, 4).await.with_context(|| name.clone())?;
        ensure!(texts(&passed) == ["1", "2", "4", "5"], "{name}: {:?}", texts(&passed));
        is_dead_letter(&worker, &name, "TRANSFORMATION", class, message).await?;
        let connector = worker.wait(&name, |c| c.totals().dead_letters == 1).await?;
        ensure!(connector.state == ConnectorState::Running, "{connector:?}");
        worker.probe().await?;
    }
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_a_sink_refuses_is_set_aside() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3", "4"]).await?;
    let more = tolerant("refusing-dead", &[("message", "too long")]);
    worker.define("refusing", &config("sink", "fail-record", &more))?;
    is_dead_letter(&worker, "refusing", "TASK_PUT", "sandbar.RecordFailed", "too long").await?;
    worker.wait("refusing", |c| c.totals().records_in == 4 && c.totals().records_out == 3).await?;
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transform_before_a_sink_sets_records_aside_too() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3", "4"]).await?;
    let more = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "chained-dead"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
        ("transforms", "first"),
        ("transforms.first.type", "faulty"),
        ("transforms.first.mode", "trap"),
        ("transforms.first.poison", "3"),
    ];
    worker.define("chained", &config("sink", "none", &more))?;
    is_dead_letter(&worker, "chained", "TRANSFORMATION", "sandbar.Trap", "task 0: transform: trapped: ").await?;
    worker.wait("chained", |c| c.totals().records_in == 4 && c.totals().records_out == 3).await?;
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_queue_the_record_is_dropped_and_counted() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "3", "5"]).await?;
    let more = [("errors.tolerance", "all"), ("poison", "3")];
    worker.define("dropping", &config("transform", "trap", &more))?;
    ensure!(texts(&worker.read("out", 2).await?) == ["1", "5"]);
    worker.wait("dropping", |c| c.totals().dropped == 1 && c.totals().records_in == 3).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_never_ends_does_not_keep_its_record_out_of_the_queue() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "3"]).await?;
    let long = "x".repeat(700_000);
    let more = tolerant("wordy-dead", &[("message", &long)]);
    worker.define("wordy", &config("transform", "fail-record", &more))?;
    ensure!(texts(&worker.read("out", 1).await?) == ["1"]);
    let letters = worker.read("wordy-dead", 1).await?;
    let said = letters.first().map(why).and_then(|mut why| why.remove("exception.message")).context("a message")?;
    ensure!(said.len() == 8192 && long.starts_with(&said), "{} bytes", said.len());
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_too_large_with_its_headers_goes_without_them() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut settings = in_process::config(folder.path());
    if let BrokerConfig::Local(local) = &mut settings.broker {
        local.message_max_bytes = 10_000;
    }
    let mut worker = Worker::start_with(folder, settings).await?;
    worker.put("faulty.wasm", &in_process::example("faulty")?)?;
    worker.start_neighbour("faulty").await?;
    // About as large as the broker takes a record: a few headers more and it is too large.
    let large = "x".repeat(9_900);
    worker.write("in", &["1", &large, "5"]).await?;
    let more = tolerant("large-dead", &[("poison", &large)]);
    let config: Vec<_> = config("transform", "trap", &more);
    worker.define("large", &config)?;
    let values: Vec<_> = worker.read("out", 2).await?.iter().map(Row::text).collect();
    ensure!(values == ["1", "5"], "{values:?}");
    let letters = worker.read("large-dead", 1).await?;
    ensure!(letters.first().is_some_and(|letter| letter.text() == large && letter.headers.len() == 1));
    logs::line(&["connector=large", "goes without the headers that say why"]).await?;
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_record_may_become_many() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "3", "5"]).await?;
    let more = tolerant("many-dead", &[("count", "200")]);
    worker.define("many", &config("transform", "many-outputs", &more))?;
    let passed = worker.read("out", 202).await?;
    ensure!(passed.iter().filter(|row| row.text() == "3").count() == 200);
    worker.probe().await
}

/// What lies in the topics of worker groups is believed: no plugin writes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_for_a_topic_of_the_worker_group_is_set_aside() -> Result<()> {
    let mut worker = worker().await?;
    worker.write("in", &["1", "2", "3", "4"]).await?;
    let configs = "sandbar-configs-sandbar";
    worker.define("stray", &config("transform", "stray-topic", &tolerant("stray-dead", &[("message", configs)])))?;
    let passed = worker.read("out", 3).await?;
    ensure!(texts(&passed) == ["1", "2", "4"], "{:?}", texts(&passed));
    is_dead_letter(&worker, "stray", "KAFKA_PRODUCE", "sandbar.RecordRejected", configs).await?;
    worker.probe().await
}
