//! Several tasks of a connector share the partitions, and share them anew when there are more or fewer.

use anyhow::Result;
use sandbar::control::ConnectorState;
use sandbar_tests::checks;
use sandbar_tests::scenario::Home;
use sandbar_tests::topics;
use sandbar_tests::worker::find;
use serde_json::Value;

use crate::{PARTITIONS, mark, numbers};

sandbar_tests::on_both_brokers!(tasks_share_partitions);

/// What each task has had when the number of tasks changes.
const ENOUGH: u64 = 1_000;

async fn tasks_share_partitions(home: &Home) -> Result<()> {
    home.install(&["datagen", "json-transform"])?;
    let (from, to, name) = (home.name("from"), home.name("to"), home.name("mark"));
    home.define("numbers", &numbers('a', &from, 10_000, None))?;
    let tasks = |tasks: usize| -> Value {
        let mut config = mark(1, &from, &to);
        config["tasks.max"] = tasks.into();
        config
    };
    home.define("mark", &tasks(3))?;
    let mut worker = home.start_inside()?;
    // Three tasks for four partitions, one task for all of them, and six: four at a time have something to do.
    for (count, busy) in [(3, 3), (1, 1), (6, 4)] {
        home.define("mark", &tasks(count))?;
        worker
            .until_connector(&name, &format!("shares its work among {busy} of {count} tasks"), |mark| {
                let with_work = mark.tasks.iter().filter(|task| task.progress.snapshot().records_in >= ENOUGH);
                let running = mark.tasks.iter().all(|task| task.state == ConnectorState::Running);
                mark.tasks.len() == count && running && with_work.count() >= busy
            })
            .await?;
    }
    home.remove("numbers.json")?;
    worker.until("the source is gone", |status| find(status, &home.name("numbers")).is_none()).await?;
    let broker = home.broker().await?;
    let sent = checks::read(&*broker, &from, PARTITIONS).await?;
    let count = sent.values().map(Vec::len).sum();
    topics::read_until(&*broker, &to, count).await?;
    worker.stop().await?;
    checks::complete("input", &sent, &[('a', u32::try_from(count)?)])?;
    checks::same("input and output", &sent, &checks::read(&*broker, &to, PARTITIONS).await?)
}
