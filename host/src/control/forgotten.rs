//! Connectors of which operators wanted something once and do not any more, because their definitions are gone or say
//! something newer: the topic has to be told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{debug, info, warn};

use super::supervisor::Supervisor;
use crate::storage::Entry;
use crate::task::Backoff;

/// The first and the longest pause before the topic is told once more.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// See the module. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Forgotten(Arc<Mutex<BTreeSet<String>>>);

impl Forgotten {
    fn add(&self, connector: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connector.to_owned());
    }

    /// An operator wants something again.
    pub(super) fn remove(&self, connector: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(connector);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Supervisor {
    /// Forgets what was wanted of a connector: at once here, as soon as that can be in the topic.
    pub(super) fn forget_target(&mut self, name: &str) {
        if self.configs.target(name).is_none() {
            return;
        }
        self.configs.apply(Entry::Target { name: name.to_owned(), state: None });
        self.forgotten.add(name);
        let (forgotten, storage) = (self.forgotten.clone(), self.storage.clone());
        self.work.spawn(async move {
            let mut again = Backoff::new(AGAIN.0, AGAIN.1);
            loop {
                let told = storage.change(|_| {
                    let entry = |name: &String| Entry::Target { name: name.clone(), state: None };
                    let names = forgotten.all();
                    (names.iter().map(entry).collect(), names)
                });
                match told.await {
                    Ok(names) => {
                        names.iter().for_each(|name| forgotten.remove(name));
                        if again.tries() > 0 {
                            info!("what operators want is kept again");
                        }
                        return debug!(?names, "nothing is wanted of these any more");
                    }
                    Err(error) if again.tries() == 0 => {
                        warn!("what operators wanted of connectors that are gone would be wanted again after a restart: {error}");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(again.next_delay()).await;
            }
        });
    }
}
