//! The broker contract, with one broker for all cases.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use sandbar::broker::Broker;
use sandbar::broker::local::LocalBroker;
use sandbar_tests::contract::Opened;
use tempfile::TempDir;

/// One broker for all cases that run at a time, as one host has for all its tasks; its file goes with the last of them.
struct Shared {
    broker: Arc<dyn Broker>,
    _directory: TempDir,
}

static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

async fn open() -> anyhow::Result<Opened> {
    let mut current = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let shared = match current.upgrade() {
        Some(shared) => shared,
        None => {
            let directory = TempDir::new()?;
            let broker = Arc::new(LocalBroker::open(directory.path())?);
            let shared = Arc::new(Shared { broker, _directory: directory });
            *current = Arc::downgrade(&shared);
            shared
        }
    };
    Ok(Opened { broker: Arc::clone(&shared.broker), keep: Some(Box::new(shared)) })
}

sandbar_tests::contract_tests!(open);
