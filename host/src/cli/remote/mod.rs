//! Commands that talk to a host that runs: what it does, and what it shall do.

mod command;
mod status;

use std::path::{Path, PathBuf};

use clap::Args;

pub(super) use command::{ConnectorArgs, RestartArgs, pause, restart, resume, stop};
pub(super) use status::{StatusArgs, run as status};

use super::failure::{Failure, Outcome};
use super::worker::{DEFAULT_FILE, WorkerArgs};
use crate::api::client::{Client, ClientError};

/// Which host: the one with this data folder.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Worker")]
struct HostArgs {
    /// The configuration that the host was started with [default: ./sandbar.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The host's data folder; overrides the file [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl HostArgs {
    fn client(&self) -> Outcome<Client> {
        let args = WorkerArgs { config: self.config.clone(), data: self.data.clone(), brokers: None };
        Ok(Client::new(&args.load()?.0.data))
    }

    /// Talks to the host.
    fn ask<T>(&self, talk: impl AsyncFnOnce(&Client) -> Result<T, ClientError>) -> Outcome<T> {
        let client = self.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(format!("a runtime cannot be started: {error}")))?;
        runtime.block_on(talk(&client)).map_err(|error| {
            let failure = Failure::new(&error);
            match error {
                ClientError::NoHost(_)
                    if self.data.is_none() && self.config.is_none() && !Path::new(DEFAULT_FILE).exists() =>
                {
                    failure.hint("--data or --config say which host; `sandbar run` starts one")
                }
                ClientError::NoHost(_) => failure.hint("`sandbar run` starts one"),
                _ => failure,
            }
        })
    }
}
