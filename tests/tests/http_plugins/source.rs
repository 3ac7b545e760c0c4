//! `http-source`: each item of an API once, through pages, pauses, killed workers and answers that nothing is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use sandbar_tests::http_server::{Asked, HttpServer, Reply};
use sandbar_tests::scenario::Home;
use sandbar_tests::topics::{self, Row};
use serde_json::{Value, json};

use crate::{COUNT, config};

sandbar_tests::on_both_brokers!(a_cursor_goes_on_where_it_was, pages_go_on_where_they_were);

/// The most items of an answer.
const PAGE: u64 = 40;
/// Fewer than that, so that workers are killed in the middle of pages.
const POLL: u64 = 7;
/// How many workers are killed, and after how many requests each.
const KILLS: [usize; 3] = [2, 3, 4];

/// An API of items 1, 2, ...: those after `since`, at most a page of them.
async fn api(items: Arc<AtomicU64>, paged: bool) -> Result<HttpServer> {
    HttpServer::start(move |asked: &Asked| {
        let since: u64 = param(asked, "since").and_then(|value| value.parse().ok()).unwrap_or(0);
        let all = items.load(Ordering::SeqCst);
        let last = all.min(since + PAGE);
        let etag = format!("\"{since}-{last}\"");
        if asked.header("if-none-match") == Some(&etag) {
            return Reply::status(304);
        }
        // In the middle of it all the server is busy for a moment.
        if asked.number == 4 {
            return Reply::status(503).header("retry-after", "1");
        }
        let page: Vec<_> = (since + 1..=last).map(|id| json!({ "id": id, "name": format!("item {id}") })).collect();
        let reply = Reply::json(&json!({ "data": { "items": page } })).header("etag", etag);
        if paged && last < all { reply.header("link", format!("<?since={last}>; rel=\"next\"")) } else { reply }
    })
    .await
}

async fn a_cursor_goes_on_where_it_was(home: &Home) -> Result<()> {
    let items = Arc::new(AtomicU64::new(COUNT));
    let server = api(Arc::clone(&items), false).await?;
    home.define("items", &source(home, &server, json!({ "cursor.record.pointer": "/id", "cursor.param": "since" })))?;
    killed(home, &server).await?;

    let worker = home.start_inside()?;
    let broker = home.broker().await?;
    check(&topics::read_until(&*broker, &home.name("to"), COUNT as usize).await?)?;
    // Nothing is new: it asks whether something is, and gets nothing.
    let asked = server.asked().len();
    let later = server.wait_asked(asked + 5).await?;
    let conditional = later[asked..].iter().filter(|asked| asked.header("if-none-match").is_some()).count();
    ensure!(conditional >= 3, "{conditional} of {} requests were conditional", later.len() - asked);
    worker.stop().await?;

    items.store(COUNT + 10, Ordering::SeqCst);
    let worker = home.start_inside()?;
    check(&topics::read_until(&*broker, &home.name("to"), COUNT as usize + 10).await?)?;
    worker.stop().await?;
    check(&topics::read(&*broker, &home.name("to")).await?)
}

async fn pages_go_on_where_they_were(home: &Home) -> Result<()> {
    let server = api(Arc::new(AtomicU64::new(COUNT)), true).await?;
    // Without a cursor it would read everything again after this time.
    home.define("items", &source(home, &server, json!({ "interval.ms": 3_600_000 })))?;
    killed(home, &server).await?;
    let worker = home.start_inside()?;
    let broker = home.broker().await?;
    let rows = topics::read_until(&*broker, &home.name("to"), COUNT as usize).await?;
    worker.stop().await?;
    check(&rows)
}

fn source(home: &Home, server: &HttpServer, more: Value) -> Value {
    let mut all = json!({
        "topic": home.name("to"),
        "url": server.url("/items"),
        "interval.ms": 20,
        "records": "/data/items",
        "key": "/id",
        "batch.max.records": POLL,
        "commit.max.records": POLL,
        "topic.creation.default.partitions": 1,
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    config("http-source", server, all)
}

/// Kills workers in the middle of the work, one after the other.
async fn killed(home: &Home, server: &HttpServer) -> Result<()> {
    home.install(&["http-source"])?;
    for requests in KILLS {
        let before = server.asked().len();
        let worker = home.start()?;
        server.wait_asked(before + requests).await.with_context(|| home.log().tail())?;
        worker.kill()?;
    }
    Ok(())
}

/// Makes sure that the items are there, each once, in order, as they came.
fn check(rows: &[Row]) -> Result<()> {
    for (row, id) in rows.iter().zip(1..) {
        let expected = json!({ "id": id, "name": format!("item {id}") }).to_string();
        ensure!(row.value.as_ref() == Some(&expected), "{row:?} is not {expected}");
        ensure!(row.key == Some(id.to_string()), "the key of {row:?}");
    }
    Ok(())
}

fn param<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    asked.path.split_once('?')?.1.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
