//! Records that fail: set aside as Kafka Connect does it, while the others go on; or, without leave to, the end of the
//! task, which says which record it was.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::scenario::Home;
use sandbar_tests::topics::{self, Row};
use serde_json::{Value, json};

use crate::{PARTITIONS, mark};

sandbar_tests::on_both_brokers!(
    what_a_transform_refuses_is_set_aside,
    what_breaks_a_transform_is_found_and_set_aside,
    what_a_sink_refuses_is_set_aside,
    what_a_chain_of_a_source_refuses_is_set_aside,
    without_leave_to_set_aside_the_task_fails_and_names_the_record,
);

/// How many records are sent; more than one batch of the default size for each partition.
const SENT: usize = 3_000;
/// Every so many records one is poison.
const EVERY: usize = 250;

async fn what_a_transform_refuses_is_set_aside(home: &Home) -> Result<()> {
    home.install(&["json-transform"])?;
    let (from, to, letters) = (home.name("from"), home.name("to"), home.name("letters"));
    home.define("mark", &tolerant(mark(1, &from, &to), &letters))?;
    let sent = send(home, &from).await?;
    let worker = home.start_inside()?;
    let broker = home.broker().await?;
    let rows = topics::read_until(&*broker, &letters, SENT / EVERY).await?;
    let passed = topics::read_until(&*broker, &to, SENT - SENT / EVERY).await?;
    worker.stop().await?;

    check_letters(home, &sent, &rows, &Blame { stage: "TRANSFORMATION", plugin: "json-transform", connector: "mark" })?;
    check_passed(&sent, &passed, |value| format!("{},\"by\":1}}", value.trim_end_matches('}')))
}

async fn what_breaks_a_transform_is_found_and_set_aside(home: &Home) -> Result<()> {
    home.install(&["faulty"])?;
    let (from, to, letters) = (home.name("from"), home.name("to"), home.name("letters"));
    let config = json!({
        "connector.class": "faulty",
        "connector.type": "transform",
        "topics": from,
        "topic": to,
        "topic.creation.default.partitions": PARTITIONS,
        "mode": "panic",
        "poison": POISON,
        "message": "I cannot",
    });
    home.define("faulty", &tolerant(config, &letters))?;
    let sent = send(home, &from).await?;
    let worker = home.start_inside()?;
    let broker = home.broker().await?;
    let rows = topics::read_until(&*broker, &letters, SENT / EVERY).await?;
    let passed = topics::read_until(&*broker, &to, SENT - SENT / EVERY).await?;
    worker.stop().await?;

    check_letters(home, &sent, &rows, &Blame { stage: "TRANSFORMATION", plugin: "faulty", connector: "faulty" })?;
    let told = rows.iter().all(|row| header(row, "exception.message").is_some_and(|told| told.contains("I cannot")));
    ensure!(told, "the message of the panic is not told: {:?}", rows.first());
    check_passed(&sent, &passed, str::to_owned)
}

async fn what_a_sink_refuses_is_set_aside(home: &Home) -> Result<()> {
    home.install(&["faulty"])?;
    let (from, letters) = (home.name("from"), home.name("letters"));
    let config = json!({
        "connector.class": "faulty",
        "connector.type": "sink",
        "topics": from,
        "mode": "fail-record",
        "poison": POISON,
        "message": "I will not",
    });
    home.define("faulty", &tolerant(config, &letters))?;
    let sent = send(home, &from).await?;
    let mut worker = home.start_inside()?;
    let broker = home.broker().await?;
    let rows = topics::read_until(&*broker, &letters, SENT / EVERY).await?;
    let all = |sink: &ConnectorStatus| sink.totals().records_out as usize == SENT - SENT / EVERY;
    worker.until_connector(&home.name("faulty"), "has written the others", all).await?;
    worker.stop().await?;
    check_letters(home, &sent, &rows, &Blame { stage: "TASK_PUT", plugin: "faulty", connector: "faulty" })?;
    ensure!(header(&rows[0], "exception.message").is_some_and(|told| told.contains("I will not")), "{:?}", rows[0]);
    Ok(())
}

async fn what_a_chain_of_a_source_refuses_is_set_aside(home: &Home) -> Result<()> {
    home.install(&["datagen", "faulty"])?;
    let (to, letters) = (home.name("to"), home.name("letters"));
    let config = json!({
        "connector.class": "datagen",
        "topic": to,
        "count": SENT,
        "rate": 0,
        "template": "{{seq}}",
        "transforms": "strict",
        "transforms.strict.type": "faulty",
        "transforms.strict.mode": "trap",
        "transforms.strict.poison": "1234",
    });
    home.define("source", &tolerant(config, &letters))?;
    let mut worker = home.start_inside()?;
    let completed = |source: &ConnectorStatus| source.state == ConnectorState::Completed;
    worker.until_connector(&home.name("source"), "has completed", completed).await?;
    worker.stop().await?;

    let broker = home.broker().await?;
    let passed = topics::read(&*broker, &to).await?;
    let others: Vec<_> = (0..SENT).filter(|n| *n != 1234).map(|n| Some(n.to_string())).collect();
    ensure!(passed.iter().map(|row| row.value.clone()).eq(others), "{} records passed", passed.len());
    let rows = topics::read(&*broker, &letters).await?;
    ensure!(rows.len() == 1 && rows[0].value.as_deref() == Some("1234"), "{rows:?}");
    ensure!(header(&rows[0], "stage") == Some("TRANSFORMATION") && header(&rows[0], "topic") == Some(&to), "{rows:?}");
    Ok(())
}

