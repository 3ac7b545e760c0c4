//! Dead letters over REST: listed, sent back once, dropped.

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};

use crate::Served;

const PATH: &str = "/v1/connectors/picky/dead-letters";

/// A host with such a connector.
async fn with_letters() -> Result<Served> {
    let served = Served::start(&["json_transform"]).await?;
    served.add_letters("picky").await?;
    Ok(served)
}

impl Served {
    /// Adds a connector that takes JSON only, and gives it something else twice.
    pub(crate) async fn add_letters(&self, name: &str) -> Result<()> {
        self.worker.write("in", &["{\"a\": 1}", "no json", "{\"a\": 2}", "no json either"]).await?;
        let config = [
            ("connector.class", "json-transform"),
            ("topics", "in"),
            ("topic", "out"),
            ("operations", "[{\"op\": \"rename\", \"from\": \"a\", \"to\": \"b\"}]"),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", "letters"),
            ("errors.deadletterqueue.context.headers.enable", "true"),
        ];
        self.create(name, &config).await?;
        self.worker.read("out", 2).await?;
        self.worker.read("letters", 2).await?;
        Ok(())
    }
}

fn places(page: &Value) -> Vec<Value> {
    let letters = page["letters"].as_array().into_iter().flatten();
    letters.map(|letter| json!({"partition": letter["partition"], "offset": letter["offset"]})).collect()
}

#[tokio::test]
async fn letters_are_listed_the_newest_first() -> Result<()> {
    let served = with_letters().await?;
    let page = served.rest.get(PATH).await?.expect(200)?;
    let letters = page["letters"].as_array().context("letters")?;
    ensure!(page["topic"] == "letters" && letters.len() == 2 && page["next"].is_null(), "{page}");
    ensure!(letters[0]["value"] == "no json either" && letters[0]["key"] == "key" && letters[0]["handled"].is_null());
    ensure!(letters[0]["error"]["topic"] == "in" && letters[0]["error"]["offset"] == 3, "{page}");
    ensure!(letters[0]["headers"] == json!([{"key": "from", "value": "test"}]), "{page}");
    // One a page.
    let first = served.rest.get(&format!("{PATH}?limit=1")).await?.expect(200)?;
    let next = first["next"].as_str().context("there is more")?;
    let second = served.rest.get(&format!("{PATH}?limit=1&before={next}")).await?.expect(200)?;
    ensure!(first["letters"][0]["value"] == "no json either" && second["letters"][0]["value"] == "no json", "{second}");
    served.rest.get(&format!("{PATH}?before=x")).await?.refusal(400)?;
    served.rest.get(&format!("{PATH}?limit=-1")).await?.refusal(400)?;
    served.rest.get("/v1/connectors/nobody/dead-letters").await?.refusal(404)?;
    Ok(())
}

#[tokio::test]
async fn a_letter_goes_back_once() -> Result<()> {
    let served = with_letters().await?;
    let rest = served.rest.clone();
    let all = places(&rest.get(PATH).await?.expect(200)?);
    let send = async |verb: &str, letters: &[Value]| {
        rest.send(Method::POST, &format!("{PATH}/{verb}"), Some(&json!({"letters": letters}))).await
    };
    ensure!(send("replay", &all[..1]).await?.expect(200)? == json!({"replayed": 1}));
    // It was read again, and failed again: the queue has one more, without the headers of the first time.
    served.worker.read("letters", 3).await?;
    let back = served.worker.read("in", 5).await?;
    ensure!(back[4].text() == "no json either", "{back:?}");
    ensure!(send("replay", &all[..1]).await?.expect(200)? == json!({"replayed": 0}));
    ensure!(send("drop", &all).await?.expect(200)? == json!({"dropped": 1}));
    let page = rest.get(PATH).await?.expect(200)?;
    let handled: Vec<_> = page["letters"].as_array().into_iter().flatten().map(|letter| &letter["handled"]).collect();
    ensure!(handled == [&json!(null), &json!("replayed"), &json!("dropped")], "{page}");
    served.worker.read("in", 5).await?;
    for wrong in [
        json!([]),
        json!([{"partition": 0, "offset": 999}]),
        json!([{"partition": 0, "offset": i64::MAX}]),
        json!([{"partition": 0, "offset": -1}]),
        json!([{"partition": 9, "offset": 0}]),
    ] {
        let refused = rest.send(Method::POST, &format!("{PATH}/replay"), Some(&json!({"letters": wrong}))).await?;
        refused.refusal(400)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connector_without_a_queue_says_so() -> Result<()> {
    let served = Served::start(&["datagen"]).await?;
    served.generate("numbers", "numbers", 1).await?;
    let told = served.rest.get("/v1/connectors/numbers/dead-letters").await?.refusal(404)?;
    ensure!(told.contains("errors.deadletterqueue.topic.name"), "{told}");
    Ok(())
}
