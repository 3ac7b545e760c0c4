//! The options that say which worker, and so which broker, a command is about: a file, and flags that override it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::{Failure, Outcome};
use crate::config::{BrokerConfig, Properties, Warning, WorkerConfig};

/// The file that is read if it is there and nothing else is said.
pub(super) const DEFAULT_FILE: &str = "sandbar.toml";
const BOOTSTRAP_SERVERS: &str = "bootstrap.servers";

/// Options that several commands share.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Worker")]
pub(super) struct WorkerArgs {
    /// The worker's configuration [default: ./sandbar.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kafka's bootstrap servers; overrides the file. Without any the embedded broker is used
    #[arg(long, value_name = "HOST:PORT,..", value_parser = brokers)]
    pub brokers: Option<String>,
    /// The folder of the worker's own data, the embedded broker's topics among it; overrides the file
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl WorkerArgs {
    /// The file that is read.
    pub fn file(&self) -> Option<&Path> {
        self.config.as_deref().or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|file| file.exists()))
    }

    /// The configuration: defaults, then the file, then the flags.
    pub fn load(&self) -> Outcome<(WorkerConfig, Vec<Warning>)> {
        let (worker, warnings) = match self.file() {
            Some(file) => WorkerConfig::load(file)?,
            None => (WorkerConfig::default(), Vec::new()),
        };
        Ok((self.over(worker), warnings))
    }

    fn over(&self, mut worker: WorkerConfig) -> WorkerConfig {
        if let Some(data) = &self.data {
            // The cache is in the data folder unless the file puts it elsewhere.
            if worker.cache.starts_with(&worker.data) {
                worker.cache = data.join("cache");
            }
            worker.data.clone_from(data);
        }
        if let Some(brokers) = &self.brokers {
            let others = match worker.broker {
                BrokerConfig::Kafka(properties) => properties,
                BrokerConfig::Local(_) => Properties::default(),
            };
            worker.broker = BrokerConfig::Kafka(others.with(BOOTSTRAP_SERVERS, brokers));
        }
        worker
    }
}

/// A runtime for commands that talk to a broker.
pub(super) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("threads cannot be started: {error}")))
}

fn brokers(text: &str) -> Result<String, String> {
    for server in text.split(',') {
        let host_and_port = server.trim().rsplit_once(':');
        if !host_and_port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return Err(format!("\"{server}\" is not HOST:PORT, as in localhost:9092"));
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    //! Flags win over the file.

    use super::*;

    fn worker(text: &str) -> WorkerConfig {
        WorkerConfig::parse(Path::new("/etc/sandbar.toml"), text.as_bytes()).unwrap().0
    }

    #[test]
    fn brokers_keep_the_other_properties_of_the_file() {
        let args = WorkerArgs { brokers: Some("b:1,c:2".to_owned()), ..WorkerArgs::default() };
        let file = worker("[kafka]\nbootstrap.servers = \"a:9092\"\nsecurity.protocol = \"ssl\"\n");
        let BrokerConfig::Kafka(properties) = args.over(file).broker else { panic!("not kafka") };
        assert_eq!(properties.get(BOOTSTRAP_SERVERS), Some("b:1,c:2"));
        assert_eq!(properties.get("security.protocol"), Some("ssl"));
        assert!(matches!(args.over(worker("")).broker, BrokerConfig::Kafka(_)));
        assert!(matches!(WorkerArgs::default().over(worker("")).broker, BrokerConfig::Local(_)));
    }

    #[test]
    fn the_cache_follows_the_data_unless_it_was_placed() {
        let args = WorkerArgs { data: Some("/d".into()), ..WorkerArgs::default() };
        assert_eq!(args.over(worker("")).cache, Path::new("/d/cache"));
        assert_eq!(args.over(worker("cache = \"/c\"")).cache, Path::new("/c"));
    }

    #[test]
    fn servers_have_a_host_and_a_port() {
        for good in ["localhost:9092", "a:1,b:2", "[::1]:9092", "SSL://a:1"] {
            assert_eq!(brokers(good).as_deref(), Ok(good));
        }
        for bad in ["", "localhost", ":9092", "a:b", "a:1,", "a:99999"] {
            assert!(brokers(bad).is_err(), "{bad}");
        }
    }
}
