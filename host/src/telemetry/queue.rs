//! Where spans go that have ended: a bounded queue, which drops what it has no room for and never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

/// Spans that wait to be sent: as many as OpenTelemetry's own processor keeps. At some 20 KiB a span with all its links and
/// events that is 40 MiB; most have 1 KiB.
const MAX_WAITING: usize = 2_048;

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    pub(super) fn add_exported(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub(super) fn add_dropped(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub(super) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    to: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
}

/// A queue, and its other end.
pub(super) fn queue(counts: Arc<Counts>) -> (Queue, mpsc::Receiver<SpanData>) {
    let (to, from) = mpsc::channel(MAX_WAITING);
    (Queue { to, counts }, from)
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.to.try_send(span).is_err() {
            self.counts.add_dropped(1);
        }
    }

    /// Whoever holds the other end does that.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
