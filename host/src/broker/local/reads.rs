//! Connections for reading, used on threads that may block: no SQLite call runs on a thread of the async runtime, but for
//! those of a simulation, which has one thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::errors::Failure;
use super::options::Place;
use super::{schema, writer};
use crate::broker::BrokerError;

/// How many reads run at once: enough to keep a few cores and a disk busy, few enough for a thousand idle tasks to
/// cost no connections.
const MAX_READS: usize = 8;

/// Connections for reading.
#[derive(Debug)]
pub(super) struct Reads {
    path: PathBuf,
    place: Place,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Reads {
    /// None open yet.
    pub(super) fn new(path: PathBuf, place: Place) -> Self {
        Self { path, place, idle: Mutex::default(), permits: Arc::new(Semaphore::new(MAX_READS)) }
    }

    /// Reads with a connection of its own. Each statement sees what was committed when it began.
    pub(super) async fn run<T, F>(self: &Arc<Self>, operation: impl Into<String>, read: F) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let operation = operation.into();
        if self.place == Place::Inline {
            return self.with_connection(read).map_err(|failure| failure.error(&operation, &self.path));
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let Ok(permit) = permit else { return Err(writer::stopped(operation)) };
        let reads = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            // Held until the read is over, even if nobody waits for it any more.
            let _permit = permit;
            reads.with_connection(read)
        });
        let done = done.await;
        match done {
            Ok(result) => result.map_err(|failure| failure.error(&operation, &self.path)),
            Err(error) => Err(BrokerError::fatal(operation, error)),
        }
    }

    fn with_connection<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.path)?,
        };
        let result = read(&connection)?;
        // A connection whose read failed is not used again.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }
}
