//! Cases: source offsets and state, restored as they were committed, each in its own scope.

use anyhow::Result;
use bytes::Bytes;
use sandbar::broker::{Commit, SourceOffset, StateChange, StatePlace, StateScope, TopicPartition};

use super::fixture::{Fixture, within};
use super::task::Task;

/// Overwritten three times and deleted: only the newest counts, after a restart too.
pub async fn the_newest_offsets_and_state_are_loaded(fixture: &Fixture) -> Result<()> {
    let mut task = Task::open(fixture, fixture.source("keeper")).await?;
    for round in 1..=3 {
        let commit = Commit {
            source_offsets: vec![offset("a", Some(round)), offset("gone", Some(round))],
            state: vec![change(&task_scope(""), "kept", Some(round)), change(&task_scope(""), "gone", Some(round))],
            ..Commit::default()
        };
        task.session.commit(commit).await?;
    }
    let commit = Commit {
        source_offsets: vec![offset("gone", None), offset("never", None)],
        state: vec![
            change(&task_scope(""), "gone", None),
            change(&task_scope(""), "twice", Some(1)),
            change(&task_scope(""), "twice", Some(2)),
            change(&task_scope(""), "back", None),
            change(&task_scope(""), "back", Some(4)),
        ],
        ..Commit::default()
    };
    task.session.commit(commit).await?;
    for restarted in [false, true] {
        if restarted {
            task.close().await?;
            task = Task::open(fixture, fixture.source("keeper")).await?;
        }
        assert_eq!(task.session.load_offsets().await?, [(r#"{"p":"a"}"#.into(), r#"{"o":3}"#.into())]);
        assert_eq!(load(&mut task, &task_scope("")).await?, ["back=4", "kept=3", "twice=2"]);
    }
    task.close().await?;
    Ok(())
}

/// By stage, by task, by partition: the same key is another key.
pub async fn scopes_are_apart(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("scoped", 2).await?;
    let mut tasks = Vec::new();
    for number in 0..2 {
        tasks.push(Task::open(fixture, fixture.sink("scoped", number, &topic)).await?);
    }
    share(&mut tasks).await?;
    for (number, task) in tasks.iter_mut().enumerate() {
        let mut scopes = vec![task_scope(""), task_scope("mask")];
        scopes.extend(task.owned.iter().flat_map(|p| [partition_scope("", p), partition_scope("mask", p)]));
        let state = scopes.iter().enumerate().map(|(i, scope)| change(scope, "k", Some(number * 10 + i))).collect();
        task.session.commit(Commit { state, ..Commit::default() }).await?;
        for (i, scope) in scopes.iter().enumerate() {
            assert_eq!(load(task, scope).await?, [format!("k={}", number * 10 + i)], "{scope:?}");
        }
    }
    let first = &mut tasks[0];
    assert_eq!(load(first, &task_scope("")).await?, ["k=0"], "task 1 has a state of its own");
    for task in tasks {
        task.close().await?;
    }
    Ok(())
}

/// Neither offsets nor state of another connector are seen.
pub async fn connectors_are_apart(fixture: &Fixture) -> Result<()> {
    let mut one = Task::open(fixture, fixture.source("one")).await?;
    let mut two = Task::open(fixture, fixture.source("two")).await?;
    let commit = |n| Commit {
        source_offsets: vec![offset("a", Some(n))],
        state: vec![change(&task_scope(""), "k", Some(n))],
        ..Commit::default()
    };
    one.session.commit(commit(1)).await?;
    assert_eq!(two.session.load_offsets().await?, []);
    assert_eq!(load(&mut two, &task_scope("")).await?, Vec::<String>::new());
    two.session.commit(commit(2)).await?;
    assert_eq!(one.session.load_offsets().await?, [(r#"{"p":"a"}"#.into(), r#"{"o":1}"#.into())]);
    assert_eq!(load(&mut one, &task_scope("")).await?, ["k=1"]);
    one.close().await?;
    two.close().await?;
    Ok(())
}

/// Any bytes are a key or a value; an empty value is a value.
pub async fn state_keys_and_values_are_bytes(fixture: &Fixture) -> Result<()> {
    let every_byte: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let mut task = Task::open(fixture, fixture.source("binary")).await?;
    let put = |key: &Bytes, value: &Bytes| StateChange {
        scope: task_scope(""),
        key: key.clone(),
        value: Some(value.clone()),
    };
    let (low, high) = (Bytes::from_static(b"\0"), Bytes::from_static(b"\xff\xfe"));
    let state = vec![put(&low, &Bytes::new()), put(&every_byte, &every_byte), put(&high, &low)];
    task.session.commit(Commit { state, ..Commit::default() }).await?;
    let mut loaded = task.session.load_state(&task_scope("")).await?;
    loaded.sort();
    assert_eq!(loaded, [(low.clone(), Bytes::new()), (every_byte.clone(), every_byte), (high, low)]);
    task.close().await?;
    Ok(())
}

/// Whoever owns a partition finds its state.
pub async fn partition_state_moves_with_the_partition(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("carried", 1).await?;
    let scope = partition_scope("count", &TopicPartition::new(topic.as_str(), 0));
    let mut first = Task::open(fixture, fixture.sink("carried", 0, &topic)).await?;
    first.until_owned(1).await?;
    first.commit_with(Vec::new(), vec![change(&scope, "k", Some(7))]).await?;
    first.close().await?;
    let mut second = Task::open(fixture, fixture.sink("carried", 1, &topic)).await?;
    second.until_owned(1).await?;
    assert_eq!(load(&mut second, &scope).await?, ["k=7"]);
    second.close().await?;
    Ok(())
}

/// Steps tasks until each owns one partition.
async fn share(tasks: &mut [Task]) -> Result<()> {
    within("share the partitions", async {
        while tasks.iter().any(|task| task.owned.len() != 1) {
            for task in tasks.iter_mut() {
                task.step().await?;
            }
        }
        Ok(())
    })
    .await
}

fn task_scope(stage: &str) -> StateScope {
    StateScope { stage: stage.into(), place: StatePlace::Task }
}

fn partition_scope(stage: &str, partition: &TopicPartition) -> StateScope {
    StateScope { stage: stage.into(), place: StatePlace::Partition(partition.clone()) }
}

fn change(scope: &StateScope, key: &'static str, value: Option<usize>) -> StateChange {
    StateChange { scope: scope.clone(), key: key.into(), value: value.map(|n| n.to_string().into()) }
}

fn offset(partition: &str, offset: Option<usize>) -> SourceOffset {
    SourceOffset { partition: format!(r#"{{"p":"{partition}"}}"#), offset: offset.map(|n| format!(r#"{{"o":{n}}}"#)) }
}

async fn load(task: &mut Task, scope: &StateScope) -> Result<Vec<String>> {
    let mut found: Vec<String> = task
        .session
        .load_state(scope)
        .await?
        .iter()
        .map(|(key, value)| format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)))
        .collect();
    found.sort();
    Ok(found)
}
