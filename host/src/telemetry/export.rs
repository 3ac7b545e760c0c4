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
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
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

#[cfg(test)]
mod tests {
    //! What is sent when, to a collector that does as it is told.

    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use opentelemetry::trace::SpanKind;

    use super::super::traceparent::TraceContext;
    use super::super::tracer::Beginning;
    use super::*;

    /// Answers with these statuses, one after the other, and the last of them for ever.
    #[derive(Clone)]
    struct Scripted {
        statuses: &'static [u16],
        asked: Arc<AtomicUsize>,
        taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    }

    impl Scripted {
        fn new(statuses: &'static [u16]) -> Self {
            Self { statuses, asked: Arc::default(), taken: Arc::default() }
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }

        fn names(&self) -> Vec<String> {
            let taken = self.taken.lock().unwrap();
            let scopes = taken.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
            scopes.flat_map(|scope| &scope.spans).map(|span| span.name.clone()).collect()
        }
    }

    #[async_trait]
    impl Collector for Scripted {
        fn describe(&self) -> String {
            "the test".to_owned()
        }

        async fn send(&self, request: Bytes) -> Result<(u16, Bytes), String> {
            let nth = self.asked.fetch_add(1, Ordering::Relaxed);
            let status = self.statuses[nth.min(self.statuses.len() - 1)];
            if status == 0 {
                return Err("nobody is there".to_owned());
            }
            if status == 200 {
                self.taken.lock().unwrap().push(ExportTraceServiceRequest::decode(request).unwrap());
            }
            Ok((status, Bytes::new()))
        }
    }

    fn begin(tracer: &Tracer, name: &str) {
        let beginning = Beginning { kind: SpanKind::Internal, parent: None, links: &[], since: None };
        drop(tracer.begin(|| name.to_owned(), beginning));
    }

    fn started(collector: &Scripted) -> (Tracer, Exporting) {
        let sampling = Sampling { ratio: 1.0, follows: true };
        start(&Options { service_name: None, instance: "w".to_owned(), sampling }, collector.clone())
    }

    async fn until(tracer: &Tracer, counts: (u64, u64)) {
        while tracer.counts() != Some(counts) {
            tokio::time::advance(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn spans_are_sent_together_and_what_is_left_at_the_end() {
        let collector = Scripted::new(&[200]);
        let (tracer, exporting) = started(&collector);
        begin(&tracer, "a");
        begin(&tracer, "b");
        until(&tracer, (2, 0)).await;
        assert_eq!((collector.asked(), collector.names()), (1, vec!["a".to_owned(), "b".to_owned()]));
        begin(&tracer, "c");
        exporting.finish().await;
        assert_eq!(collector.names(), ["a", "b", "c"]);
        assert_eq!(tracer.counts(), Some((3, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_comes_back_soon_misses_nothing() {
        let collector = Scripted::new(&[0, 503, 200]);
        let (tracer, exporting) = started(&collector);
        begin(&tracer, "a");
        until(&tracer, (1, 0)).await;
        assert_eq!(collector.names(), ["a"]);
        exporting.finish().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_is_away_costs_the_spans_and_no_more_tries() {
        let collector = Scripted::new(&[0]);
        let (tracer, exporting) = started(&collector);
        begin(&tracer, "a");
        until(&tracer, (0, 1)).await;
        assert_eq!(collector.asked(), 1 + PAUSES.len());
        begin(&tracer, "b");
        until(&tracer, (0, 2)).await;
        assert_eq!(collector.asked(), 2 + PAUSES.len());
        exporting.finish().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_not_sent_again() {
        let collector = Scripted::new(&[401, 200]);
        let (tracer, exporting) = started(&collector);
        begin(&tracer, "a");
        until(&tracer, (0, 1)).await;
        assert_eq!(collector.asked(), 1);
        begin(&tracer, "b");
        until(&tracer, (1, 1)).await;
        exporting.finish().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_drops_and_does_not_wait() {
        let collector = Scripted::new(&[200]);
        let (tracer, exporting) = started(&collector);
        // The other end has no turn in between: there is one thread.
        (0..3_000).for_each(|_| begin(&tracer, "a"));
        assert_eq!(tracer.counts(), Some((0, 3_000 - 2_048)));
        exporting.finish().await;
        assert_eq!(tracer.counts(), Some((2_048, 3_000 - 2_048)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_span_holds_is_not_bounded_by_the_environment() {
        const NAME: &str = "telemetry::export::tests::what_a_span_holds_is_not_bounded_by_the_environment";
        const VARIABLES: [&str; 3] =
            ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"];
        if VARIABLES.iter().any(|name| std::env::var_os(name).is_none()) {
            // The environment is that of all tests of a process: this one runs once more in one of its own.
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let alone = alone.args([NAME, "--exact"]).envs(VARIABLES.map(|name| (name, "1"))).output().unwrap();
            let told = String::from_utf8_lossy(&alone.stdout);
            assert!(alone.status.success() && told.contains("1 passed"), "{told}");
            return;
        }
        let collector = Scripted::new(&[200]);
        let (tracer, exporting) = started(&collector);
        let link = |span| TraceContext { trace: [7; 16], span: [span; 8], flags: 1, is_remote: true };
        let links = [link(1), link(2)];
        let beginning = Beginning { kind: SpanKind::Internal, parent: None, links: &links, since: None };
        let mut span = tracer.begin(|| "a".to_owned(), beginning);
        for key in ["one", "two", "three"] {
            span.set(key, 1_i64);
            span.event(key, []);
        }
        drop(span);
        exporting.finish().await;
        let taken = collector.taken.lock().unwrap();
        let span = &taken[0].resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.attributes.len(), span.events.len(), span.links.len()), (3, 3, 2));
    }

    #[test]
    fn one_that_is_off_makes_no_spans() {
        let tracer = Tracer::default();
        let beginning = Beginning { kind: SpanKind::Internal, parent: None, links: &[], since: None };
        let span = tracer.begin(|| panic!("nobody asks for its name"), beginning);
        assert!(!span.is_recorded() && span.context().is_none());
        assert_eq!((tracer.now(), tracer.counts()), (None, None));
    }
}
