//! Compaction: of each key of a partition only the newest record stays, and deletions go once every reader had time to
//! see them. First the newest offset of each key written since the last run is collected, then the rows that are older
//! are deleted, both in chunks. A run that is broken off begins again.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::errors::Failure;
use super::maintenance::CHUNK_RECORDS;
use super::options::LocalOptions;
use super::retention::ROW_BYTES;

/// The compaction of a partition, as far as it has come.
#[derive(Debug)]
pub(super) struct Compaction {
    partition: i64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Begin,
    /// Collect the newest offset of each key, from this offset on.
    Collect(Run, i64),
    /// Delete what is older, from this offset on.
    Delete(Run, i64),
}

/// What a run decided when it began.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Records from here on are left alone.
    end: i64,
    /// Deletions below this offset go too.
    tombstones: i64,
    /// How far deletions may go next time, and since when that counts.
    next_tombstones: (i64, i64),
}

impl Compaction {
    /// The compaction of a partition, not begun.
    pub(super) fn new(partition: i64) -> Self {
        Self { partition, stage: Stage::Begin }
    }

    /// Does a chunk, inside a transaction, and says whether the partition is compact.
    pub(super) fn step(
        &mut self,
        connection: &Connection,
        now_ms: i64,
        options: &LocalOptions,
    ) -> Result<bool, Failure> {
        match self.stage {
            Stage::Begin => {
                let Some((run, dirty)) = self.begin(connection, now_ms, options)? else { return Ok(true) };
                self.stage = Stage::Collect(run, dirty);
                Ok(false)
            }
            Stage::Collect(run, from) => {
                let to = self.chunk_end(connection, from, run.end)?;
                let sql = "INSERT INTO temp.newest (key, \"offset\") \
                           SELECT key, max(\"offset\") FROM records \
                           WHERE partition_id = ?1 AND \"offset\" >= ?2 AND \"offset\" < ?3 AND key IS NOT NULL \
                           GROUP BY key ON CONFLICT DO UPDATE SET \"offset\" = excluded.\"offset\"";
                connection.prepare_cached(sql)?.execute([self.partition, from, to])?;
                self.stage = if to < run.end { Stage::Collect(run, to) } else { Stage::Delete(run, 0) };
                Ok(false)
            }
            Stage::Delete(run, from) => {
                let to = self.chunk_end(connection, from, run.end)?;
                self.delete(connection, run, from, to)?;
                self.stage = Stage::Delete(run, to);
                if to < run.end {
                    return Ok(false);
                }
                self.finish(connection, run)?;
                Ok(true)
            }
        }
    }

    /// Decides what the run does, and from which offset on keys were written since the last one.
    fn begin(
        &self,
        connection: &Connection,
        now_ms: i64,
        options: &LocalOptions,
    ) -> Result<Option<(Run, i64)>, Failure> {
        let sql = "SELECT next_offset, compacted_to, tombstones_to, tombstones_at FROM partitions WHERE id = ?1";
        let (end, compacted_to, tombstones_to, tombstones_at): (i64, i64, i64, i64) =
            connection
                .prepare_cached(sql)?
                .query_row([self.partition], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let delay = i64::try_from(options.tombstone_retention.as_millis()).unwrap_or(i64::MAX);
        let due = tombstones_to > 0 && now_ms >= tombstones_at.saturating_add(delay);
        if compacted_to == end && !due {
            return Ok(None);
        }
        // Deletions count as seen from the first run on that found them; those of this run wait for the next round,
        // of which there is none if nothing was written since.
        let next_tombstones = match (due, tombstones_to) {
            (true, to) if to == end => (0, 0),
            (true, _) | (false, 0) => (end, now_ms),
            (false, to) => (to, tombstones_at),
        };
        let run = Run { end, tombstones: if due { tombstones_to } else { 0 }, next_tombstones };
        connection.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS newest (key BLOB PRIMARY KEY, \"offset\" INTEGER NOT NULL) WITHOUT ROWID; \
             DELETE FROM temp.newest;",
        )?;
        Ok(Some((run, compacted_to)))
    }

    fn delete(&self, connection: &Connection, run: Run, from: i64, to: i64) -> Result<(), Failure> {
        let sql = format!(
            "DELETE FROM records WHERE partition_id = ?1 AND \"offset\" >= ?2 AND \"offset\" < ?3 AND (\
             \"offset\" < (SELECT n.\"offset\" FROM temp.newest n WHERE n.key = records.key) \
             OR (value IS NULL AND key IS NOT NULL AND \"offset\" < ?4)) RETURNING {ROW_BYTES}"
        );
        let mut removed: i64 = 0;
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([self.partition, from, to, run.tombstones])?;
        while let Some(row) = rows.next()? {
            removed += row.get::<_, i64>(0)?;
        }
        drop(rows);
        let sql = "UPDATE partitions SET bytes = bytes - ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute([self.partition, removed])?;
        Ok(())
    }

    fn finish(&self, connection: &Connection, run: Run) -> Result<(), Failure> {
        let (tombstones_to, tombstones_at) = run.next_tombstones;
        let sql = "UPDATE partitions SET compacted_to = ?2, tombstones_to = ?3, tombstones_at = ?4 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute([self.partition, run.end, tombstones_to, tombstones_at])?;
        connection.execute_batch("DELETE FROM temp.newest")?;
        Ok(())
    }

    /// Where the chunk that begins at an offset ends: a number of rows further, whatever gaps there are.
    fn chunk_end(&self, connection: &Connection, from: i64, end: i64) -> Result<i64, Failure> {
        let sql = "SELECT \"offset\" FROM records WHERE partition_id = ?1 AND \"offset\" >= ?2 \
                   ORDER BY \"offset\" LIMIT 1 OFFSET ?3";
        let chunk = i64::try_from(CHUNK_RECORDS).unwrap_or(i64::MAX);
        let found: Option<i64> = connection
            .prepare_cached(sql)?
            .query_row(params![self.partition, from, chunk], |row| row.get(0))
            .optional()?;
        Ok(found.map_or(end, |offset| offset.min(end)))
    }
}
