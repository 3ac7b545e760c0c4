//! A connector that moves from Kafka Connect to Sandbar, back, and once more: each goes on where the other stopped.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use sandbar_tests::in_process::{Worker, example};
use sandbar_tests::kafka_or_skip;
use sandbar_tests::own_connect::OwnConnect;
use sandbar_tests::rest::Rest;
use sandbar_tests::wait::{self, Seen};
use serde_json::{Value, json};

use crate::workers::start_on;

/// Lines of each part of the file.
const PART: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_on_by_sandbar_where_kafka_connect_stopped_and_the_other_way_round() -> Result<()> {
    let bootstrap = kafka_or_skip!(Ok(()));
    let Some(connect) = OwnConnect::start_or_say("moved", &bootstrap).await? else { return Ok(()) };
    let name = format!("moved-{}", std::process::id());
    let (mut worker, sandbar) = start_on(&bootstrap, &format!("{name}-sandbar"), &connect.offsets_topic()).await?;
    worker.put("file_source.wasm", &example("file_source")?)?;
    worker.status(|status| status.ready && status.world.registry.iter().count() == 1).await?;
    let input = worker.folder().path().join("in");
    std::fs::create_dir(&input)?;
    let moved = Moved { worker, name, file: input.join("lines.txt").display().to_string() };

    // The first part by Kafka Connect. The second is there when Sandbar comes, the third while it runs.
    moved.append(0..PART)?;
    let theirs = json!({"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": moved.file,
        "topic": moved.name, "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1"});
    moved.create(connect.rest(), &theirs, "RUNNING").await?;
    let place = moved.read_and_stop(connect.rest(), PART).await?;
    let position = std::fs::metadata(&moved.file)?.len();
    ensure!(place == json!([{"partition": {"filename": moved.file}, "offset": {"position": position}}]), "{place}");

    let ours = json!({"connector.class": "file-source", "path": moved.file, "topic": moved.name,
        "sandbox.fs.read": input.display().to_string()});
    moved.create(&sandbar, &ours, "STOPPED").await?;
    ensure!(moved.place(&sandbar).await? == place, "{}", moved.place(&sandbar).await?);
    moved.append(PART..2 * PART)?;
    moved.resume(&sandbar).await?;
    moved.worker.read(&moved.name, 2 * PART).await?;
    moved.append(2 * PART..3 * PART)?;
    let place = moved.read_and_stop(&sandbar, 3 * PART).await?;
    ensure!(place[0]["offset"]["position"] == std::fs::metadata(&moved.file)?.len(), "{place}");
    ensure!(moved.place(connect.rest()).await? == place, "{}", moved.place(connect.rest()).await?);

    // Back, and once more: what Sandbar wrote before it is old by then.
    moved.append(3 * PART..4 * PART)?;
    moved.resume(connect.rest()).await?;
    let place = moved.read_and_stop(connect.rest(), 4 * PART).await?;
    ensure!(moved.place(&sandbar).await? == place, "{}", moved.place(&sandbar).await?);
    moved.append(4 * PART..5 * PART)?;
    moved.resume(&sandbar).await?;
    let place = moved.read_and_stop(&sandbar, 5 * PART).await?;
    ensure!(moved.place(connect.rest()).await? == place, "{}", moved.place(connect.rest()).await?);

    let rows = moved.worker.read(&moved.name, 5 * PART).await?;
    for (number, row) in rows.iter().enumerate() {
        ensure!(row.text() == line(number), "{:?} is line {number}", row.text());
    }
    moved.worker.stop().await?;
    Ok(())
}

/// A connector that either side knows by the same name, whose topic has that name too.
struct Moved {
    worker: Worker,
    name: String,
    file: String,
}

impl Moved {
    fn append(&self, lines: Range<usize>) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(Path::new(&self.file))?;
        let text: String = lines.map(|number| format!("{}\n", line(number))).collect();
        Ok(file.write_all(text.as_bytes())?)
    }

    async fn create(&self, rest: &Rest, config: &Value, state: &str) -> Result<()> {
        let body = json!({"name": self.name, "config": config, "initial_state": state});
        rest.send(Method::POST, "/connectors", Some(&body)).await?.expect(201).map(drop)
    }

    async fn resume(&self, rest: &Rest) -> Result<()> {
        let path = format!("/connectors/{}/resume", self.name);
        rest.send(Method::PUT, &path, None).await?.expect(202).map(drop)
    }

    /// Waits until the topic holds so many records, stops the connector, and returns where it stands.
    async fn read_and_stop(&self, rest: &Rest, records: usize) -> Result<Value> {
        self.worker.read(&self.name, records).await.with_context(|| format!("{records} records"))?;
        let length = std::fs::metadata(&self.file)?.len();
        wait::until("it has committed all it read", wait::WITHIN, async || {
            let place = self.place(rest).await?;
            Ok(Seen::when(place[0]["offset"]["position"] == length, || place.to_string()))
        })
        .await?;
        let (stop, status) = (format!("/connectors/{}/stop", self.name), format!("/connectors/{}/status", self.name));
        rest.send(Method::PUT, &stop, None).await?.expect(204)?;
        wait::until("it has stopped", wait::WITHIN, async || {
            let answer = rest.get(&status).await?;
            let seen = answer.json()?;
            let has_ended = seen["tasks"].as_array().is_some_and(Vec::is_empty);
            Ok(Seen::when(has_ended && seen["connector"]["state"] == "STOPPED", || answer.text()))
        })
        .await?;
        self.place(rest).await
    }

    async fn place(&self, rest: &Rest) -> Result<Value> {
        let answer = rest.get(&format!("/connectors/{}/offsets", self.name)).await?.expect(200)?;
        Ok(answer["offsets"].clone())
    }
}

fn line(number: usize) -> String {
    format!("line {number}")
}
