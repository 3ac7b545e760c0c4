//! Cases: a task that can get on with nothing still answers its group, and what its group says meanwhile is not lost.

use anyhow::{Context as _, Result, ensure};
use sandbar::broker::Consumed;

use super::fixture::{Fixture, LIMITS, WAIT, numbers, rows, within};
use super::groups::{read_rest, step_and_commit, until_split};
use super::task::Task;

/// A task that can take no records still lets go what is to move; nothing of it is lost or read twice.
pub async fn a_session_that_stands_by_lets_partitions_go(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("standing-by", 2).await?;
    fixture.write_numbers(&topic, 0..40).await?;
    let mut first = Task::open(fixture, fixture.sink("pair", 0, &topic)).await?;
    first.until_pending(40).await?;
    first.commit().await?;
    fixture.write_numbers(&topic, 40..80).await?;
    let mut second = Task::open(fixture, fixture.sink("pair", 1, &topic)).await?;
    hand_over(&mut first, &mut second).await?;
    ensure!(first.owned.len() == 1 && first.pending.is_empty(), "what stays is no news: {:?}", first.owned);
    read_rest(first, second, 40..80).await
}

/// What a session is given while it stands by is told later, and may go elsewhere before that: the group does not wait.
pub async fn what_comes_while_a_session_stands_by_waits_for_it(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("waiting", 4).await?;
    fixture.write_numbers(&topic, 0..80).await?;
    let mut first = Task::open(fixture, fixture.sink("three", 0, &topic)).await?;
    first.until_pending(80).await?;
    first.commit().await?;
    let mut second = Task::open(fixture, fixture.sink("three", 1, &topic)).await?;
    until_split(&mut first, &mut second, 2).await?;
    fixture.write_numbers(&topic, 80..160).await?;
    let mut all = first.close().await?;
    // The second one is given everything, and does not know it when a third one comes and is given some of that.
    let mut third = Task::open(fixture, fixture.sink("three", 2, &topic)).await?;
    within("hand over what nobody was told of", async {
        while third.owned.len() < 2 {
            stand_by(&mut second).await?;
            step_and_commit(&mut third).await?;
        }
        Ok(())
    })
    .await?;
    within("read everything", async {
        while all.len() + second.done.len() + third.done.len() < 160 {
            step_and_commit(&mut second).await?;
            step_and_commit(&mut third).await?;
        }
        Ok(())
    })
    .await?;
    all.extend(second.close().await?);
    all.extend(third.close().await?);
    assert_eq!(numbers(&all), (0..160).collect::<Vec<_>>());
    Ok(())
}

/// A partition that was let go while its task stood by is read again when it comes back to it.
pub async fn a_partition_that_comes_back_is_read_on(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("back", 2).await?;
    let mut first = Task::open(fixture, fixture.sink("pair", 0, &topic)).await?;
    first.until_owned(2).await?;
    let mut second = Task::open(fixture, fixture.sink("pair", 1, &topic)).await?;
    hand_over(&mut first, &mut second).await?;
    second.close().await?;
    first.until_owned(2).await?;
    fixture.write_numbers(&topic, 0..40).await?;
    first.until_pending(40).await?;
    assert_eq!(numbers(&first.pending), (0..40).collect::<Vec<_>>());
    first.close().await?;
    Ok(())
}

/// What came while a session stood by may begin at an offset of its own, as anything else.
pub async fn what_came_meanwhile_may_begin_at_its_own_offsets(fixture: &Fixture) -> Result<()> {
    let topic = fixture.topic("own-later", 2).await?;
    let mut first = Task::open(fixture, fixture.sink("pair", 0, &topic)).await?;
    first.until_owned(2).await?;
    let mut second = Task::open(fixture, fixture.sink("pair", 1, &topic)).await?;
    until_split(&mut first, &mut second, 1).await?;
    fixture.write_numbers(&topic, 0..40).await?;
    let moves = first.owned.first().context("it has one")?.clone();
    first.close().await?;
    // It does not know yet what it is given: the first answer afterwards tells.
    let told = within("be told", async {
        loop {
            stand_by(&mut second).await?;
            match second.session.consume(LIMITS, WAIT).await? {
                Consumed::Assigned(partitions) => return Ok(partitions),
                Consumed::Idle | Consumed::Joining | Consumed::Batches(_) => {}
                other => anyhow::bail!("{other:?}"),
            }
        }
    })
    .await?;
    ensure!(told == [moves.clone()], "{told:?}");
    second.session.accept(vec![(moves.clone(), Some(5))]).await?;
    let first = within("read what moved", async {
        loop {
            if let Consumed::Batches(batches) = second.session.consume(LIMITS, WAIT).await?
                && let Some(batch) = batches.iter().find(|batch| batch.partition == moves)
            {
                return rows(batch)?.first().map(|row| row.offset).context("no batch is empty");
            }
        }
    })
    .await?;
    assert_eq!(first, 5);
    second.close().await?;
    Ok(())
}

/// Has one task stand by until another one has a share.
async fn hand_over(first: &mut Task, second: &mut Task) -> Result<()> {
    within("hand over", async {
        while second.owned.is_empty() {
            stand_by(first).await?;
            second.step().await?;
        }
        Ok(())
    })
    .await
}

/// Stands by, and lets go what is to move.
async fn stand_by(task: &mut Task) -> Result<()> {
    match task.session.stand_by(WAIT).await? {
        Consumed::Idle | Consumed::Joining => Ok(()),
        Consumed::Revoked(partitions) => task.release(partitions).await,
        other => anyhow::bail!("while it stands by: {other:?}"),
    }
}
