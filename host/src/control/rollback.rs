//! A new version that fails soon after it took over hands back to the one before it.

use tokio::time::Instant;
use tracing::{error, warn};

use super::supervisor::Supervisor;
use crate::config::ConnectorSettings;
use crate::text::one_line;

impl Supervisor {
    /// Plugins that took over lately and failed hand back to those before them.
    pub(super) fn roll_back(&mut self, name: &str, error: &str) {
        let now = Instant::now();
        let Some(connector) = self.connectors.get_mut(name).filter(|c| !c.leaving) else { return };
        if !connector.is_on_probation(now) {
            return;
        }
        let (Some(running), Some(setup)) = (connector.running.clone(), &connector.current) else { return };
        let versions = connector.versions.clone();
        let failed = connector.versions.fail(&running, &setup.settings, error);
        if failed.is_empty() {
            return;
        }
        let allowed = connector.versions.allowed(&self.registry, &self.configs);
        if let Err(errors) = ConnectorSettings::resolve(&connector.definition, &allowed, &self.worker) {
            connector.versions = versions.without_probation();
            warn!(connector = %name, "not rolled back: the definition does not suit the version before: {}", one_line(&errors));
            return;
        }
        for failed in failed {
            error!(connector = %name, plugin = %failed.plugin, version = %failed.version, sha256 = %failed.sha256, "rolled back: this version failed soon after it took over, the one before it runs again; this one is not tried again until its file changes or the connector is restarted");
        }
        self.reconcile(name);
    }
}
