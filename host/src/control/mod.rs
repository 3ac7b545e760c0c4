//! Decides what runs: takes in what the folder holds, keeps the connectors it asks for running, and says what happened.
//!
//! Everything goes through one event loop, the [`Supervisor`]. A change of configuration, a new plugin version and a restart
//! are the same thing here: drain, close, open at the committed offsets.

mod commands;
mod connector;
mod definitions;
mod ends;
mod folder;
mod forgotten;
mod keeping;
mod kept;
mod kept_versions;
mod machine;
mod member;
mod placed;
mod placement;
pub(crate) mod planner;
mod publishing;
mod reconcile;
mod rollback;
mod running;
pub mod sharing;
mod status;
mod stored;
mod supervisor;
#[cfg(test)]
mod test_plugins;
mod versions;
mod world;

pub use commands::{Command, CommandError, Handle};
pub use kept_versions::KeptVersions;
pub use machine::{Action, Blame, Ending, TaskEvent, TaskMachine, TaskState};
pub use placement::Placement;
pub use status::{ConnectorState, ConnectorStatus, RefusedPlugin, Status, TaskStatus, WorkerShare};
pub use supervisor::Supervisor;
pub use versions::Quarantined;
pub use world::World;
