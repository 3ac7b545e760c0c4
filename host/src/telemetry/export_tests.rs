//! What is sent when, to a collector that does as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::SpanKind;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::export::{Collector, Exporting, Options, PAUSES, start};
use super::sampling::Sampling;
use super::traceparent::TraceContext;
use super::tracer::{Beginning, Tracer};

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
    let (_, module) = module_path!().split_once("::").unwrap();
    let name = format!("{module}::what_a_span_holds_is_not_bounded_by_the_environment");
    const VARIABLES: [&str; 3] =
        ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"];
    if VARIABLES.iter().any(|name| std::env::var_os(name).is_none()) {
        // The environment is that of all tests of a process: this one runs once more in one of its own.
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let alone = alone.args([name.as_str(), "--exact"]).envs(VARIABLES.map(|name| (name, "1"))).output().unwrap();
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
