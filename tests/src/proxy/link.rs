//! One connection through the proxy: both directions, until either end closes it or the mode says so.

use std::io;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Mode, Shared};

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// Makes the end of a connection sudden: what is under way is thrown away, and the other side is told so.
pub(super) fn reset(stream: &TcpStream) {
    // One that is closed already needs no reset.
    let _ = stream.set_zero_linger();
}

/// Passes bytes on in both directions until the connection ends.
pub(super) async fn run(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let is_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut cut = shared.mode.subscribe();
        tokio::select! {
            biased;
            _ = cut.wait_for(|mode| *mode == Mode::Cut) => true,
            _ = pass(from_client, to_server, shared) => false,
            _ = pass(from_server, to_client, shared) => false,
        }
    };
    if is_cut || *shared.mode.borrow() != Mode::Pass {
        reset(&client);
        reset(&server);
    }
}

/// Passes the bytes of one direction on, until there are no more or one was swallowed that should not have been.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let mut mode = shared.mode.subscribe();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        let now = *mode.borrow_and_update();
        match now {
            Mode::Pass => to.write_all(&chunk[..count]).await?,
            Mode::Delay(by) => {
                sleep(by).await;
                to.write_all(&chunk[..count]).await?;
            }
            Mode::CutAfter(_) => {
                let allowed = shared.left.fetch_sub(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
                let allowed = usize::try_from(allowed).unwrap_or(0).min(count);
                to.write_all(&chunk[..allowed]).await?;
                to.flush().await?;
                if allowed < count {
                    shared.mode.send_replace(Mode::Cut);
                    return Ok(());
                }
            }
            Mode::Swallow => return swallow(from, &mut mode).await,
            Mode::Cut => return Ok(()),
        }
    }
}

/// Reads on and throws away, until the mode is another. The stream has a hole then, so it has to end.
async fn swallow(mut from: impl AsyncRead + Unpin, mode: &mut watch::Receiver<Mode>) -> io::Result<()> {
    let mut sink = tokio::io::sink();
    let end = async {
        // The end of the stream is swallowed, too.
        let _ = tokio::io::copy(&mut from, &mut sink).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = mode.wait_for(|mode| *mode != Mode::Swallow) => {}
        () = end => {}
    }
    Err(io::Error::from(io::ErrorKind::ConnectionReset))
}
