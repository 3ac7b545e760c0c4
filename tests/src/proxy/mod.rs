//! A network that misbehaves on demand: a proxy on the loopback between a host and its broker. It passes bytes on, cuts
//! connections, swallows what it is given, is slow, or breaks off in the middle of a message.

mod link;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Pass,
    /// All connections are reset, and new ones as soon as they are made.
    Cut,
    /// Nothing comes through in either direction, and nobody is told; connections stay open, new ones are accepted. What
    /// was swallowed is gone, so such a connection is reset when the mode ends.
    Swallow,
    /// They pass, each read of them so much later.
    Delay(Duration),
    /// So many bytes pass, both directions together; the next one resets its connection, and the mode becomes `Cut`.
    CutAfter(u32),
}

/// A proxy. It ends when it is dropped, and all its connections with it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepts: JoinHandle<()>,
}

/// What the connections of a proxy share.
struct Shared {
    mode: watch::Sender<Mode>,
    /// How many bytes may pass yet in `CutAfter`.
    left: AtomicI64,
}

impl Proxy {
    /// Starts one on a free port. Nobody need listen yet where it leads to.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { mode: watch::Sender::new(Mode::Pass), left: AtomicI64::new(0) });
        let accepts = tokio::spawn(accept(listener, upstream, Arc::clone(&shared)));
        Ok(Self { address, shared, accepts })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does something else with the bytes from now on.
    pub fn set(&self, mode: Mode) {
        if let Mode::CutAfter(bytes) = mode {
            self.shared.left.store(i64::from(bytes), Ordering::Relaxed);
        }
        self.shared.mode.send_replace(mode);
    }

    /// What it does now: `CutAfter` becomes `Cut` by itself.
    #[must_use]
    pub fn mode(&self) -> Mode {
        *self.shared.mode.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.mode.send_replace(Mode::Cut);
        self.accepts.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, shared: Arc<Shared>) {
    // A connection that cannot be accepted is one that was cut.
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            match TcpStream::connect(upstream).await {
                Ok(server) => link::run(client, server, &shared).await,
                Err(_) => link::reset(&client),
            }
        });
    }
}
