//! A collector that takes OTLP over HTTP and keeps what it got.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use sandbar_tests::http_server::{Authority, HttpServer, Reply};
use sandbar_tests::wait::{Seen, WITHIN, until};

/// See the module.
pub struct Collector {
    server: HttpServer,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    /// Listens without encryption.
    pub async fn start() -> Result<Self> {
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let server = HttpServer::start(keep(&requests)).await?;
        Ok(Self { server, requests })
    }

    /// Listens with a certificate of this authority.
    pub async fn start_tls(authority: &Authority) -> Result<Self> {
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let server = HttpServer::start_tls(authority, &["127.0.0.1"], keep(&requests)).await?;
        Ok(Self { server, requests })
    }

    /// The server.
    pub fn server(&self) -> &HttpServer {
        &self.server
    }

    /// What was said of the worker with the first request.
    pub fn resource(&self) -> Result<Vec<KeyValue>> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let first = requests.first().and_then(|request| request.resource_spans.first());
        Ok(first.and_then(|spans| spans.resource.clone()).context("a resource")?.attributes)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let scopes = requests.iter().flat_map(|request| &request.resource_spans).flat_map(|spans| &spans.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Waits until there is a span as wanted.
    pub async fn wait(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Result<Span> {
        until(what, WITHIN, async || {
            let spans = self.spans();
            Ok(match spans.iter().find(|span| wanted(span)) {
                Some(span) => Seen::Done(span.clone()),
                None => Seen::NotYet(format!("{:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>())),
            })
        })
        .await
    }
}

fn keep(
    requests: &Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
) -> impl Fn(&sandbar_tests::http_server::Asked) -> Reply + Send + Sync + 'static {
    let requests = Arc::clone(requests);
    move |asked| {
        let is_right = asked.method == "POST" && asked.path == "/v1/traces";
        if !is_right || asked.header("content-type") != Some("application/x-protobuf") {
            return Reply::status(404);
        }
        let Ok(request) = ExportTraceServiceRequest::decode(asked.body.clone()) else { return Reply::status(400) };
        requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        Reply::status(200)
    }
}

/// An attribute, as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// Whether a span is a part of another.
pub fn is_within(span: &Span, parent: &Span) -> bool {
    span.trace_id == parent.trace_id && span.parent_span_id == parent.span_id
}

/// Whether a span comes of another: as a part of it, or by a link.
pub fn comes_of(span: &Span, origin: &Span) -> bool {
    let links_to = |link: &opentelemetry_proto::tonic::trace::v1::span::Link| {
        link.trace_id == origin.trace_id && link.span_id == origin.span_id
    };
    is_within(span, origin) || span.links.iter().any(links_to)
}

/// The header `traceparent` of the records that a span made.
pub fn traceparent(span: &Span) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}
