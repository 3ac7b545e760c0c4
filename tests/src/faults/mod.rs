//! Faults that tests put between a task and its broker.

mod broker;
mod defect;
mod fates;
mod history;
mod observed;
mod plan;
mod session;
mod step;

pub use broker::FaultyBroker;
pub use defect::{Defect, DefectKind};
pub use fates::{Fates, Life};
pub use history::History;
pub use observed::{Observed, Watch};
pub use plan::{Fate, Plan, Verdict};
pub use step::{Moment, Side, Step};
