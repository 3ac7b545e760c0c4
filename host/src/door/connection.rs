//! One connection, from its first byte to its last: HTTP/1.1, within bounds of time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::caller::Visit;
use super::guard::Guarded;
use super::options::ListenOptions;
use super::stall::Impatient;

/// The largest head of a request, in bytes: several times a token and a path with two names.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long to listen after the last answer to a client that still sends: else what it has not read is lost to it. It is
/// time for a plugin that is too large to arrive.
const LINGER: Duration = Duration::from_secs(10);
/// The same without a byte of it, and of a request's connection once the host stops: a client that sends does so several
/// times a second.
const LINGER_GAP: Duration = Duration::from_secs(2);

/// Answers what comes over a connection, until either end has enough. When the host stops, what was begun is finished.
pub(super) async fn serve<S>(stream: S, visit: Visit, routes: Guarded, options: &ListenOptions)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (peer, mut stopped) = (visit.peer, visit.stopped.clone());
    let begun = Arc::new(AtomicBool::new(false));
    let routes = TowerToHyperService::new(routes.0);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        begun.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(visit.clone());
        Box::pin(routes.call(request)) as Answer
    });
    let stream = TokioIo::new(Impatient::new(stream, options.write_timeout));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // It begins to run with the end of the answer before.
        .header_read_timeout(options.idle_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(stream, service);
    let mut head = pin!(sleep(options.head_timeout));
    let (mut is_stopping, mut is_first) = (false, true);
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = &mut head, if is_first => {
                if !begun.load(Ordering::Relaxed) {
                    debug!(%peer, "a connection without a request was closed");
                    return;
                }
                is_first = false;
            }
            _ = stopped.changed(), if !is_stopping => {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
                // Between two requests there is no answer that the other end might not have read.
                if poll_fn(|cx| connection.poll_without_shutdown(cx)).now_or_never().is_some() {
                    let mut stream = connection.into_parts().io.into_inner();
                    let _ = timeout(LINGER_GAP, stream.shutdown()).await;
                    return;
                }
            }
        }
    };
    match ended {
        Ok(()) => {
            let stops = async {
                if !is_stopping {
                    // There is a host for as long as there is a connection.
                    let _ = stopped.changed().await;
                }
                sleep(LINGER_GAP).await;
            };
            tokio::select! {
                () = linger(connection.into_parts().io.into_inner()) => {}
                () = stops => {}
            }
        }
        Err(error) => debug!(%peer, %error, "a connection ended"),
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Says that nothing more comes, and hears the other end out. A system that closes a connection on which there is
/// something unread tells the other end to forget what it has not read yet.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut unread = [0; 4096];
    let heard_out = async {
        timeout(LINGER_GAP, stream.shutdown()).await??;
        while timeout(LINGER_GAP, stream.read(&mut unread)).await?? > 0 {}
        std::io::Result::Ok(())
    };
    // Whatever becomes of it, the connection ends.
    let _ = timeout(LINGER, heard_out).await;
}

/// Sends an answer that no request was read for.
pub(super) async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    if stream.write_all(answer.as_bytes()).await.is_ok() {
        linger(stream).await;
    }
}
