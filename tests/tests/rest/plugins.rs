//! Plugins over REST: what there is, what it takes, and versions that come and go.

use anyhow::{Result, ensure};
use hyper::Method;
use sandbar::control::{ConnectorState, ConnectorStatus};
use sandbar_tests::in_process::example;
use sandbar_tests::plugins::variant;
use serde_json::{Value, json};

use crate::{Served, entries};

#[tokio::test]
async fn a_plugin_tells_what_it_takes() -> Result<()> {
    let served = Served::start(&["datagen", "shout"]).await?;
    let rest = served.rest.clone();
    let kinds = |list: &Value| -> Vec<(String, String)> {
        let all = list.as_array().into_iter().flatten();
        all.map(|one| {
            (one["class"].as_str().unwrap_or_default().into(), one["type"].as_str().unwrap_or_default().into())
        })
        .collect()
    };
    let connectors = rest.get("/connector-plugins").await?.expect(200)?;
    ensure!(
        kinds(&connectors) == [("datagen".into(), "source".into()), ("shout".into(), "sink".into())],
        "{connectors}"
    );
    let all = rest.get("/connector-plugins?connectorsOnly=false").await?.expect(200)?;
    ensure!(kinds(&all).contains(&("shout".into(), "transformation".into())), "{all}");
    let keys = rest.get("/connector-plugins/datagen/config").await?.expect(200)?;
    let names: Vec<_> = keys.as_array().into_iter().flatten().filter_map(|key| key["name"].as_str()).collect();
    ensure!(names.contains(&"rate") && names.contains(&"tasks.max") && !names.contains(&"topics"), "{names:?}");
    rest.get("/connector-plugins/nothing/config").await?.refusal(404)?;
    Ok(())
}

#[tokio::test]
async fn a_configuration_is_judged_key_by_key() -> Result<()> {
    let served = Served::start(&["datagen"]).await?;
    let rest = served.rest.clone();
    let validate = async |config: &[(&str, &str)]| {
        let path = "/connector-plugins/datagen/config/validate";
        rest.send(Method::PUT, path, Some(&json!(entries(config)))).await
    };
    let errors = |judged: &Value| -> Vec<String> {
        let all = judged["configs"].as_array().into_iter().flatten();
        let wrong = all.filter(|one| one["value"]["errors"].as_array().is_some_and(|errors| !errors.is_empty()));
        wrong.filter_map(|one| one["value"]["name"].as_str().map(str::to_owned)).collect()
    };
    let good = [("connector.class", "datagen"), ("name", "a"), ("topic", "t"), ("rate", "5")];
    let judged = validate(&good).await?.expect(200)?;
    ensure!(judged["error_count"] == 0 && errors(&judged).is_empty() && judged["name"] == "datagen", "{judged}");
    let bad = [("connector.class", "datagen"), ("rate", "fast"), ("tasks.max", "0"), ("nothing", "x")];
    let judged = validate(&bad).await?.expect(200)?;
    let mut wrong = errors(&judged);
    wrong.sort();
    ensure!(wrong == ["nothing", "rate", "tasks.max", "topic"] && judged["error_count"] == 4, "{judged}");
    let other = validate(&[("connector.class", "shout")]).await?.refusal(400)?;
    ensure!(other == "Included connector type shout does not match request type datagen", "{other}");
    ensure!(validate(&[]).await?.refusal(400)? == "Connector config contains no connector type");
    Ok(())
}

#[tokio::test]
async fn versions_are_uploaded_promoted_rolled_back_and_deleted() -> Result<()> {
    let mut served = Served::start(&[]).await?;
    let rest = served.rest.clone();
    let upload = async |bytes: Vec<u8>| {
        rest.send_bytes(Method::POST, "/v1/plugins", Some((bytes.into(), "application/wasm"))).await
    };
    let count = |version: &str| variant("word-count", |manifest| manifest["version"] = json!(version));
    let (one, two) = (count("1.0.0")?, count("2.0.0")?);
    ensure!(upload(one.clone()).await?.expect(201)?["versions"][0]["version"] == "1.0.0");
    // The same once more is no news; others under its version are refused.
    upload(one).await?.expect(201)?;
    served.worker.write("in", &["a"]).await?;
    served.create("words", &[("connector.class", "word-count"), ("topics", "in"), ("topic", "out")]).await?;
    served.worker.read("out", 1).await?;
    upload(two).await?.expect(201)?;
    let runs = |version: &'static str| {
        move |c: &ConnectorStatus| {
            c.plugin.as_ref().is_some_and(|(_, runs)| runs == version) && c.state == ConnectorState::Running
        }
    };
    served.worker.wait("words", runs("2.0.0")).await?;

    let back = rest.send(Method::POST, "/v1/plugins/word-count/rollback", None).await?.expect(200)?;
    ensure!(back["promoted"] == "1.0.0", "{back}");
    served.worker.wait("words", runs("1.0.0")).await?;
    let used = rest.send(Method::DELETE, "/v1/plugins/word-count/versions/1.0.0", None).await?.refusal(409)?;
    ensure!(used == "word-count 1.0.0 is run by words; promote another version first", "{used}");
    rest.send(Method::POST, "/v1/plugins/word-count/rollback", None).await?.refusal(409)?;
    rest.send(Method::POST, "/v1/plugins/word-count/versions/2.0.0/promote", None).await?.expect(200)?;
    served.worker.wait("words", runs("2.0.0")).await?;
    ensure!(rest.send(Method::DELETE, "/v1/plugins/word-count/versions/1.0.0", None).await?.status == 204);
    let left = rest.get("/v1/plugins").await?.expect(200)?;
    let versions = &left["plugins"][0]["versions"];
    ensure!(
        versions.as_array().is_some_and(|all| all.len() == 1) && versions[0]["used_by"] == json!(["words"]),
        "{left}"
    );
    rest.send(Method::DELETE, "/v1/plugins/word-count/versions/1.0.0", None).await?.refusal(404)?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_plugin_leaves_nothing_behind() -> Result<()> {
    let served = Served::start(&[]).await?;
    let rest = served.rest.clone();
    let mut cut = example("shout")?;
    cut.truncate(1_000);
    for bytes in [Vec::new(), b"no wasm".to_vec(), cut] {
        let refused = rest.send_bytes(Method::POST, "/v1/plugins", Some((bytes.into(), "application/wasm"))).await?;
        refused.refusal(400)?;
    }
    ensure!(std::fs::read_dir(served.path("plugins"))?.next().is_none());
    Ok(())
}
