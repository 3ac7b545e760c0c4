//! Spans of what tasks do, and their way to a collector: the only module that names OpenTelemetry.
//!
//! A [`Tracer`] makes [`Span`]s. The one that every task has by default makes none: it reads no clock and allocates
//! nothing. One that is on puts spans that have ended into a bounded queue and never waits; a task of its own,
//! [`Exporting`], sends them by OTLP. What is traced, and what spans are called, is not known here.

mod export;
#[cfg(test)]
mod export_tests;
mod over_http;
mod queue;
mod sampling;
mod traceparent;
mod tracer;

pub use export::{Collector, Exporting, Options, start};
pub use opentelemetry::trace::SpanKind;
pub use sampling::Sampling;
pub use traceparent::{TRACEPARENT, TRACESTATE, TraceContext};
pub use tracer::{Beginning, Span, Tracer, short};
