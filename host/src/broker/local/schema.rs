//! The file: its tables, its version, and how connections to it are opened. Any SQLite tool can look inside.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::errors;
use super::options::{Durability, LocalOptions};
use crate::broker::BrokerError;

/// The version of the tables below, in `user_version`. A file with a newer one is refused.
pub(super) const SCHEMA_VERSION: i64 = 1;
/// Marks the file as ours, in `application_id`: `SBkr`.
const APPLICATION_ID: i64 = 0x5342_6b72;
/// How long a connection waits for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two looks where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Eight records of a kibibyte fit a page; a small commit still writes few bytes.
const PAGE_BYTES: u32 = 8192;
/// Pages of the write-ahead log after which it is copied into the file: 32 MiB, some hundred thousand records.
const CHECKPOINT_PAGES: u32 = 4096;
/// What the write-ahead log is cut back to after a burst, in bytes.
const LOG_BYTES: u32 = 64 << 20;
/// Statements a connection keeps prepared; there are fewer.
const STATEMENTS: usize = 64;

const SCHEMA: &str = r#"
CREATE TABLE topics (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    cleanup_policy  TEXT NOT NULL,              -- delete; compact; compact,delete
    retention_ms    INTEGER,                    -- NULL: the broker's default; negative: for ever
    retention_bytes INTEGER                     -- of a partition; NULL: the broker's default; negative: any number
) STRICT;

CREATE TABLE partitions (
    id            INTEGER PRIMARY KEY,
    topic_id      INTEGER NOT NULL REFERENCES topics (id),
    partition     INTEGER NOT NULL,             -- from 0
    log_start     INTEGER NOT NULL DEFAULT 0,   -- no record before this offset is kept
    next_offset   INTEGER NOT NULL DEFAULT 0,   -- what the next record gets
    bytes         INTEGER NOT NULL DEFAULT 0,   -- of keys, values and headers that are kept
    compacted_to  INTEGER NOT NULL DEFAULT 0,   -- below this offset each key has one record
    tombstones_to INTEGER NOT NULL DEFAULT 0,   -- deletions below this offset may go ...
    tombstones_at INTEGER NOT NULL DEFAULT 0,   -- ... once this time, in ms, is delete.retention.ms ago
    UNIQUE (topic_id, partition)
) STRICT;

CREATE TABLE records (
    partition_id   INTEGER NOT NULL,            -- partitions.id
    "offset"       INTEGER NOT NULL,            -- gaps are normal
    timestamp      INTEGER NOT NULL,            -- milliseconds since the epoch
    timestamp_type INTEGER NOT NULL,            -- 0: the writer's; 1: the time it was appended
    key            BLOB,
    value          BLOB,                        -- NULL deletes the key in a compacted topic
    headers        BLOB,                        -- each: u32 length, name, i32 length (-1: null), value; little-endian
    PRIMARY KEY (partition_id, "offset")
) STRICT, WITHOUT ROWID;

CREATE TABLE group_offsets (
    consumer_group TEXT NOT NULL,
    topic          TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    next_offset    INTEGER NOT NULL,            -- the next to read: last read + 1
    PRIMARY KEY (consumer_group, topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE source_offsets (
    connector        TEXT NOT NULL,
    source_partition TEXT NOT NULL,             -- JSON
    source_offset    TEXT NOT NULL,             -- JSON
    PRIMARY KEY (connector, source_partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE state (
    connector TEXT NOT NULL,
    stage     TEXT NOT NULL,                    -- '': the connector's plugin; else the transform's alias
    place     TEXT NOT NULL,                    -- task:<number> or partition:<topic>:<number>
    key       BLOB NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (connector, stage, place, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE producers (
    transactional_id TEXT PRIMARY KEY,          -- <group>-<connector>-<task>
    epoch            INTEGER NOT NULL           -- commits of an older epoch are fenced
) STRICT, WITHOUT ROWID;

-- For people.
CREATE VIEW readable_records AS
SELECT t.name AS topic, p.partition, r."offset",
       strftime('%Y-%m-%dT%H:%M:%fZ', r.timestamp / 1000.0, 'unixepoch') AS time,
       CAST(r.key AS TEXT) AS key, CAST(r.value AS TEXT) AS value
FROM records r JOIN partitions p ON p.id = r.partition_id JOIN topics t ON t.id = p.topic_id;

CREATE VIEW consumer_lag AS
SELECT g.consumer_group, g.topic, g.partition, g.next_offset, p.next_offset - g.next_offset AS lag
FROM group_offsets g JOIN topics t ON t.name = g.topic
JOIN partitions p ON p.topic_id = t.id AND p.partition = g.partition;
"#;

/// Opens the connection that writes, creating the tables in a new file.
pub(super) fn open_writer(path: &Path, options: &LocalOptions) -> Result<Connection, BrokerError> {
    let operation = "open the embedded broker";
    let failed = |error| errors::sqlite(&error, operation, path);
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if version(&connection).map_err(failed)? == 0 && is_empty(&connection).map_err(failed)? {
        create(&mut connection).map_err(failed)?;
    }
    // Asked once more: another process may just have made the tables.
    match version(&connection).map_err(failed)? {
        SCHEMA_VERSION => {}
        0 => return Err(BrokerError::fatal(operation, format!("{} belongs to another program", path.display()))),
        newer => {
            let message = format!("{} has schema {newer}, this version knows {SCHEMA_VERSION} at most", path.display());
            return Err(BrokerError::fatal(operation, message));
        }
    }
    configure(&connection, options).map_err(failed)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Counts the changes that other connections made.
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    // These two hold for a file for ever, and only if they come before its first table.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been first.
    if version(&transaction)? == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()
}

/// Turns the write-ahead log on. SQLite does not wait by itself here for another process that does the same.
fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                thread::sleep(BUSY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn configure(connection: &Connection, options: &LocalOptions) -> rusqlite::Result<()> {
    use_log(connection)?;
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.query_row(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"), [], |_| Ok(()))?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_BYTES}"), [], |_| Ok(()))?;
    if let Some(bytes) = options.max_file_bytes {
        connection.query_row(
            &format!("PRAGMA max_page_count = {}", (bytes / u64::from(PAGE_BYTES)).max(1)),
            [],
            |_| Ok(()),
        )?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}
