//! Makes spans, or does nothing at all.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

use super::queue::Counts;
use super::traceparent::TraceContext;

/// The most spans that a span links to: as many as OpenTelemetry's specification has by default.
pub(super) const MAX_LINKS: usize = 128;
/// The most events of a span. Each may hold a message.
pub(super) const MAX_EVENTS: u32 = 32;
/// The longest message of a span, in bytes: enough to know it by, the log has the rest.
const MAX_MESSAGE_BYTES: usize = 256;

/// Makes spans. By default it is off, and makes none. Clones are the same.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    sdk: SdkTracer,
    counts: Arc<Counts>,
}

/// What a span begins with.
#[derive(Clone, Debug)]
pub struct Beginning<'a> {
    /// What it is to others.
    pub kind: SpanKind,
    /// The span it is a part of; nothing: it begins a trace.
    pub parent: Option<TraceContext>,
    /// The spans it comes of otherwise.
    pub links: &'a [TraceContext],
    /// When it began; nothing: now.
    pub since: Option<SystemTime>,
}

/// Something that takes time. It ends when it is dropped.
#[derive(Default)]
pub struct Span(Option<Box<SdkSpan>>);

impl Tracer {
    /// The most links that a span keeps.
    pub const MAX_LINKS: usize = MAX_LINKS;

    pub(super) fn new(sdk: SdkTracer, counts: Arc<Counts>) -> Self {
        Self(Some(Arc::new(Inner { sdk, counts })))
    }

    /// Whether it makes any spans.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The time, where a span may begin with it.
    #[must_use]
    pub fn now(&self) -> Option<SystemTime> {
        self.is_on().then(SystemTime::now)
    }

    /// How many spans were sent, and how many were dropped; nothing where it is off.
    #[must_use]
    pub fn counts(&self) -> Option<(u64, u64)> {
        let counts = &self.0.as_ref()?.counts;
        Some((counts.exported(), counts.dropped()))
    }

    /// Begins a span; one that is not recorded is none.
    pub fn begin(&self, name: impl FnOnce() -> String, beginning: Beginning<'_>) -> Span {
        let Some(inner) = &self.0 else { return Span(None) };
        let Beginning { kind, parent, links, since } = beginning;
        let links = links.iter().take(MAX_LINKS).map(|link| Link::with_context(link.into()));
        let mut builder = SpanBuilder::from_name(name()).with_kind(kind).with_links(links.collect());
        builder.start_time = since;
        let parent = match &parent {
            Some(parent) => Context::new().with_remote_span_context(parent.into()),
            None => Context::new(),
        };
        let span = inner.sdk.build_with_context(builder, &parent);
        Span(span.is_recording().then(|| Box::new(span)))
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.is_on()).finish()
    }
}

impl Span {
    /// Whether anybody will see it.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// As others know it.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|span| span.span_context().into())
    }

    /// Says something of it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Says that something happened.
    pub fn event<const N: usize>(&mut self, name: &'static str, attributes: [(&'static str, Value); N]) {
        if let Some(span) = &mut self.0 {
            span.add_event(name, attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect());
        }
    }

    /// Says that it failed, by which sort of failure, and why.
    pub fn fail(&mut self, class: &'static str, why: &dyn fmt::Display) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", class));
            span.set_status(Status::error(short(why)));
        }
    }
}

/// A message as spans have it: its beginning.
#[must_use]
pub fn short(why: &dyn fmt::Display) -> String {
    let mut text = why.to_string();
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    text
}

impl From<&TraceContext> for SpanContext {
    fn from(context: &TraceContext) -> Self {
        let TraceContext { trace, span, flags, is_remote } = *context;
        let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
        Self::new(trace, span, TraceFlags::new(flags), is_remote, TraceState::NONE)
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace: context.trace_id().to_bytes(),
            span: context.span_id().to_bytes(),
            flags: context.trace_flags().to_u8(),
            is_remote: context.is_remote(),
        }
    }
}
