//! Turns what a guest prints into log lines, cut to a length and counted against its quota.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use sandbar_abi::names::MAX_TEXT_BYTES;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::log::GuestLog;

/// Bytes a guest may print in one go.
const WRITE_PERMIT: usize = 64 << 10;

/// One of a guest's two output streams.
#[derive(Clone)]
pub(super) struct GuestOutput(Arc<Mutex<Lines>>);

struct Lines {
    log: GuestLog,
    level: i32,
    partial: Vec<u8>,
}

impl GuestOutput {
    /// A stream whose lines are logged at a level.
    pub(super) fn new(log: GuestLog, level: i32) -> Self {
        Self(Arc::new(Mutex::new(Lines { log, level, partial: Vec::new() })))
    }

    fn print(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).print(bytes, Instant::now());
    }
}

impl Lines {
    fn print(&mut self, bytes: &[u8], now: Instant) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (line, ended) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let room = MAX_TEXT_BYTES - self.partial.len();
            self.partial.extend_from_slice(&line[..line.len().min(room)]);
            if ended && !self.partial.is_empty() {
                self.log.line(self.level, &self.partial, now);
                self.partial.clear();
            }
        }
    }
}

/// What was printed last is a line even if nothing ended it: often enough it says why the instance ended.
impl Drop for Lines {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            self.log.line(self.level, &self.partial, Instant::now());
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}
