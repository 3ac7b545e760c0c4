//! What can be asked of a running host and told to it, over HTTP: Kafka Connect's own calls, and Sandbar's under `/v1`.
//!
//! The same routes answer on two doors: a Unix socket in the data folder, which its owner alone may open, and a TCP
//! address.

// utoipa's macros write them.
#![allow(unused_qualifications)]

mod app;
mod asking;
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
pub(crate) use loggers::AUDIT;
pub use loggers::Loggers;
pub use logs::Logs;
pub use socket::{Socket, SocketError, path};

use std::convert::Infallible;

use tokio::sync::watch;
use tracing::warn;

use crate::door::{Door, Listening};

/// Answers until `stop` says so, and a while longer to finish what was begun. Where there is no socket the host runs all
/// the same, and says that no command reaches it.
pub async fn serve(
    app: App,
    door: Door,
    socket: Result<Socket, SocketError>,
    listening: Option<Listening>,
    stop: watch::Receiver<bool>,
) {
    let guarded = door.guard(router::router(app));
    let by_socket = async {
        match socket {
            Ok(socket) => door.serve_local(socket, guarded.clone(), told(stop.clone())).await,
            Err(error) => {
                warn!("commands such as `sandbar status` do not reach this host by its socket: {error}");
                told(stop.clone()).await;
            }
        }
    };
    let by_tcp = async {
        match listening {
            Some(listening) => door.serve(listening, guarded.clone(), told(stop.clone())).await,
            None => told(stop.clone()).await,
        }
    };
    tokio::join!(by_socket, by_tcp);
}

/// Keeps up what answers are made of, and tells other workers, for as long as the host runs.
pub async fn keep_up(app: App) -> Infallible {
    tokio::join!(
        lags::follow(app.clone()),
        router::follow_loggers(app.clone()),
        telling::tell(app.clone()),
        asking::answer(app)
    );
    // None of them ends by itself.
    std::future::pending().await
}

/// Comes when the host stops, or whoever could say so is gone.
async fn told(mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}
