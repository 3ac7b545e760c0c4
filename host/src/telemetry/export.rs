//! Sends spans to a collector by OTLP over HTTP, beside everything else: what it cannot send it drops, and says so once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanLimits};
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::queue::{Counts, queue};
use super::sampling::Sampling;
use super::tracer::{MAX_EVENTS, MAX_LINKS, Tracer};

/// What is sent at once, in spans: as many as OpenTelemetry's own processor sends.
const BATCH: usize = 512;
/// How long spans wait for others to be sent with: soon enough to look at, rare enough to cost nothing.
const COLLECT_FOR: Duration = Duration::from_secs(1);
/// The pauses between the tries of a batch. A collector that was restarted is back within them.
pub(super) const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// The most attributes of a span, an event or a link: as many as OpenTelemetry's specification has by default, which is
/// several times as many as there are.
const MAX_ATTRIBUTES: u32 = 128;
/// How long the host, when it stops, waits for what is left to be sent.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// What is said of the host beside each span, and which spans there are.
#[derive(Clone, Debug)]
pub struct Options {
    /// `service.name`; nothing: what the environment says, or `sandbar`.
    pub service_name: Option<String>,
    /// `service.instance.id`.
    pub instance: String,
    /// Which traces are recorded.
    pub sampling: Sampling,
}

/// Takes what is sent.
#[async_trait]
pub trait Collector: Send + Sync + 'static {
    /// Where it is, for people.
    fn describe(&self) -> String;

    /// Sends a request in protobuf. Returns the status and the body of the answer, or why there is none.
    async fn send(&self, request: Bytes) -> Result<(u16, Bytes), String>;
}

/// Spans on their way, while the host runs.
pub struct Exporting {
    stop: watch::Sender<bool>,
    run: JoinHandle<()>,
}

/// Makes a tracer whose spans are sent to a collector.
pub fn start(options: &Options, collector: impl Collector) -> (Tracer, Exporting) {
    let counts = Arc::<Counts>::default();
    let (queue, spans) = queue(Arc::clone(&counts));
    let resource = resource(options);
    let attributes = ResourceAttributesWithSchema::from(&resource);
    // All of them: those that are not given are read from the environment.
    let limits = SpanLimits {
        max_events_per_span: MAX_EVENTS,
        max_attributes_per_span: MAX_ATTRIBUTES,
        max_links_per_span: u32::try_from(MAX_LINKS).unwrap_or(u32::MAX),
        max_attributes_per_event: MAX_ATTRIBUTES,
        max_attributes_per_link: MAX_ATTRIBUTES,
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(queue)
        .with_sampler(options.sampling)
        .with_span_limits(limits)
        .with_resource(resource)
        .build();
    let (stop, stopping) = watch::channel(false);
    let sender = Sender {
        spans,
        attributes,
        collector: Box::new(collector),
        counts: Arc::clone(&counts),
        stopping,
        trouble: None,
        known_dropped: 0,
    };
    let run = tokio::spawn(sender.run());
    (Tracer::new(provider.tracer("sandbar"), counts), Exporting { stop, run })
}

impl Exporting {
    /// Sends what is left, but takes no longer than a host that stops may.
    pub async fn finish(self) {
        self.stop.send_replace(true);
        let abort = self.run.abort_handle();
        if timeout(FINISH_WITHIN, self.run).await.is_err() {
            debug!("the collector did not take the last spans in time");
            abort.abort();
        }
    }
}

fn resource(options: &Options) -> Resource {
    let own = [
        KeyValue::new("service.name", "sandbar"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", options.instance.clone()),
    ];
    let resource = Resource::builder_empty().with_attributes(own);
    let resource = resource.with_detector(Box::new(EnvResourceDetector::new()));
    match &options.service_name {
        Some(name) => resource.with_service_name(name.clone()).build(),
        None => resource.build(),
    }
}

struct Sender {
    spans: mpsc::Receiver<SpanData>,
    attributes: ResourceAttributesWithSchema,
    collector: Box<dyn Collector>,
    counts: Arc<Counts>,
    stopping: watch::Receiver<bool>,
    /// Why spans are lost, once that was told.
    trouble: Option<String>,
    /// How many were lost when it was last looked.
    known_dropped: u64,
}

/// Why a batch did not arrive.
struct Refused {
    why: String,
    /// Whether it may arrive later.
    may_recover: bool,
}

impl Sender {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let mut stopping = self.stopping.clone();
            tokio::select! {
                biased;
                // Without its sender nobody waits for the end of it.
                _ = stopping.wait_for(|stop| *stop) => break,
                received = self.spans.recv_many(&mut batch, BATCH) => if received == 0 { return },
            }
            let collect = async {
                while batch.len() < BATCH {
                    let room = BATCH - batch.len();
                    if self.spans.recv_many(&mut batch, room).await == 0 {
                        break;
                    }
                }
            };
            tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => {}
                _ = timeout(COLLECT_FOR, collect) => {}
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        while let Ok(span) = self.spans.try_recv() {
            batch.push(span);
            while batch.len() < BATCH
                && let Ok(more) = self.spans.try_recv()
            {
                batch.push(more);
            }
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    /// Sends a batch, or drops it.
    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.attributes);
        let request = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        match self.try_to_send(request).await {
            Ok(rejected) => {
                let rejected = rejected.min(spans);
                self.counts.add_exported(spans - rejected);
                self.counts.add_dropped(rejected);
                self.look_for_drops();
            }
            Err(why) => {
                self.counts.add_dropped(spans);
                self.tell(why);
            }
        }
    }

    /// Tries again where that may help; not while the host stops, nor where the batch before was given up.
    async fn try_to_send(&mut self, request: Bytes) -> Result<usize, String> {
        let mut pauses = PAUSES.iter();
        loop {
            let Refused { why, may_recover } = match self.try_once(request.clone()).await {
                Ok(rejected) => return Ok(rejected),
                Err(refused) => refused,
            };
            let is_told = self.trouble.is_some() || *self.stopping.borrow();
            let pause = pauses.next().filter(|_| may_recover && !is_told);
            let Some(pause) = pause else { return Err(why) };
            debug!(collector = self.collector.describe(), why, "spans did not arrive, trying again");
            let mut stopping = self.stopping.clone();
            tokio::select! {
                () = sleep(*pause) => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Sends once. Returns how many spans the collector did not want.
    async fn try_once(&self, request: Bytes) -> Result<usize, Refused> {
        let sent = self.collector.send(request).await;
        let (status, body) = sent.map_err(|why| Refused { why, may_recover: true })?;
        if !(200..300).contains(&status) {
            let why = format!("it answers with status {status}");
            return Err(Refused { why, may_recover: matches!(status, 429 | 502 | 503 | 504) });
        }
        // An answer that cannot be read says nothing against the spans.
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or(0))
    }

    /// The collector took a batch: whether spans were lost all the same since the last one.
    fn look_for_drops(&mut self) {
        let dropped = self.counts.dropped();
        if dropped > self.known_dropped {
            self.tell("there are more than it takes, or it rejects some".to_owned());
        } else if self.trouble.take().is_some() {
            info!(collector = self.collector.describe(), dropped, "the collector takes all spans again");
        }
        self.known_dropped = dropped;
    }

    fn tell(&mut self, why: String) {
        self.known_dropped = self.counts.dropped();
        if self.trouble.is_none() {
            let (collector, dropped) = (self.collector.describe(), self.known_dropped);
            warn!(
                collector,
                why, dropped, "spans are dropped, the collector does not take them; records are not affected"
            );
        }
        self.trouble = Some(why);
    }
}
