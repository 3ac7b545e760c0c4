//! A sink that takes its time: it resolves a part of a batch and asks for the rest, which comes at once, each record once.

use anyhow::{Result, ensure};
use sandbar::control::ConnectorStatus;
use sandbar_tests::scenario::Home;
use sandbar_tests::topics;
use serde_json::json;

sandbar_tests::on_both_brokers!(a_sink_that_asks_for_the_rest_gets_it_without_a_wait);

/// All in one partition, so that they come in a few batches; with a wait for each they would take many minutes.
const RECORDS: usize = 2_000;

async fn a_sink_that_asks_for_the_rest_gets_it_without_a_wait(home: &Home) -> Result<()> {
    home.install(&["faulty"])?;
    let from = home.name("from");
    let config = json!({ "connector.class": "faulty", "connector.type": "sink", "topics": from, "mode": "one-record" });
    home.define("steps", &config)?;
    let broker = home.broker().await?;
    topics::create(&*broker, &from, 1).await?;
    topics::write_values(&*broker, &from, (0..RECORDS).map(|n| n.to_string())).await?;
    let mut worker = home.start_inside()?;
    let all = |sink: &ConnectorStatus| sink.totals().records_out as usize >= RECORDS;
    let sink = worker.until_connector(&home.name("steps"), "has written all records", all).await?;
    worker.stop().await?;
    let totals = sink.totals();
    ensure!(totals.records_out as usize == RECORDS, "{totals:?}");
    let waits = home.log().events(0)?.into_iter().filter(|event| event.to_string().contains("waiting to try again"));
    ensure!(waits.count() == 0, "the host waited");
    Ok(())
}
