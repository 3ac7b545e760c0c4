//! Faults that tests put between a task and its broker.

mod step;

pub use step::{Moment, Side, Step};
