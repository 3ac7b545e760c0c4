//! Files of the watched folder come, change and go while the worker runs.

use anyhow::{Result, ensure};
use sandbar::broker::Broker;
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::scenario::Home;
use sandbar_tests::topics;
use sandbar_tests::worker::{InProcess, find};
use serde_json::{Value, json};

use crate::mark;

sandbar_tests::on_both_brokers!(
    a_definition_waits_for_its_plugin,
    connectors_outlive_the_file_of_their_plugin,
    a_connector_goes_with_its_definition_and_comes_back_where_it_was,
    a_changed_definition_takes_over_where_the_old_one_ended,
    the_first_of_two_definitions_counts,
);

/// How many records are sent at a time.
const SENT: usize = 100;

async fn a_definition_waits_for_its_plugin(home: &Home) -> Result<()> {
    let (from, to, name) = (home.name("from"), home.name("to"), home.name("mark"));
    home.define("mark", &mark(1, &from, &to))?;
    let mut worker = home.start_inside()?;
    let waiting = |mark: &ConnectorStatus| {
        let says = mark.reason.as_deref().is_some_and(|reason| reason.contains("plugin json-transform"));
        mark.state == ConnectorState::Unassigned && says
    };
    worker.until_connector(&name, "waits for its plugin, and says so", waiting).await?;
    let broker = home.broker().await?;
    send(&*broker, &from, 0).await?;
    home.install(&["json-transform"])?;
    let rows = topics::read_until(&*broker, &to, SENT).await?;
    worker.until_connector(&name, "runs", running).await?;
    worker.stop().await?;
    ensure!(marks(&rows)? == by(&[(1, 0..SENT)]), "{rows:?}");
    Ok(())
}

async fn connectors_outlive_the_file_of_their_plugin(home: &Home) -> Result<()> {
    let (from, to, name) = (home.name("from"), home.name("to"), home.name("mark"));
    home.install(&["json-transform"])?;
    home.define("mark", &mark(1, &from, &to))?;
    let mut worker = home.start_inside()?;
    worker.until_connector(&name, "runs", running).await?;
    let broker = home.broker().await?;
    send(&*broker, &from, 0).await?;
    topics::read_until(&*broker, &to, SENT).await?;
    home.remove("json_transform.wasm")?;
    home.log().until(0, "plugin file removed", "json-transform").await?;
    send(&*broker, &from, SENT).await?;
    let rows = topics::read_until(&*broker, &to, 2 * SENT).await?;
    worker.until_connector(&name, "runs on", running).await?;
    worker.stop().await?;
    ensure!(marks(&rows)? == by(&[(1, 0..2 * SENT)]), "{rows:?}");
    Ok(())
}

async fn a_connector_goes_with_its_definition_and_comes_back_where_it_was(home: &Home) -> Result<()> {
    let (from, to, witnessed) = (home.name("from"), home.name("to"), home.name("witnessed"));
    home.install(&["json-transform"])?;
    home.define("mark", &mark(1, &from, &to))?;
    home.define("witness", &mark(0, &from, &witnessed))?;
    let mut worker = home.start_inside()?;
    let broker = home.broker().await?;
    worker.until_connector(&home.name("mark"), "runs", running).await?;
    send(&*broker, &from, 0).await?;
    topics::read_until(&*broker, &to, SENT).await?;

    home.remove("mark.json")?;
    worker.until("the connector is gone", |status| find(status, &home.name("mark")).is_none()).await?;
    send(&*broker, &from, SENT).await?;
    // Another connector has had the records by now, so this one would have, too.
    topics::read_until(&*broker, &witnessed, 2 * SENT).await?;
    let left = topics::read(&*broker, &to).await?;
    ensure!(left.len() == SENT, "{} records after its end", left.len());

    home.define("mark", &mark(2, &from, &to))?;
    let rows = topics::read_until(&*broker, &to, 2 * SENT).await?;
    worker.stop().await?;
    ensure!(marks(&rows)? == by(&[(1, 0..SENT), (2, SENT..2 * SENT)]), "{rows:?}");
    Ok(())
}

