//! The host under fire on Apache Kafka: a process of its own that dies at a moment of the test's choice, a load that can
//! be checked record by record, and how much of it.

mod host;
mod load;
mod scale;
mod victim;

pub use host::{HOST_VARIABLE, run_host};
pub use load::Load;
pub use scale::Scale;
pub use victim::{Ended, Victim};
