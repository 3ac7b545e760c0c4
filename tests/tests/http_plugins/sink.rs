//! `http-sink`: failures of every sort in the middle of the work, and what the server took it took once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::Broker;
use sandbar::control::ConnectorStatus;
use sandbar_tests::http_server::{Asked, HttpServer, Reply};
use sandbar_tests::scenario::Home;
use sandbar_tests::topics;
use serde_json::{Value, json};

use crate::{COUNT, config, counts};

sandbar_tests::on_both_brokers!(
    a_webhook_takes_each_record_once,
    batches_are_split_around_the_record_to_blame,
    what_was_taken_is_not_sent_again_when_a_record_ends_the_task,
    what_is_not_granted_is_refused_before_the_start,
);

const PARTITIONS: i32 = 2;
/// What the server asks for with 429.
const PAUSE: Duration = Duration::from_secs(1);
/// The record that no server takes.
const BAD: u64 = 137;

/// What a server took, in order, and when it was asked.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    /// The numbers that were answered with 200.
    taken: Vec<u64>,
    /// How often a number has been asked about.
    tries: BTreeMap<u64, u32>,
    /// When a number was asked about.
    times: Vec<(u64, Instant)>,
}

impl Book {
    /// Answers about these numbers: `failing` says for the first of them, by the count of its tries, how it fails.
    fn answer(&self, numbers: &[u64], failing: impl Fn(u64, u32) -> Option<Reply>) -> Reply {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            pages.times.push((*number, Instant::now()));
            let tries = pages.tries.entry(*number).or_default();
            *tries += 1;
            if let Some(reply) = failing(*number, *tries) {
                return reply;
            }
        }
        pages.taken.extend(numbers);
        Reply::ok("taken")
    }

    fn pages<T>(&self, look: impl FnOnce(&Pages) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What goes wrong on the way, each on the first tries of a record.
fn trouble(number: u64, tries: u32) -> Option<Reply> {
    match (number, tries) {
        (100, 1) => Some(Reply::status(429).header("retry-after", PAUSE.as_secs().to_string())),
        (200, 1 | 2) => Some(Reply::status(503)),
        (300, 1) => Some(Reply::hang_up()),
        (BAD, _) => Some(Reply::status(400).body(format!("number {BAD} is bad"))),
        _ => None,
    }
}

async fn a_webhook_takes_each_record_once(home: &Home) -> Result<()> {
    let book = Book::default();
    let server = HttpServer::start({
        let book = book.clone();
        move |asked: &Asked| match number(asked) {
            Ok(number) => book.answer(&[number], trouble),
            Err(error) => Reply::status(500).body(format!("{error:#}")),
        }
    })
    .await?;
    let from = home.name("from");
    let more = json!({
        "topics": from,
        "url": server.url("/${topic}/${value.n}?key=${key}"),
        "headers": "{\"X-Partition\": \"${partition}\"}",
        "body": "{\"n\": ${value.n}, \"at\": ${offset}}",
        "idempotency.header": "Idempotency-Key",
    });
    deliver(home, &config("http-sink", &server, more)).await?;

    check_taken(&book)?;
    let asked = server.asked();
    for partition in 0..PARTITIONS {
        let mut last = None;
        for asked in asked.iter().filter(|asked| asked.header("x-partition") == Some(&partition.to_string())) {
            let body: Value = serde_json::from_slice(&asked.body)?;
            let offset = body["at"].as_i64().context("no offset")?;
            ensure!(last <= Some(offset), "offset {offset} after {last:?} in partition {partition}");
            last = Some(offset);
            let n = &body["n"];
            ensure!(asked.path == format!("/{from}/{n}?key=key-{n}"), "{}", asked.path);
            let name = format!("{from}-{partition}-{offset}");
            ensure!(asked.header("idempotency-key") == Some(&name), "{:?} is not {name}", asked.headers);
        }
    }
    // Until the pause is over nobody is asked, about this record or another.
    let times = book.pages(|pages| pages.times.clone());
    let told = times.iter().position(|(number, _)| *number == 100).context("100 was not sent")?;
    let pause = times[told + 1].1.duration_since(times[told].1);
    ensure!(times[told + 1].0 == 100 && pause >= PAUSE, "{} was sent after {pause:?}", times[told + 1].0);
    Ok(())
}

async fn batches_are_split_around_the_record_to_blame(home: &Home) -> Result<()> {
    let book = Book::default();
    let server = HttpServer::start({
        let book = book.clone();
        move |asked: &Asked| match serde_json::from_slice::<Vec<Value>>(&asked.body) {
            Ok(values) => {
                book.answer(&values.iter().filter_map(|value| value["n"].as_u64()).collect::<Vec<_>>(), trouble)
            }
            Err(error) => Reply::status(500).body(error.to_string()),
        }
    })
    .await?;
    let more = json!({
        "topics": home.name("from"),
        "url": server.url("/in"),
        "mode": "batch",
        "batch.max.records": 40,
    });
    deliver(home, &config("http-sink", &server, more)).await?;
    check_taken(&book)
}

async fn what_was_taken_is_not_sent_again_when_a_record_ends_the_task(home: &Home) -> Result<()> {
    /// How often the server refuses the record before it takes it after all.
    const REFUSALS: u32 = 3;
    let book = Book::default();
    let server = HttpServer::start({
        let book = book.clone();
        move |asked: &Asked| match number(asked) {
            Ok(number) => book.answer(&[number], |number, tries| {
                (number == BAD && tries <= REFUSALS).then(|| Reply::status(404).body("not yet"))
            }),
            Err(error) => Reply::status(500).body(format!("{error:#}")),
        }
    })
    .await?;
    home.install(&["http-sink"])?;
    let from = home.name("from");
    home.define("hook", &config("http-sink", &server, json!({ "topics": from, "url": server.url("/in") })))?;
    let broker = home.broker().await?;
    topics::create(&*broker, &from, 1).await?;
    write(&*broker, &from).await?;
    let mut worker = home.start_inside()?;
    // Each refusal ends the task, and it starts again by itself.
    let all = |sink: &ConnectorStatus| sink.totals().records_out >= COUNT;
    worker.until_connector(&home.name("hook"), "has delivered all", all).await?;
    worker.stop().await?;

    let taken = book.pages(|pages| pages.taken.clone());
    ensure!(taken == (0..COUNT).collect::<Vec<_>>(), "{} were taken, or not in order: {taken:?}", taken.len());
    let tries = book.pages(|pages| pages.tries.get(&BAD).copied());
    ensure!(tries == Some(REFUSALS + 1), "{tries:?} tries of {BAD}");
    Ok(())
}

async fn what_is_not_granted_is_refused_before_the_start(home: &Home) -> Result<()> {
    home.install(&["http-sink"])?;
    let config = json!({ "connector.class": "http-sink", "topics": home.name("from"), "url": "http://127.0.0.1/" });
    home.define("hook", &config)?;
    let mut worker = home.start_inside()?;
    let named = |sink: &ConnectorStatus| sink.reason.as_deref().unwrap_or_default().contains("sandbox.http.hosts");
    worker.until_connector(&home.name("hook"), "is refused and says which key would grant it", named).await?;
    worker.stop().await
}

/// Sends the records through a connector, until all are delivered but the bad one, which is the one dead letter.
async fn deliver(home: &Home, config: &Value) -> Result<()> {
    home.install(&["http-sink"])?;
    let (from, letters) = (home.name("from"), home.name("letters"));
    let mut config = config.clone();
    config["errors.tolerance"] = "all".into();
    config["errors.deadletterqueue.topic.name"] = letters.clone().into();
    config["errors.deadletterqueue.context.headers.enable"] = "true".into();
    home.define("hook", &config)?;
    let broker = home.broker().await?;
    topics::create(&*broker, &from, PARTITIONS).await?;
    write(&*broker, &from).await?;
    let mut worker = home.start_inside()?;
    let all = |sink: &ConnectorStatus| sink.totals().records_out >= COUNT - 1;
    worker.until_connector(&home.name("hook"), "has delivered the others", all).await?;
    let rows = topics::read_until(&*broker, &letters, 1).await?;
    worker.stop().await?;

    let header = |name: &str| rows[0].headers.get(&format!("__connect.errors.{name}")).map(String::as_str);
    ensure!(rows[0].value.as_deref() == Some(&format!("{{\"n\":{BAD}}}")), "{:?}", rows[0]);
    let why = header("exception.message").unwrap_or_default();
    ensure!(why.contains(&format!("answered 400: number {BAD} is bad")), "{why}");
    for (name, expected) in [("stage", "TASK_PUT"), ("class.name", "http-sink"), ("topic", &from)] {
        ensure!(header(name) == Some(expected), "{name} of {:?}", rows[0]);
    }
    Ok(())
}

/// Writes all numbers.
async fn write(broker: &dyn Broker, topic: &str) -> Result<()> {
    topics::write(broker, topic, |frame| {
        for n in 0..COUNT {
            frame.record(Some(format!("key-{n}").as_bytes()), Some(format!("{{\"n\":{n}}}").as_bytes()));
        }
    })
    .await
}

/// Makes sure that each number but the bad one was taken, once.
fn check_taken(book: &Book) -> Result<()> {
    let taken = book.pages(|pages| counts(pages.taken.iter().copied()));
    let more = taken.iter().find(|(_, count)| **count > 1);
    ensure!(more.is_none(), "{more:?} was taken more than once");
    let missing: Vec<_> = (0..COUNT).filter(|n| *n != BAD && !taken.contains_key(n)).collect();
    ensure!(missing.is_empty() && !taken.contains_key(&BAD), "never taken: {missing:?}");
    Ok(())
}

fn number(asked: &Asked) -> Result<u64> {
    let body: Value = serde_json::from_slice(&asked.body)?;
    body["n"].as_u64().with_context(|| format!("no number in {}", asked.text()))
}
