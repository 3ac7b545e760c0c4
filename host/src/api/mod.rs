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

use std::future::pending;

use tracing::warn;

use crate::door::{Door, Listening};

/// Answers until it is dropped. Where there is no socket the host runs all the same, and says that no command reaches it.
pub async fn serve(app: App, door: Door, socket: Result<Socket, SocketError>, listening: Option<Listening>) {
    let guarded = door.guard(router::router(app.clone()));
    let by_socket = async {
        match socket {
            Ok(socket) => door.serve_local(socket, guarded.clone(), pending()).await,
            Err(error) => {
                warn!("commands such as `sandbar status` do not reach this host by its socket: {error}");
            }
        }
    };
    let by_tcp = async {
        if let Some(listening) = listening {
            door.serve(listening, guarded.clone(), pending()).await;
        }
    };
    let beside = async {
        tokio::join!(
            lags::follow(app.clone()),
            router::follow_loggers(app.clone()),
            telling::tell(app.clone()),
            asking::answer(app)
        );
    };
    tokio::join!(by_socket, by_tcp, beside);
}
