//! A transform with state: what it tells and what it keeps is what a model says, across a restart.

use anyhow::{Result, ensure};
use sandbar_tests::checks;
use sandbar_tests::scenario::Home;
use sandbar_tests::topics;
use serde_json::json;

use crate::PARTITIONS;

sandbar_tests::on_both_brokers!(state_is_as_if_nothing_had_happened);

/// In each of the two rounds.
const RECORDS: u64 = 20_000;
/// Of each record.
const WORDS: u64 = 3;

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
        let worker = home.start_inside()?;
        let broker = home.broker().await?;
        topics::read_until(&*broker, &counts, (round * RECORDS * WORDS) as usize).await?;
        worker.stop().await?;

        let model = checks::count(&*broker, &lines, 1).await?;
        let words: u64 = model.values().flat_map(|words| words.values()).sum();
        ensure!(words == round * RECORDS * WORDS, "{words} words were sent");
        checks::check_updates(&*broker, &counts, &model).await?;
        checks::check_state(&*broker, &home.config()?.group_id, &home.name("words"), &lines, &model).await?;
    }
    Ok(())
}
