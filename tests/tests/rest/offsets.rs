//! Offsets: looked at, altered and reset, of sources and of what reads topics.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use sandbar::control::ConnectorState;
use serde_json::{Value, json};

use crate::Served;

const ALTERED: &str = "The offsets for this connector have been altered successfully";
const RESET: &str = "The offsets for this connector have been reset successfully";

async fn stop(served: &mut Served, name: &str) -> Result<()> {
    ensure!(served.rest.send(Method::PUT, &format!("/connectors/{name}/stop"), None).await?.status == 204);
    served.worker.wait(name, |one| one.state == ConnectorState::Stopped).await.map(drop)
}

async fn resume(served: &Served, name: &str) -> Result<()> {
    ensure!(served.rest.send(Method::PUT, &format!("/connectors/{name}/resume"), None).await?.status == 202);
    Ok(())
}

#[tokio::test]
async fn a_source_goes_on_where_it_is_told_to() -> Result<()> {
    let mut served = Served::start(&["file_source"]).await?;
    let rest = served.rest.clone();
    let input = served.path("in");
    std::fs::create_dir(&input)?;
    let file = input.join("lines.txt");
    std::fs::write(&file, "one\ntwo\nthree\n")?;
    let (path, folder) = (file.display().to_string(), input.display().to_string());
    let config =
        [("connector.class", "file-source"), ("path", path.as_str()), ("topic", "lines"), ("sandbox.fs.read", &folder)];
    served.create("lines", &config).await?;
    served.worker.read("lines", 3).await?;

    let offsets = async || rest.get("/connectors/lines/offsets").await?.expect(200);
    let early = json!({"offsets": [{"partition": {"a": "b"}, "offset": {"c": 1}}]});
    let refused = rest.send(Method::PATCH, "/connectors/lines/offsets", Some(&early)).await?.refusal(400)?;
    ensure!(
        refused.starts_with("Connectors must be in the STOPPED state before their offsets can be modified"),
        "{refused}"
    );
    stop(&mut served, "lines").await?;
    let at_end = offsets().await?;
    let one = &at_end["offsets"][0];
    ensure!(one["partition"].is_object() && one["offset"].is_object(), "{at_end}");

    // Back to the beginning: all lines come once more.
    let reset = rest.send(Method::DELETE, "/connectors/lines/offsets", None).await?.expect(200)?;
    ensure!(reset == json!({"message": RESET}) && offsets().await? == json!({"offsets": []}));
    resume(&served, "lines").await?;
    served.worker.read("lines", 6).await?;

    // To where it was: none does.
    stop(&mut served, "lines").await?;
    rest.send(Method::DELETE, "/connectors/lines/offsets", None).await?.expect(200)?;
    let altered = rest.send(Method::PATCH, "/connectors/lines/offsets", Some(&at_end)).await?.expect(200)?;
    ensure!(altered == json!({"message": ALTERED}) && offsets().await? == at_end);
    resume(&served, "lines").await?;
    std::fs::write(&file, "one\ntwo\nthree\nfour\n")?;
    ensure!(served.worker.read("lines", 7).await?.last().is_some_and(|row| row.text() == "four"));
    Ok(())
}

#[tokio::test]
async fn what_reads_topics_goes_on_where_it_is_told_to() -> Result<()> {
    let mut served = Served::start(&["shout"]).await?;
    let rest = served.rest.clone();
    served.worker.write("quiet", &["a", "b", "c"]).await?;
    served.create("shout", &[("connector.class", "shout"), ("topics", "quiet"), ("topic", "loud")]).await?;
    served.worker.read("loud", 3).await?;
    stop(&mut served, "shout").await?;
    let at = |offset: Value| json!({"offsets": [{"partition": {"kafka_topic": "quiet", "kafka_partition": 0}, "offset": offset}]});
    let offsets = async || rest.get("/connectors/shout/offsets").await?.expect(200);
    ensure!(offsets().await? == at(json!({"kafka_offset": 3})), "{}", offsets().await?);
    let alter = async |body: &Value| rest.send(Method::PATCH, "/connectors/shout/offsets", Some(body)).await;
    // Numbers may be text.
    ensure!(alter(&at(json!({"kafka_offset": "2"}))).await?.expect(200)? == json!({"message": ALTERED}));
    resume(&served, "shout").await?;
    ensure!(served.worker.read("loud", 4).await?.last().is_some_and(|row| row.text() == "C"));
    stop(&mut served, "shout").await?;
    // Null forgets it: all of it is read again.
    alter(&at(json!(null))).await?.expect(200)?;
    ensure!(offsets().await? == json!({"offsets": []}));
    resume(&served, "shout").await?;
    served.worker.read("loud", 7).await?;
    stop(&mut served, "shout").await?;
    for wrong in [
        json!({"offsets": []}),
        at(json!({"kafka_offset": -1})),
        json!({"offsets": [{"partition": {"x": 1}, "offset": null}]}),
        json!({}),
    ] {
        alter(&wrong).await?.refusal(400)?;
    }
    // Where there is nothing to read; what is right beside it stays undone.
    for (topic, partition, why) in
        [("quiet", 7, "no partition 7 of topic quiet, which has 1"), ("none", 0, "no topic none")]
    {
        let nowhere =
            json!({"partition": {"kafka_topic": topic, "kafka_partition": partition}, "offset": {"kafka_offset": 1}});
        let mut both = at(json!({"kafka_offset": 1}));
        both["offsets"].as_array_mut().context("a list")?.push(nowhere);
        let refused = alter(&both).await?.refusal(400)?;
        ensure!(refused.contains(why), "{refused}");
    }
    ensure!(offsets().await? == at(json!({"kafka_offset": 3})), "{}", offsets().await?);
    ensure!(rest.get("/connectors/nobody/offsets").await?.refusal(404)? == "Connector nobody not found");
    Ok(())
}
