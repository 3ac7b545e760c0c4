//! The host under fire on Apache Kafka: a process of its own that dies at a moment of the test's choice, a load that can
//! be checked record by record, and how much of it.

mod chains;
mod host;
mod load;
mod member;
mod scale;
mod victim;

pub use chains::Chains;
pub use host::{HOST_VARIABLE, run_host};
pub use load::Load;
pub use member::{Member, not_running};
pub use scale::Scale;
pub use victim::{Ended, Victim};

use anyhow::{Context as _, Result};

use crate::chance::Chance;
use crate::scenario::{self, Home, On};

/// Runs a proof on Kafka, with chance that a failure tells how to repeat.
pub async fn prove(brokers: String, proof: impl AsyncFnOnce(&Home, &mut Chance) -> Result<()>) -> Result<()> {
    let mut chance = Chance::new()?;
    let about = chance.describe();
    scenario::run(On::Kafka(brokers), async |home| proof(home, &mut chance).await).await.context(about)
}
