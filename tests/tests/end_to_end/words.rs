//! A transform with state: what it tells and what it keeps is what a model says, across a restart.

use anyhow::Result;
use sandbar::control::ConnectorState;
use sandbar_tests::checks;
use sandbar_tests::scenario::Home;
use serde_json::json;

use crate::PARTITIONS;

sandbar_tests::on_both_brokers!(state_is_as_if_nothing_had_happened);

/// In each of the two rounds.
const RECORDS: u64 = 20_000;

async fn state_is_as_if_nothing_had_happened(home: &Home) -> Result<()> {
    home.install(&["datagen", "word-count"])?;
    let (lines, counts) = (home.name("lines"), home.name("counts"));
    home.define(
        "words",
        &json!({
            "connector.class": "word-count",
            "tasks.max": 2,
            "topics": lines,
            "topic": counts,
            "topic.creation.default.partitions": PARTITIONS,
        }),
    )?;
    for round in 1..=2 {
        let source = json!({
            "connector.class": "datagen",
            "topic": lines,
            "topic.creation.default.partitions": PARTITIONS,
            "count": round * RECORDS,
            "rate": 0,
            "key": "{{int 0 99}}",
            "template": "the {{pick quick lazy brown}} w{{int 0 300}}",
        });
        home.define("lines", &source)?;
        let mut worker = home.start_inside()?;
        let completed = |connector: &sandbar::control::ConnectorStatus| connector.state == ConnectorState::Completed;
        worker.until_connector(&home.name("lines"), "has completed", completed).await?;
        // Both rounds have the same number of records to count, and counters begin anew with the worker.
        let all = format!("has counted the words of {RECORDS} records");
        worker.until_connector(&home.name("words"), &all, |words| words.totals().records_in >= RECORDS).await?;
        worker.stop().await?;

        let broker = home.broker().await?;
        let model = checks::count(&*broker, &lines, 1).await?;
        let words: u64 = model.values().flat_map(|words| words.values()).sum();
        anyhow::ensure!(words == round * RECORDS * 3, "{words} words were sent");
        checks::check_updates(&*broker, &counts, &model).await?;
        checks::check_state(&*broker, &home.config()?.group_id, &home.name("words"), &lines, &model).await?;
    }
    Ok(())
}
