//! Workers under test: as a process that can be killed, and inside the test's own process, where its state can be seen.

mod in_process;
mod log;
mod process;

pub use in_process::{InProcess, find};
pub use log::Log;
pub use process::Process;
