//! What keeps the host from listening. Each message ends the search.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why nobody can come in.
#[derive(Debug, Error)]
pub enum DoorError {
    /// What was configured cannot be meant; all of it.
    #[error("{}", .0.join("; "))]
    Options(Vec<String>),
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
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
