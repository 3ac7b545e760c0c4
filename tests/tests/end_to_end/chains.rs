//! Transforms inside a source, inside a transform and inside a sink.

use anyhow::{Result, ensure};
use sandbar_tests::files::{self, Lines};
use sandbar_tests::scenario::Home;
use sandbar_tests::topics;
use sandbar_tests::wait::{self, Seen};
use serde_json::json;

sandbar_tests::on_both_brokers!(every_kind_of_connector_takes_a_chain);

const SENT: usize = 10_000;
/// What the filter of the source lets through: more than one batch.
const KEPT: usize = 5_000;
/// What the filter of the transform lets through.
const LEFT: usize = 3_000;

async fn every_kind_of_connector_takes_a_chain(home: &Home) -> Result<()> {
    home.install(&["datagen", "json-transform", "file-sink"])?;
    let (first, second) = (home.name("first"), home.name("second"));
    home.define(
        "source",
        &json!({
            "connector.class": "datagen",
            "topic": first,
            "count": SENT,
            "rate": 0,
            "template": r#"{"n": "{{seq}}"}"#,
            "transforms": "mark, less",
            "transforms.mark.type": "json-transform",
            "transforms.mark.operations": r#"[{"op": "set", "field": "source", "value": 1}]"#,
            "transforms.less.type": "json-transform",
            "transforms.less.operations": format!(r#"[{{"op": "filter", "field": "n", "lt": {KEPT}}}]"#),
        }),
    )?;
    home.define(
        "transform",
        &json!({
            "connector.class": "json-transform",
            "topics": first,
            "topic": second,
            "operations": r#"[{"op": "set", "field": "own", "value": 2}]"#,
            "transforms": "less",
            "transforms.less.type": "json-transform",
            "transforms.less.operations": format!(r#"[{{"op": "filter", "field": "n", "lt": {LEFT}}}]"#),
        }),
    )?;
    home.define(
        "sink",
        &json!({
            "connector.class": "file-sink",
            "topics": second,
            "path": home.out().join("{partition}.jsonl"),
            "sandbox.fs.write": home.out(),
            "transforms": "rename,drop",
            "transforms.rename.type": "json-transform",
            "transforms.rename.operations": r#"[{"op": "rename", "from": "own", "to": "sink"}]"#,
            "transforms.drop.type": "json-transform",
            "transforms.drop.operations": r#"[{"op": "drop", "fields": ["source"]}]"#,
        }),
    )?;
    let worker = home.start_inside()?;
    let mut lines = Lines::of(home.out());
    wait::until("all that is left is in the file", wait::WITHIN, async || {
        let count = lines.count()?;
        Ok(Seen::when(count >= LEFT as u64, || format!("{count} lines")))
    })
    .await?;
    worker.stop().await?;

    let broker = home.broker().await?;
    let values = |rows: &[topics::Row]| rows.iter().filter_map(|row| row.value.clone()).collect::<Vec<_>>();
    let kept: Vec<_> = (0..KEPT).map(|n| format!(r#"{{"n":{n},"source":1}}"#)).collect();
    ensure!(values(&topics::read(&*broker, &first).await?) == kept, "the chain of the source");
    let left: Vec<_> = (0..LEFT).map(|n| format!(r#"{{"n":{n},"source":1,"own":2}}"#)).collect();
    ensure!(values(&topics::read(&*broker, &second).await?) == left, "the chain of the transform");
    let written: Vec<_> = (0..LEFT).map(|n| format!(r#"{{"n":{n},"sink":2}}"#)).collect();
    ensure!(files::lines_of(&home.out(), 0)? == written, "the chain of the sink");
    Ok(())
}
