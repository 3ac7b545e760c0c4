//! The control socket: how commands of `sandbar` reach a running host. HTTP on a Unix socket in the data folder, which
//! its owner alone may open: who may use it may stop every connector.

pub mod client;
mod routes;
mod socket;

use tracing::warn;

use crate::control::Handle;

pub use socket::{Socket, SocketError, path};

/// Answers until it is dropped. Where there is no socket the host runs all the same, and says that no command reaches it.
pub async fn serve(socket: Result<Socket, SocketError>, handle: Handle) {
    let served = match socket {
        Ok(socket) => axum::serve(socket, routes::router(handle)).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = served {
        warn!("commands such as `sandbar status` do not reach this host: {error}");
    }
    std::future::pending().await
}
