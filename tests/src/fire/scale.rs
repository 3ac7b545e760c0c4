//! How much fire: little in every run of the tests, much when somebody asks for it.

use std::env;

use anyhow::{Context as _, Result};

/// `full` for the numbers the project promises; without it a run of less than a minute.
const SCALE_VARIABLE: &str = "SANDBAR_FIRE";
/// How many records, whatever the scale.
const RECORDS_VARIABLE: &str = "SANDBAR_FIRE_RECORDS";
/// How many faults of each kind, whatever the scale.
const FAULTS_VARIABLE: &str = "SANDBAR_FIRE_FAULTS";

/// How much of a proof is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// How many records the source makes.
    pub records: u32,
    /// How many faults of each kind there are.
    pub faults: u32,
}

impl Scale {
    /// Whether the numbers are asked for that the project promises.
    pub fn is_full() -> Result<bool> {
        match env::var(SCALE_VARIABLE).as_deref() {
            Err(_) => Ok(false),
            Ok("full") => Ok(true),
            Ok(other) => anyhow::bail!("{SCALE_VARIABLE}={other}: it is `full`, or not set"),
        }
    }

    /// The scale that was asked for: `small`, unless the environment says otherwise.
    pub fn of_this_run(small: Self, full: Self) -> Result<Self> {
        let mut scale = if Self::is_full()? { full } else { small };
        for (variable, number) in [(RECORDS_VARIABLE, &mut scale.records), (FAULTS_VARIABLE, &mut scale.faults)] {
            if let Ok(text) = env::var(variable) {
                *number = text.parse().with_context(|| format!("{variable}={text} is no number"))?;
            }
        }
        Ok(scale)
    }
}
