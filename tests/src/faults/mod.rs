//! Faults that tests put between a task and its broker.

mod observed;
mod step;

pub use observed::{Observed, Watch};
pub use step::{Moment, Side, Step};
