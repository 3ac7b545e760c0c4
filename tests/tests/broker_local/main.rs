//! The embedded broker: the contract that every broker keeps, and what only this one promises.

mod cleanup;
mod contract;
mod file;
mod sessions;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sandbar::broker::local::{LocalBroker, LocalOptions};
use sandbar::broker::{BatchLimits, Broker, Output, ReadFrom, ReadSpec};
use sandbar_tests::contract::{Fixture, Row, output, rows};
use tempfile::TempDir;

pub(crate) const LIMITS: BatchLimits = BatchLimits { records: 1_000_000, bytes: 1 << 30 };

pub(crate) fn fixture(directory: &TempDir, options: LocalOptions) -> Result<(LocalBroker, Fixture)> {
    let broker = LocalBroker::open_with(directory.path(), options)?;
    Ok((broker.clone(), Fixture::new(Arc::new(broker) as Arc<dyn Broker>)))
}

pub(crate) fn keyed(topic: &str, records: &[(&str, Option<&str>)]) -> Result<Output> {
    output(topic, |frame| {
        for (key, value) in records {
            frame.record(Some(key.as_bytes()), value.map(str::as_bytes));
        }
    })
}

pub(crate) async fn read(broker: &dyn Broker, topic: &str) -> Result<Vec<Row>> {
    let spec = ReadSpec { topic: topic.to_owned(), partitions: None, from: ReadFrom::Beginning };
    let mut reader = broker.reader(spec).await?;
    let mut all = Vec::new();
    while !reader.at_end() {
        for batch in reader.next(LIMITS, Duration::ZERO).await? {
            all.extend(rows(&batch)?);
        }
    }
    Ok(all)
}

pub(crate) fn offsets(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.offset).collect()
}

/// Holds the file as another process that writes to it does.
pub(crate) struct Lock(rusqlite::Connection);

impl Lock {
    pub(crate) fn take(directory: &Path) -> Result<Self> {
        let connection = rusqlite::Connection::open(directory.join("broker.db"))?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self(connection))
    }

    pub(crate) fn give_back(self) -> Result<()> {
        Ok(self.0.execute_batch("ROLLBACK")?)
    }
}
