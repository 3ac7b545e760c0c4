//! What can be asked of a running host and told to it, over HTTP: Kafka Connect's own calls, and Sandbar's under `/v1`.
//!
//! The same routes answer on two doors: a Unix socket in the data folder, which its owner alone may open, and a TCP
//! address.

// utoipa's macros write them.
#![allow(unused_qualifications)]

mod app;
pub mod client;
mod connect;
mod error;
mod health;
mod lags;
mod loggers;
mod logs;
mod metrics;
mod openapi;
mod page;
mod router;
mod socket;
mod telling;
mod v1;

pub use app::{App, Parts};
pub use lags::Lags;
pub use loggers::Loggers;
pub use logs::Logs;
pub use socket::{Socket, SocketError, path};

use tokio::net::TcpListener;
use tracing::warn;

/// Answers until it is dropped. Where there is no socket the host runs all the same, and says that no command reaches it.
pub async fn serve(app: App, socket: Result<Socket, SocketError>, listener: Option<TcpListener>) {
    let router = router::router(app.clone());
    let by_socket = async {
        let served = match socket {
            Ok(socket) => axum::serve(socket, router.clone()).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = served {
            warn!("commands such as `sandbar status` do not reach this host by its socket: {error}");
        }
    };
    let by_tcp = async {
        if let Some(listener) = listener
            && let Err(error) = axum::serve(listener, router.clone()).await
        {
            warn!("the REST interface does not answer any more: {error}");
        }
    };
    tokio::join!(by_socket, by_tcp, lags::follow(app.clone()), router::follow_loggers(app.clone()), telling::tell(app));
}
