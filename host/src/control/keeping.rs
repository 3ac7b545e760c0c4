//! Keeps in the data folder what is known of versions: it must outlast the host.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};

use super::supervisor::Supervisor;
use crate::task::Backoff;

/// When what could not be written is tried again.
pub(super) struct Keeping {
    again: Backoff,
    /// Not before this.
    pub(super) at: Option<Instant>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { again: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)), at: None }
    }
}

impl Supervisor {
    /// Brings the files up to date. What cannot be written is tried again; it is told once.
    pub(super) async fn keep(&mut self) {
        for (name, connector) in &self.connectors {
            self.kept.note(name, &connector.versions);
        }
        let now = Instant::now();
        if self.keeping.at.is_some_and(|at| at > now) {
            return;
        }
        let kept = self.kept.keep().await;
        let Keeping { again, at } = &mut self.keeping;
        match kept {
            Err(problem) => {
                if again.tries() == 0 {
                    error!("what is known of versions would not outlast the host: {problem}");
                }
                *at = Some(now + again.next_delay());
            }
            Ok(()) => {
                if again.tries() > 0 {
                    info!("what is known of versions is kept again");
                }
                again.reset();
                *at = None;
            }
        }
    }
}
