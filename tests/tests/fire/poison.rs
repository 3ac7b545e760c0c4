//! One poison record in a batch of five hundred: the others are delivered at once and in order, and one dead letter says
//! everything that can be said about it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::{BatchLimits, ReadFrom, ReadSpec};
use sandbar::control::ConnectorState;
use sandbar_tests::scenario::Home;
use sandbar_tests::topics::{self, Row};
use sandbar_tests::wait::{self, Seen};
use serde_json::json;

sandbar_tests::on_both_brokers!(one_poison_record_in_a_batch_of_five_hundred);

const BATCH: usize = 500;
const POISON: usize = 271;
/// What is promised of the slowest but one in a hundred is a second. A machine that does much else may take longer.
const WITHIN: Duration = Duration::from_secs(10);
const LIMITS: BatchLimits = BatchLimits { records: BATCH, bytes: 1 << 20 };
/// How long one look at the topic lasts.
const LOOK: Duration = Duration::from_millis(5);

async fn one_poison_record_in_a_batch_of_five_hundred(home: &Home) -> Result<()> {
    home.install(&["faulty"])?;
    let (from, to, letters) = (home.name("from"), home.name("to"), home.name("letters"));
    let broker = home.broker().await?;
    topics::create(&*broker, &from, 1).await?;
    topics::create(&*broker, &to, 1).await?;
    home.define(
        "fragile",
        &json!({
            "connector.class": "faulty",
            "connector.type": "transform",
            "topics": from,
            "topic": to,
            "mode": "trap",
            "poison": POISON.to_string(),
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": letters,
            "errors.deadletterqueue.context.headers.enable": "true",
        }),
    )?;
    let mut worker = home.start_inside()?;
    // It is at work, so that what is measured is not its start.
    topics::write_values(&*broker, &from, ["first"]).await?;
    let spec = ReadSpec { topic: to.clone(), partitions: None, from: ReadFrom::Beginning };
    let mut reader = broker.reader(spec).await?;
    let mut seen: Vec<(String, Instant)> = Vec::new();
    let mut until = async |count: usize| {
        wait::until(&format!("{count} records came through"), wait::WITHIN, async || {
            for batch in reader.next(LIMITS, LOOK).await? {
                for record in batch.batch.frame().records() {
                    seen.push((topics::value(&record)?.to_owned(), Instant::now()));
                }
            }
            Ok(Seen::when(seen.len() >= count, || format!("{}", seen.len())))
        })
        .await
    };
    until(1).await?;

    let written = Instant::now();
    topics::write(&*broker, &from, |frame| {
        for number in 0..BATCH {
            let key = format!("key {number}");
            frame.record(Some(key.as_bytes()), Some(number.to_string().as_bytes())).header("from", Some(b"test"));
        }
    })
    .await?;
    until(BATCH).await?;

    let others: Vec<String> = (0..BATCH).filter(|number| *number != POISON).map(|number| number.to_string()).collect();
    let passed: Vec<&String> = seen.iter().skip(1).map(|(value, _)| value).collect();
    ensure!(passed == others.iter().collect::<Vec<_>>(), "{passed:?}");
    let mut late: Vec<Duration> = seen.iter().skip(1).map(|(_, at)| at.duration_since(written)).collect();
    late.sort_unstable();
    let (median, p99) = (late.get(late.len() / 2).copied(), late.get(late.len() * 99 / 100).copied());
    println!("beside a poison record in a batch of {BATCH}: median {median:?}, p99 {p99:?}");
    ensure!(p99.is_some_and(|p99| p99 < WITHIN), "p99 is {p99:?}");

    let letters = topics::read_until(&*broker, &letters, 1).await?;
    is_the_letter(home, letters.first().context("a letter")?, &from)?;
    let status = worker
        .until_connector(&home.name("fragile"), "has counted the letter", |connector| {
            connector.totals().dead_letters == 1
        })
        .await?;
    ensure!(status.state == ConnectorState::Running, "{status:?}");
    worker.stop().await
}

/// The original record, and every header of Kafka Connect's.
fn is_the_letter(home: &Home, letter: &Row, from: &str) -> Result<()> {
    let (key, value) = (format!("key {POISON}"), POISON.to_string());
    ensure!((letter.key.as_ref(), letter.value.as_ref()) == (Some(&key), Some(&value)), "{letter:?}");
    let mut headers: BTreeMap<&str, &str> =
        letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let said = headers.remove("__connect.errors.exception.message").context("a message")?;
    ensure!(said.contains("task 0: transform: trapped: "), "{said:?}");
    let trace = headers.remove("__connect.errors.exception.stacktrace").context("a trace")?;
    ensure!(trace == format!("sandbar.Trap: {said}"), "{trace:?}");
    // One record was there before the batch.
    let (connector, offset) = (home.name("fragile"), (POISON + 1).to_string());
    let expected = BTreeMap::from([
        ("from", "test"),
        ("__connect.errors.class.name", "faulty"),
        ("__connect.errors.connector.name", connector.as_str()),
        ("__connect.errors.exception.class.name", "sandbar.Trap"),
        ("__connect.errors.offset", offset.as_str()),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.stage", "TRANSFORMATION"),
        ("__connect.errors.task.id", "0"),
        ("__connect.errors.topic", from),
    ]);
    ensure!(headers == expected, "{headers:?}");
    Ok(())
}
