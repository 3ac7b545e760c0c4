//! Deletion by age and by size, from the beginning of a partition, as Kafka does it: the first record that may stay
//! keeps all that follow it.

use rusqlite::{Connection, params};

use super::errors::Failure;
use super::maintenance::CHUNK_RECORDS;
use super::options::LocalOptions;

/// The bytes of a row that count against the limits.
pub(super) const ROW_BYTES: &str =
    "coalesce(length(key), 0) + coalesce(length(value), 0) + coalesce(length(headers), 0)";

/// Deletes up to a chunk of records that are too old or too much, and says whether that was all.
pub(super) fn expire(
    connection: &Connection,
    partition: i64,
    now_ms: i64,
    options: &LocalOptions,
) -> Result<bool, Failure> {
    let sql = "SELECT p.bytes, t.retention_ms, t.retention_bytes FROM partitions p \
               JOIN topics t ON t.id = p.topic_id WHERE p.id = ?1";
    let (mut bytes, retention_ms, retention_bytes): (i64, Option<i64>, Option<i64>) =
        connection.prepare_cached(sql)?.query_row([partition], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let default_ms = options.retention.and_then(|retention| i64::try_from(retention.as_millis()).ok());
    let default_bytes = options.retention_bytes.and_then(|bytes| i64::try_from(bytes).ok());
    // Negative: no limit.
    let oldest = retention_ms.or(default_ms).filter(|ms| *ms >= 0).map(|ms| now_ms.saturating_sub(ms));
    let keep = retention_bytes.or(default_bytes).filter(|bytes| *bytes >= 0);

    let sql = format!(
        "SELECT \"offset\", timestamp, {ROW_BYTES} FROM records WHERE partition_id = ?1 ORDER BY \"offset\" LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![partition, i64::try_from(CHUNK_RECORDS).unwrap_or(i64::MAX)])?;
    let mut log_start = None;
    let (mut removed, mut expired) = (0, 0);
    while let Some(row) = rows.next()? {
        let (offset, timestamp, len): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let too_old = oldest.is_some_and(|oldest| timestamp < oldest);
        let too_much = keep.is_some_and(|keep| bytes - len >= keep);
        if !too_old && !too_much {
            break;
        }
        log_start = Some(offset + 1);
        bytes -= len;
        removed += len;
        expired += 1;
    }
    drop(rows);
    if let Some(log_start) = log_start {
        let sql = "DELETE FROM records WHERE partition_id = ?1 AND \"offset\" < ?2";
        connection.prepare_cached(sql)?.execute([partition, log_start])?;
        let sql = "UPDATE partitions SET log_start = ?2, bytes = bytes - ?3 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute([partition, log_start, removed])?;
    }
    Ok(expired < CHUNK_RECORDS)
}