async fn a_changed_definition_takes_over_where_the_old_one_ended(home: &Home) -> Result<()> {
    let (from, to, name) = (home.name("from"), home.name("to"), home.name("mark"));
    home.install(&["json-transform"])?;
    home.define("mark", &mark(1, &from, &to))?;
    let mut worker = home.start_inside()?;
    let broker = home.broker().await?;
    send(&*broker, &from, 0).await?;
    topics::read_until(&*broker, &to, SENT).await?;

    // What cannot be used changes nothing.
    let mut wrong = mark(2, &from, &to);
    wrong["operations"] = "[]]".into();
    home.define("mark", &wrong)?;
    worker.until_connector(&name, "says what is wrong", |mark| running(mark) && mark.reason.is_some()).await?;
    send(&*broker, &from, SENT).await?;
    topics::read_until(&*broker, &to, 2 * SENT).await?;

    home.define("mark", &mark(2, &from, &to))?;
    worker.until_connector(&name, "runs anew", fresh).await?;
    send(&*broker, &from, 2 * SENT).await?;
    let rows = topics::read_until(&*broker, &to, 3 * SENT).await?;
    worker.stop().await?;
    ensure!(marks(&rows)? == by(&[(1, 0..2 * SENT), (2, 2 * SENT..3 * SENT)]), "{rows:?}");
    Ok(())
}

async fn the_first_of_two_definitions_counts(home: &Home) -> Result<()> {
    let (from, to, name) = (home.name("from"), home.name("to"), home.name("mark"));
    home.install(&["json-transform"])?;
    home.define_in("one.json", "mark", &mark(1, &from, &to))?;
    let mut worker = home.start_inside()?;
    worker.until_connector(&name, "runs", running).await?;
    home.define_in("two.json", "mark", &mark(2, &from, &to))?;
    home.log().until(0, "definition ignored", "two.json").await?;
    let broker = home.broker().await?;
    send(&*broker, &from, 0).await?;
    topics::read_until(&*broker, &to, SENT).await?;

    home.remove("one.json")?;
    let second =
        |mark: &ConnectorStatus| mark.file.as_ref().is_some_and(|file| file.ends_with("two.json")) && fresh(mark);
    worker.until_connector(&name, "is the second one", second).await?;
    send(&*broker, &from, SENT).await?;
    let rows = topics::read_until(&*broker, &to, 2 * SENT).await?;
    only_one(&mut worker).await?;
    worker.stop().await?;
    ensure!(marks(&rows)? == by(&[(1, 0..SENT), (2, SENT..2 * SENT)]), "{rows:?}");
    Ok(())
}

async fn only_one(worker: &mut InProcess) -> Result<()> {
    worker.until("there is one connector", |status| status.connectors.len() == 1).await.map(drop)
}

fn running(connector: &ConnectorStatus) -> bool {
    connector.state == ConnectorState::Running && !connector.tasks.is_empty()
}

/// Running, and by tasks that have done nothing yet.
fn fresh(connector: &ConnectorStatus) -> bool {
    running(connector) && connector.reason.is_none() && connector.totals().records_in == 0
}

/// Sends numbered records from `first` on, all to one partition, so that their order says what came first.
async fn send(broker: &dyn Broker, topic: &str, first: usize) -> Result<()> {
    topics::write(broker, topic, |frame| {
        for n in first..first + SENT {
            frame.record(Some(b"one key"), Some(json!({ "n": n }).to_string().as_bytes()));
        }
    })
    .await
}

/// Who marked which number.
fn marks(rows: &[topics::Row]) -> Result<Vec<(u64, u64)>> {
    let mut marks = Vec::with_capacity(rows.len());
    for row in rows {
        let value: Value = serde_json::from_str(row.value.as_deref().unwrap_or_default())?;
        let field = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        marks.push((field("by"), field("n")));
    }
    Ok(marks)
}

/// The marks of several stretches of numbers.
fn by(stretches: &[(u64, std::ops::Range<usize>)]) -> Vec<(u64, u64)> {
    stretches.iter().flat_map(|(by, numbers)| numbers.clone().map(|n| (*by, n as u64))).collect()
}
