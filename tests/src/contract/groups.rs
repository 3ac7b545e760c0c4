//! Cases: consumer groups. Sessions of a group share partitions, hand them over without losing or repeating a
//! committed record, and find topics by name and by pattern.

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::{BatchLimits, Consumed, Topics};

use super::fixture::{Fixture, LIMITS, WAIT, numbers, rows, settings, within};
use super::task::Task;

/// Two sessions split four partitions; when one closes, the other takes over; each record counts once.
pub async fn two_sessions_share_the_partitions(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("shared", 4).await?;
    fixture.write_numbers(&topic, 0..200).await?;
    let mut first = Task::open(fixture, fixture.sink("pair", 0, &topic)).await?;
    first.until_owned(4).await?;
    let mut second = Task::open(fixture, fixture.sink("pair", 1, &topic)).await?;
    until_split(&mut first, &mut second, 2).await?;

    fixture.write_numbers(&topic, 200..400).await?;
    within("read everything", async {
        while first.done.len() + second.done.len() < 400 {
            step_and_commit(&mut first).await?;
            step_and_commit(&mut second).await?;
        }
        Ok(())
    })
    .await?;
    for (task, name) in [(&first, "first"), (&second, "second")] {
        ensure!(numbers(&task.done).iter().any(|n| *n >= 200), "the {name} session read nothing of its share");
    }

    let mut all = first.close().await?;
    second.until_owned(4).await?;
    fixture.write_numbers(&topic, 400..500).await?;
    within("read everything alone", async {
        while all.len() + second.done.len() < 500 {
            step_and_commit(&mut second).await?;
        }
        Ok(())
    })
    .await?;
    step_and_commit(&mut second).await?;
    all.extend(second.close().await?);
    assert_eq!(numbers(&all), (0..500).collect::<Vec<_>>());
    Ok(())
}

/// A revoked partition stays with its owner until the owner has committed and let go.
pub async fn a_partition_moves_only_once_released(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("moved", 2).await?;
    let mut first = Task::open(fixture, fixture.sink("pair", 0, &topic)).await?;
    first.until_owned(2).await?;
    fixture.write_numbers(&topic, 0..40).await?;
    first.until_pending(40).await?;

    let mut second = Task::open(fixture, fixture.sink("pair", 1, &topic)).await?;
    let revoked = within("be asked to let go", async {
        loop {
            if let Consumed::Revoked(partitions) = first.session.consume(LIMITS, WAIT).await? {
                return Ok(partitions);
            }
            early(&mut second).await?;
        }
    })
    .await?;
    assert_eq!(revoked.len(), 1, "only what moves is revoked: {revoked:?}");
    for _ in 0..3 {
        early(&mut second).await?;
    }
    first.commit().await?;
    assert_eq!(first.done.len(), 40, "the owner's commit still counts");
    first.release(revoked.clone()).await?;

    within("hand over", async {
        while second.owned.is_empty() {
            first.step().await?;
            second.step().await?;
        }
        Ok(())
    })
    .await?;
    assert_eq!(second.owned, revoked.into_iter().collect());
    fixture.write_numbers(&topic, 40..80).await?;
    read_rest(first, second, 40..80).await
}

