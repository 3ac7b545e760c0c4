//! Commands that talk to a host that runs: what it does, and what it shall do.

mod command;
mod connectors;
mod dlq;
mod logs;
mod plugins;
mod status;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use url::Url;

pub(super) use command::{ConnectorArgs, RestartArgs, pause, restart, resume, stop};
pub(super) use connectors::{ConnectorsArgs, run as connectors};
pub(super) use dlq::{DlqArgs, run as dlq};
pub(super) use logs::{LogsArgs, run as logs};
pub(super) use plugins::{PluginsArgs, run as plugins};
pub(super) use status::{StatusArgs, run as status};

use super::failure::{Failure, Outcome};
use super::worker::{DEFAULT_FILE, WorkerArgs};
use crate::api::client::{Asked, Client, ClientError, Remote};
use crate::config::Secret;

/// The variable that holds the token, which would be seen among the arguments.
const TOKEN_VARIABLE: &str = "SANDBAR_TOKEN";

/// Which host: the one with this data folder, or the one at this address.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Worker")]
struct HostArgs {
    /// The configuration that the host was started with [default: ./sandbar.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The host's data folder; overrides the file [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Any worker's address instead, as http://127.0.0.1:8083; the variable SANDBAR_TOKEN holds the token it asks for
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with_all = ["config", "data"])]
    url: Option<Url>,
    /// A file of certificates in PEM that are trusted besides those of the system
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || url.path() != "/" {
        return Err("it must be http://HOST:PORT or https://HOST:PORT".to_owned());
    }
    Ok(url)
}

impl HostArgs {
    fn client(&self) -> Outcome<Client> {
        if let Some(url) = &self.url {
            let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()).map(Secret::new);
            return Ok(Client::Remote(Remote { url: url.clone(), token, ca: self.ca.clone() }));
        }
        let args = WorkerArgs { config: self.config.clone(), data: self.data.clone(), brokers: None };
        Ok(Client::new(&args.load()?.0.data))
    }

    /// Talks to the host.
    fn talk<T>(&self, talk: impl AsyncFnOnce(&Client) -> Result<T, ClientError>) -> Outcome<T> {
        let client = self.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(format!("a runtime cannot be started: {error}")))?;
        runtime.block_on(talk(&client)).map_err(|error| {
            let failure = Failure::new(&error);
            match error {
                ClientError::NoHost(_)
                    if self.data.is_none() && self.config.is_none() && !Path::new(DEFAULT_FILE).exists() =>
                {
                    failure.hint("--data, --config or --url say which host; `sandbar run` starts one")
                }
                ClientError::NoHost(_) => failure.hint("`sandbar run` starts one"),
                ClientError::Refused { status: 401 | 403, .. } => {
                    failure.hint(format!("the variable {TOKEN_VARIABLE} holds the token that is shown"))
                }
                _ => failure,
            }
        })
    }

    /// Sends one request.
    fn ask(&self, asked: Asked<'_>) -> Outcome<Value> {
        self.talk(async |client| client.ask(asked).await)
    }
}

/// Reads a part of an answer.
fn read<T: serde::de::DeserializeOwned>(value: Value) -> Outcome<T> {
    let read = serde_json::from_value(value);
    read.map_err(|error| {
        Failure::new(format!("the host's answer is not understood: {error}"))
            .hint("the host may be of another version than this command")
    })
}
