//! Dead letters over REST: listed, sent back once, dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use sandbar::config::BrokerConfig;
use sandbar_tests::rest::Answer;
use sandbar_tests::{in_process, topics};
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
        self.add_letters_of(name, ("topics", "in"), true).await
    }

    /// The same with other topics that it reads, `in` among them, whose letters may not tell where they came from.
    async fn add_letters_of(&self, name: &str, reads: (&str, &str), tells: bool) -> Result<()> {
        self.worker.write("in", &["{\"a\": 1}", "no json", "{\"a\": 2}", "no json either"]).await?;
        let config = [
            ("connector.class", "json-transform"),
            reads,
            ("topic", "out"),
            ("operations", "[{\"op\": \"rename\", \"from\": \"a\", \"to\": \"b\"}]"),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", "letters"),
            ("errors.deadletterqueue.context.headers.enable", if tells { "true" } else { "false" }),
        ];
        self.create(name, &config).await?;
        self.worker.read("out", 2).await?;
        self.worker.read("letters", 2).await?;
        Ok(())
    }

    /// Writes what is no JSON and says by its headers that it is a connector's letter, from partition 0 of a topic.
    async fn forge(&self, to: &str, connector: &str, topic: &str) -> Result<()> {
        topics::write(&**self.worker.broker(), to, |frame| {
            let mut record = frame.record(None, Some(b"forged"));
            for (name, value) in [("connector.name", connector), ("topic", topic), ("partition", "0")] {
                record.header(&format!("__connect.errors.{name}"), Some(value.as_bytes()));
            }
            record.header("from", Some(b"test"));
        })
        .await
    }

    /// Asks for a letter of `picky` to be sent back: by its index, the newest first.
    async fn replay(&self, index: usize) -> Result<Answer> {
        let newest = places(&self.rest.get(PATH).await?.expect(200)?);
        let letter = newest.get(index).context("a letter")?;
        self.rest.send(Method::POST, &format!("{PATH}/replay"), Some(&json!({"letters": [letter]}))).await
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
async fn a_letter_goes_back_to_no_topic_but_those_its_connector_reads() -> Result<()> {
    let served = with_letters().await?;
    // Whoever may write to the queue may have a letter say anything.
    for topic in ["elsewhere", "inn", "out"] {
        served.forge("letters", "picky", topic).await?;
        let refused = served.replay(0).await?.refusal(400)?;
        ensure!(refused.starts_with("letter 0:") && refused.contains(topic), "{refused}");
        ensure!(refused.contains("no input of connector picky"), "{refused}");
    }
    ensure!(!topics::exists(&**served.worker.broker(), "elsewhere").await?);
    // What came of a record that the connector read can be sent back all the same.
    ensure!(served.replay(3).await?.expect(200)? == json!({"replayed": 1}));
    Ok(())
}

#[tokio::test]
async fn a_letter_goes_back_to_what_matches_whole_and_never_to_a_topic_of_a_worker_group() -> Result<()> {
    let served = Served::start(&["json_transform"]).await?;
    served.add_letters_of("picky", ("topics.regex", "in|sandbar-configs-.*-of-nobody"), true).await?;
    for (topic, why) in [
        ("inn", "no input of connector picky"),
        ("sandbar-configs-group-of-nobody", "a worker group's own"),
        ("sandbar-configs-group", "a worker group's own"),
    ] {
        served.forge("letters", "picky", topic).await?;
        let refused = served.replay(0).await?.refusal(400)?;
        ensure!(refused.contains(topic) && refused.contains(why), "{refused}");
    }
    served.forge("letters", "picky", "in").await?;
    ensure!(served.replay(0).await?.expect(200)? == json!({"replayed": 1}));
    Ok(())
}

#[tokio::test]
async fn a_record_does_not_say_whose_letter_it_is_or_where_it_came_from() -> Result<()> {
    let served = Served::start(&["json_transform"]).await?;
    served.add_letters_of("picky", ("topics", "in"), false).await?;
    served.forge("in", "another", "elsewhere").await?;
    served.worker.read("letters", 3).await?;
    let page = served.rest.get(PATH).await?.expect(200)?;
    let letter = &page["letters"][0];
    ensure!(letter["value"] == "forged" && letter["error"]["topic"].is_null(), "{page}");
    ensure!(letter["headers"] == json!([{"key": "from", "value": "test"}]), "{page}");
    let refused = served.replay(0).await?.refusal(400)?;
    ensure!(refused.contains("does not tell its topic and partition"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn nothing_goes_back_where_it_is_not_known_what_the_connector_reads() -> Result<()> {
    let mut served = Served::start(&["datagen"]).await?;
    // One of each, which says that it came from a topic.
    served.forge("letters", "source", "numbers").await?;
    served.forge("letters", "ghost", "numbers").await?;
    let (topic, queue) = (("topic", "numbers"), ("errors.deadletterqueue.topic.name", "letters"));
    served.create("source", &[("connector.class", "datagen"), ("count", "1"), topic, queue]).await?;
    served.worker.define("ghost", &[("connector.class", "absent"), topic, queue])?;
    served.worker.wait("source", |source| source.kind.is_some()).await?;
    served.worker.wait("ghost", |ghost| ghost.kind.is_none()).await?;
    let unknown = "it is not known where its records come from";
    for (name, offset, why) in [("source", 0, "come from no topic"), ("ghost", 1, unknown)] {
        let path = format!("/v1/connectors/{name}/dead-letters/replay");
        let letters = json!({"letters": [{"partition": 0, "offset": offset}]});
        let refused = served.rest.send(Method::POST, &path, Some(&letters)).await?.refusal(409)?;
        ensure!(refused.contains(why), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn letters_that_are_large_come_on_more_pages_and_are_dealt_with_a_few_at_a_time() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut settings = in_process::config(folder.path());
    if let BrokerConfig::Local(local) = &mut settings.broker {
        local.message_max_bytes = 16 << 20;
    }
    let served = Served::start_with(folder, settings, &["json_transform"]).await?;
    served.add_letters("picky").await?;
    // Together they are more than what one answer holds.
    let large = "x".repeat(7 << 20);
    for _ in 0..5 {
        served.worker.write("letters", &[&large]).await?;
    }
    let (mut all, mut pages, mut before) = (Vec::new(), 0, String::new());
    loop {
        let page = served.rest.get(&format!("{PATH}?limit=50{before}")).await?.expect(200)?;
        let some = places(&page);
        ensure!(!some.is_empty(), "a page without letters");
        all.extend(some);
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    let each: BTreeSet<_> = all.iter().map(ToString::to_string).collect();
    ensure!((all.len(), each.len(), pages) == (7, 7, 5), "{pages} pages with {all:?}");

    let discard = async |letters: &[Value]| {
        served.rest.send(Method::POST, &format!("{PATH}/drop"), Some(&json!({"letters": letters}))).await
    };
    let refused = discard(&all).await?.refusal(413)?;
    ensure!(refused.contains("ask for fewer letters at once"), "{refused}");
    ensure!(discard(&all[..3]).await?.expect(200)? == json!({"dropped": 3}));
    ensure!(discard(&all[3..]).await?.expect(200)? == json!({"dropped": 4}));
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