/// Without a committed offset a group reads from the first record that is kept.
pub async fn a_new_group_begins_at_the_earliest_record(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("earliest", 2).await?;
    fixture.write_numbers(&topic, 0..30).await?;
    let mut task = Task::open(fixture, fixture.sink("new", 0, &topic)).await?;
    task.until_pending(30).await?;
    assert_eq!(numbers(&task.pending), (0..30).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// Offsets given when partitions are taken up win over committed ones; an abort before any commit returns to them.
pub async fn a_session_may_begin_at_its_own_offsets(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("own", 1).await?;
    fixture.write_numbers(&topic, 0..10).await?;
    let mut task = Task::open(fixture, fixture.sink("own", 0, &topic)).await?;
    task.until_pending(10).await?;
    task.commit().await?;
    let seventh = task.done.get(7).context("ten were read")?.offset;
    task.close().await?;

    let mut task = Task::open(fixture, fixture.sink("own", 0, &topic)).await?;
    within("be assigned", async {
        loop {
            if let Consumed::Assigned(partitions) = task.session.consume(LIMITS, WAIT).await? {
                let offsets = partitions.into_iter().map(|p| (p, Some(seventh))).collect();
                return Ok(task.session.accept(offsets).await?);
            }
        }
    })
    .await?;
    task.until_pending(3).await?;
    task.abort().await?;
    task.until_pending(3).await?;
    assert_eq!(numbers(&task.pending), [7, 8, 9]);
    task.commit().await?;
    fixture.write_numbers(&topic, 10..12).await?;
    task.until_pending(2).await?;
    task.abort().await?;
    task.until_pending(2).await?;
    assert_eq!(numbers(&task.pending), [10, 11]);
    task.close().await?;
    Ok(())
}

/// A topic that is subscribed to by name is created with the session's settings.
pub async fn subscribing_creates_the_topic(fixture: &Fixture) -> Result<()> {
    let topic = fixture.name("created-by-subscribing");
    let mut spec = fixture.sink("waiting", 0, &topic);
    spec.topic_settings = settings(3);
    let mut task = Task::open(fixture, spec).await?;
    task.until_owned(3).await?;
    fixture.write_numbers(&topic, 0..9).await?;
    task.until_pending(9).await?;
    assert_eq!(numbers(&task.pending), (0..9).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// A pattern matches whole names, and topics that are created later too.
pub async fn a_pattern_picks_new_topics_up(fixture: &Fixture) -> Result<()> {
    let there = fixture.topic("p-there", 1).await?;
    let apart = fixture.topic("p-there-not", 1).await?;
    fixture.write_numbers(&there, 0..5).await?;
    fixture.write_numbers(&apart, 100..105).await?;
    let pattern = Topics::Pattern(format!("{}-(there|later)", fixture.name("p")));
    let mut task = Task::open(fixture, fixture.subscriber("pattern", 0, pattern)).await?;
    task.until_pending(5).await?;
    task.commit().await?;
    let later = fixture.topic("p-later", 2).await?;
    fixture.write_numbers(&later, 5..15).await?;
    task.until_pending(10).await?;
    task.commit().await?;
    assert_eq!(numbers(&task.done), (0..15).collect::<Vec<_>>());
    task.close().await?;
    Ok(())
}

/// Each group reads everything.
pub async fn groups_do_not_disturb_each_other(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("both", 2).await?;
    fixture.write_numbers(&topic, 0..20).await?;
    let mut one = Task::open(fixture, fixture.sink("one", 0, &topic)).await?;
    let mut two = Task::open(fixture, fixture.sink("two", 0, &topic)).await?;
    one.until_pending(20).await?;
    one.commit().await?;
    two.until_pending(20).await?;
    assert_eq!(numbers(&one.done), numbers(&two.pending));
    one.close().await?;
    two.close().await?;
    Ok(())
}

/// An answer holds no more records than asked for, and no more bytes unless one record alone is larger.
pub async fn limits_bound_an_answer(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("bounded", 1).await?;
    let large = vec![b'x'; 10_000];
    let batch = super::fixture::output(&topic, |frame| {
        for _ in 0..10 {
            frame.record(None, Some(&large));
        }
    })?;
    fixture.write(batch).await?;
    let mut task = Task::open(fixture, fixture.sink("bounded", 0, &topic)).await?;
    task.until_owned(1).await?;
    for (limits, expected) in [
        (BatchLimits { records: 3, bytes: 1 << 20 }, 3),
        (BatchLimits { records: 100, bytes: 1 }, 1),
        (BatchLimits { records: 100, bytes: 25_000 }, 2),
        (BatchLimits { records: 100, bytes: 1 << 20 }, 4),
    ] {
        let read = within("read a bounded answer", async {
            let mut read = Vec::new();
            while read.is_empty() {
                if let Consumed::Batches(batches) = task.session.consume(limits, WAIT).await? {
                    for batch in batches {
                        read.extend(rows(&batch)?);
                    }
                }
            }
            Ok(read)
        })
        .await?;
        ensure!(read.len() <= expected, "{} records for {limits:?}", read.len());
        // A broker may answer with less than there is; what is missing comes before the next, smaller bound is tried.
        let mut count = read.len();
        while count < expected {
            if let Consumed::Batches(batches) =
                task.session.consume(BatchLimits { records: 1, bytes: 1 << 20 }, WAIT).await?
            {
                count += batches.iter().map(|batch| batch.batch.len()).sum::<usize>();
            }
        }
    }
    task.close().await?;
    Ok(())
}

/// Steps until each of two tasks has so many partitions.
pub(super) async fn until_split(first: &mut Task, second: &mut Task, each: usize) -> Result<()> {
    within("split the partitions", async {
        while (first.owned.len(), second.owned.len()) != (each, each) {
            step_and_commit(first).await?;
            step_and_commit(second).await?;
        }
        Ok(())
    })
    .await
}

/// Makes sure that two tasks together read just these numbers.
pub(super) async fn read_rest(mut first: Task, mut second: Task, rest: std::ops::Range<usize>) -> Result<()> {
    within("read what came after", async {
        while first.pending.len() + second.pending.len() < rest.len() {
            first.step().await?;
            second.step().await?;
        }
        Ok(())
    })
    .await?;
    let mut read = first.pending.clone();
    read.extend(second.pending.clone());
    assert_eq!(numbers(&read), rest.collect::<Vec<_>>());
    first.close().await?;
    second.close().await?;
    Ok(())
}

pub(super) async fn step_and_commit(task: &mut Task) -> Result<()> {
    task.step().await?;
    if task.pending.is_empty() { Ok(()) } else { task.commit().await }
}

/// Consumes in a session that must not be given anything yet.
async fn early(task: &mut Task) -> Result<()> {
    match task.session.consume(LIMITS, WAIT).await? {
        Consumed::Idle | Consumed::Joining => Ok(()),
        Consumed::Assigned(partitions) if partitions.is_empty() => task.accept(partitions).await,
        other => anyhow::bail!("before the owner let go: {other:?}"),
    }
}