async fn without_leave_to_set_aside_the_task_fails_and_names_the_record(home: &Home) -> Result<()> {
    home.install(&["json-transform"])?;
    let (from, to, letters) = (home.name("from"), home.name("to"), home.name("letters"));
    home.define("mark", &mark(1, &from, &to))?;
    let sent = send(home, &from).await?;
    let mut worker = home.start_inside()?;
    let named: Vec<_> = poisons(&sent).map(|row| format!("{from}-{}@{}", row.partition, row.offset)).collect();
    let failed = |mark: &ConnectorStatus| {
        let reason = mark.reason.as_deref().unwrap_or_default();
        mark.state == ConnectorState::Failed && named.iter().any(|name| reason.contains(name))
    };
    worker.until_connector(&home.name("mark"), "has failed, and names a record", failed).await?;

    // With leave to it goes on where it was: nothing of the failed tries is seen.
    home.define("mark", &tolerant(mark(1, &from, &to), &letters))?;
    let broker = home.broker().await?;
    let rows = topics::read_until(&*broker, &letters, SENT / EVERY).await?;
    let passed = topics::read_until(&*broker, &to, SENT - SENT / EVERY).await?;
    worker.stop().await?;
    check_letters(home, &sent, &rows, &Blame { stage: "TRANSFORMATION", plugin: "json-transform", connector: "mark" })?;
    check_passed(&sent, &passed, |value| format!("{},\"by\":1}}", value.trim_end_matches('}')))
}

/// The value of poison records: no JSON, and what `faulty` is told to stumble over.
const POISON: &str = "poison";

/// Sends records over all partitions, some of them poison, and returns what the topic holds then.
async fn send(home: &Home, topic: &str) -> Result<Vec<Row>> {
    let broker = home.broker().await?;
    topics::create(&*broker, topic, PARTITIONS).await?;
    topics::write(&*broker, topic, |frame| {
        for n in 0..SENT {
            let value = if n % EVERY == EVERY / 2 { POISON.to_owned() } else { format!("{{\"n\":{n}}}") };
            let mut record = frame.record(Some(format!("key-{n}").as_bytes()), Some(value.as_bytes()));
            record.header("number", Some(n.to_string().as_bytes()));
        }
    })
    .await?;
    topics::read_until(&*broker, topic, SENT).await
}

fn tolerant(mut config: Value, letters: &str) -> Value {
    config["errors.tolerance"] = "all".into();
    config["errors.deadletterqueue.topic.name"] = letters.into();
    config["errors.deadletterqueue.context.headers.enable"] = "true".into();
    config
}

fn poisons(sent: &[Row]) -> impl Iterator<Item = &Row> {
    sent.iter().filter(|row| row.value.as_deref() == Some(POISON))
}

fn header<'r>(row: &'r Row, name: &str) -> Option<&'r str> {
    row.headers.get(&format!("__connect.errors.{name}")).map(String::as_str)
}

/// Who is to be named.
struct Blame<'a> {
    stage: &'a str,
    plugin: &'a str,
    connector: &'a str,
}

/// Makes sure that the letters are the poison records as they were sent, with the headers Kafka Connect adds.
fn check_letters(home: &Home, sent: &[Row], letters: &[Row], blame: &Blame<'_>) -> Result<()> {
    let by_key: BTreeMap<_, _> = letters.iter().map(|letter| (&letter.key, letter)).collect();
    ensure!(by_key.len() == letters.len(), "a dead letter came twice");
    for poison in poisons(sent) {
        let letter = by_key.get(&poison.key).with_context(|| format!("{poison:?} is no dead letter"))?;
        ensure!(letter.value == poison.value && letter.timestamp == poison.timestamp, "{poison:?} became {letter:?}");
        ensure!(letter.headers.get("number") == poison.headers.get("number"), "{poison:?} became {letter:?}");
        for (name, expected) in [
            ("topic", home.name("from")),
            ("partition", poison.partition.to_string()),
            ("offset", poison.offset.to_string()),
            ("connector.name", home.name(blame.connector)),
            ("task.id", "0".to_owned()),
            ("stage", blame.stage.to_owned()),
            ("class.name", blame.plugin.to_owned()),
        ] {
            ensure!(header(letter, name) == Some(&expected), "header {name} of {letter:?} is not {expected}");
        }
        for name in ["exception.class.name", "exception.message", "exception.stacktrace"] {
            ensure!(header(letter, name).is_some_and(|text| !text.is_empty()), "no header {name} in {letter:?}");
        }
    }
    ensure!(letters.len() == poisons(sent).count(), "{} dead letters", letters.len());
    Ok(())
}

/// Makes sure that the others passed, each partition in order, changed as `change` says and in nothing else.
fn check_passed(sent: &[Row], passed: &[Row], change: impl Fn(&str) -> String) -> Result<()> {
    let in_order = |rows: Vec<Row>| {
        let mut partitions: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for row in rows {
            partitions.entry(row.partition).or_default().push((row.key, row.value, row.timestamp, row.headers));
        }
        partitions
    };
    let expected = sent.iter().filter(|row| row.value.as_deref() != Some(POISON)).cloned();
    let expected = expected.map(|row| Row { value: row.value.as_deref().map(&change), ..row }).collect();
    let (expected, passed) = (in_order(expected), in_order(passed.to_vec()));
    for (partition, expected) in &expected {
        let passed = passed.get(partition).with_context(|| format!("nothing in partition {partition}"))?;
        let differs = expected.iter().zip(passed).find(|(expected, passed)| expected != passed);
        ensure!(differs.is_none() && expected.len() == passed.len(), "partition {partition}: {differs:?}");
    }
    Ok(())
}
