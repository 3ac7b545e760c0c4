//! What keeps the host from listening. Each message ends the search.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::config::keys;

/// Something that was configured and cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key in `sandbar.toml` that it is about.
    pub key: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Fault {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Why nobody can come in.
#[derive(Debug, Error)]
pub enum DoorError {
    /// What was configured cannot be meant; all of it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Options(Vec<Fault>),
    /// The address leads to no socket.
    #[error("cannot listen on {address}: {error}")]
    Address {
        /// The host and port.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// Everybody on the network would be let do everything.
    #[error(
        "will not listen on {0}: it is no loopback address, and without credentials everybody who reaches it may do \
         everything. Add credentials (auth.<name>.role with auth.<name>.token or auth.<name>.password), or require \
         client certificates (rest.tls.client.ca), or listen on 127.0.0.1; if the network is to be trusted, set \
         rest.insecure = true"
    )]
    Exposed(String),
    /// A file of certificates or keys.
    #[error("{}: {reason}", path.display())]
    Tls {
        /// The key in `sandbar.toml` that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl DoorError {
    /// The same, key by key.
    #[must_use]
    pub fn faults(self) -> Vec<Fault> {
        let key = match &self {
            Self::Options(_) => "",
            Self::Address { .. } | Self::Exposed(_) => keys::REST_LISTEN.name,
            Self::Tls { key, .. } => key,
        };
        match self {
            Self::Options(faults) => faults,
            error => vec![Fault::new(key, error.to_string())],
        }
    }
}
