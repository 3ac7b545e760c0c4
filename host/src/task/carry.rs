//! The header `traceparent` of records: which spans a batch comes of, that none loses it on its way through a plugin,
//! and that it costs no record its delivery.

use sandbar_abi::frame::Headers;
use sandbar_abi::{FrameBuilder, Record};

use crate::batch::{Batch, Copier};
use crate::telemetry::{TRACEPARENT, TRACESTATE, TraceContext, Tracer};

/// How much of the header says which trace it is of, in bytes: the version, the trace, and a dash after each.
const TRACE_LEN: usize = 36;

/// The spans that the records of a batch come of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Origins {
    /// Each once, in the order of the records, and no more than a span may link to.
    pub(super) contexts: Vec<TraceContext>,
    /// The one that all records come of, where it is one.
    pub(super) only: Option<TraceContext>,
}

/// The spans that the records of a batch come of. A header that is not one is as none.
pub(super) fn origins(batch: &Batch) -> Origins {
    let mut contexts: Vec<TraceContext> = Vec::new();
    let mut all_have = true;
    for record in batch.frame().records() {
        match value(&record, TRACEPARENT).and_then(TraceContext::parse) {
            // Neighbours mostly come of one span.
            Some(context) if contexts.last() == Some(&context) || contexts.contains(&context) => {}
            Some(context) if contexts.len() < Tracer::MAX_LINKS => contexts.push(context),
            Some(_) => break,
            None => all_have = false,
        }
    }
    let only = match contexts.as_slice() {
        [only] if all_have => Some(*only),
        _ => None,
    };
    Origins { contexts, only }
}

/// The same records; those without the header get that of the record they come of, where it has one. `tracestate` goes
/// with it.
pub(super) fn inherit(batch: Batch, input: &Batch) -> Batch {
    let input = input.frame();
    let origin = |record: &Record<'_>| {
        let origin = record.input.and_then(|index| input.record(index as usize))?;
        Some((value(&origin, TRACEPARENT)?, value(&origin, TRACESTATE)))
    };
    add(batch, origin)
}

/// The same records; those without the header get this.
pub(super) fn mark(batch: Batch, context: &TraceContext) -> Batch {
    let header = context.to_string();
    add(batch, |_| Some((header.as_bytes(), None)))
}

/// Adds what `origin` says of records without the header. A batch that would not fit a frame any more goes as it is: a trace
/// is worth less than a record.
fn add<'h>(batch: Batch, origin: impl Fn(&Record<'_>) -> Option<(&'h [u8], Option<&'h [u8]>)>) -> Batch {
    let missing = |record: &Record<'_>| if has(record, TRACEPARENT) { None } else { origin(record) };
    if !batch.frame().records().any(|record| missing(&record).is_some()) {
        return batch;
    }
    let mut builder = FrameBuilder::new();
    let mut copier = Copier::default();
    for record in batch.frame().records() {
        let mut copy = copier.copy(&mut builder, &record, record.input);
        if let Some((parent, state)) = missing(&record) {
            copy.header(TRACEPARENT, Some(parent));
            if let Some(state) = state.filter(|_| !has(&record, TRACESTATE)) {
                copy.header(TRACESTATE, Some(state));
            }
        }
    }
    Batch::build(&builder).unwrap_or(batch)
}

/// Where the headers of its trace come from that a record can do without.
#[derive(Clone, Copy)]
pub(super) enum Given<'b> {
    /// From [`mark`], for the poll that this span belongs to. Its trace began after the plugin had returned its
    /// records: no header that a plugin set is of it.
    Poll(TraceContext),
    /// From the record of this batch that it was made from. Whether [`inherit`] put a header there or the plugin kept
    /// it cannot be told apart.
    Input(&'b Batch),
    /// From wherever.
    Anywhere,
}

/// The same records, of which one has lost the headers of its trace that it was given; `None`: it was given none.
pub(super) fn without(batch: &Batch, index: usize, given: Given<'_>) -> Option<Batch> {
    let frame = batch.frame();
    let record = frame.record(index)?;
    let origin = match given {
        Given::Input(input) => input.frame().record(record.input? as usize),
        Given::Poll(_) | Given::Anywhere => None,
    };
    let is_given = |header: &str| match given {
        Given::Poll(span) => header == TRACEPARENT && value(&record, header).is_some_and(|own| is_of(own, &span)),
        Given::Input(_) => {
            let own = value(&record, header);
            own.is_some() && origin.is_some_and(|origin| value(&origin, header) == own)
        }
        Given::Anywhere => has(&record, header),
    };
    if !is_given(TRACEPARENT) {
        return None;
    }
    let loses_state = is_given(TRACESTATE);
    let mut builder = FrameBuilder::new();
    let mut copier = Copier::default();
    for (place, record) in frame.records().enumerate() {
        if place != index {
            copier.copy(&mut builder, &record, record.input);
            continue;
        }
        let bare = Record { headers: Headers::NONE, ..record };
        let mut copy = copier.copy(&mut builder, &bare, record.input);
        for (name, value) in record.headers {
            if name != TRACEPARENT && !(loses_state && name == TRACESTATE) {
                copy.header(name, value);
            }
        }
    }
    Batch::build(&builder).ok()
}

/// Whether a header is of a span's trace.
fn is_of(header: &[u8], span: &TraceContext) -> bool {
    span.to_string().as_bytes().get(..TRACE_LEN).is_some_and(|trace| header.starts_with(trace))
}

fn has(record: &Record<'_>, header: &str) -> bool {
    let mut headers = record.headers;
    headers.any(|(name, _)| name == header)
}

fn value<'a>(record: &Record<'a>, header: &str) -> Option<&'a [u8]> {
    let mut headers = record.headers;
    headers.find(|(name, _)| *name == header).and_then(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(span: usize) -> String {
        format!("00-0af7651916cd43dd8448eb211c80319c-{:016x}-01", span + 1)
    }

    /// Records with these headers `traceparent`.
    fn batch<'h>(headers: impl IntoIterator<Item = Option<&'h str>>) -> Batch {
        let mut frame = FrameBuilder::new();
        for (index, header) in (0..).zip(headers) {
            let mut record = frame.record(None, Some(b"value"));
            record.input(index).header("other", None);
            if let Some(header) = header {
                record.header(TRACEPARENT, Some(header.as_bytes()));
            }
        }
        Batch::build(&frame).unwrap()
    }

    fn headers(batch: &Batch) -> Vec<Option<String>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        batch.frame().records().map(|record| value(&record, TRACEPARENT).map(text)).collect()
    }

    #[test]
    fn each_span_counts_once() {
        let (a, b) = (header(1), header(2));
        let found = origins(&batch([Some(a.as_str()), Some(&b), None, Some(&a), Some("nonsense")]));
        assert_eq!(found.contexts, [&a, &b].map(|header| TraceContext::parse(header.as_bytes()).unwrap()));
        assert_eq!(found.only, None);
        assert_eq!(origins(&batch([None, None])), Origins::default());
    }

    #[test]
    fn only_what_all_records_come_of_is_continued() {
        let a = header(1);
        let context = TraceContext::parse(a.as_bytes());
        assert_eq!(origins(&batch([Some(a.as_str()), Some(&a)])).only, context);
        assert_eq!(origins(&batch([Some(a.as_str()), None])).only, None);
    }

    #[test]
    fn the_number_of_spans_is_bounded() {
        let all: Vec<_> = (0..Tracer::MAX_LINKS + 10).map(header).collect();
        let found = origins(&batch(all.iter().map(|header| Some(header.as_str()))));
        assert_eq!((found.contexts.len(), found.only), (Tracer::MAX_LINKS, None));
    }

    #[test]
    fn outputs_get_what_their_input_has_and_keep_their_own() {
        let (a, b, own) = (header(1), header(2), header(3));
        let input = batch([Some(a.as_str()), None, Some(&b)]);
        let output = inherit(batch([None, None, Some(own.as_str())]), &input);
        assert_eq!(headers(&output), [Some(a.clone()), None, Some(own.clone())]);
        let first = output.frame().record(0).unwrap();
        assert_eq!((first.value, first.input), (Some(&b"value"[..]), Some(0)));
        assert!(has(&first, "other"));
        // What has nothing to gain is not copied.
        let same = batch([Some(own.as_str())]);
        assert_eq!(inherit(same.clone(), &input).bytes().as_ptr(), same.bytes().as_ptr());
    }

    #[test]
    fn a_record_loses_the_mark_of_its_poll_and_nothing_else() {
        let other = header(3).replace("0af7", "1bf7");
        let context = |span| TraceContext::parse(header(span).as_bytes()).unwrap();
        let marked = mark(batch([None, Some(other.as_str()), None]), &context(1));
        // What is sent is another span of the same trace.
        let poll = Given::Poll(context(2));
        let bare = without(&marked, 0, poll).unwrap();
        assert_eq!(headers(&bare), [None, Some(other), Some(header(1))]);
        let first = bare.frame().record(0).unwrap();
        assert_eq!((first.value, first.input), (Some(&b"value"[..]), Some(0)));
        assert!(has(&first, "other"));
        assert!(without(&bare, 0, poll).is_none(), "it has none any more");
        assert!(without(&marked, 1, poll).is_none(), "it has its own");
        assert!(without(&marked, 3, poll).is_none(), "there is no such record");
    }

    #[test]
    fn a_record_loses_what_it_has_of_the_one_it_was_made_from() {
        let (parent, own) = (header(1), header(2));
        let mut frame = FrameBuilder::new();
        for _ in 0..2 {
            let mut record = frame.record(None, None);
            record.header(TRACEPARENT, Some(parent.as_bytes())).header(TRACESTATE, Some(b"vendor=1"));
        }
        let input = Batch::build(&frame).unwrap();
        let output = inherit(batch([None, Some(own.as_str())]), &input);
        assert!(has(&output.frame().record(0).unwrap(), TRACESTATE));
        let bare = without(&output, 0, Given::Input(&input)).unwrap();
        assert_eq!(headers(&bare), [None, Some(own)]);
        let first = bare.frame().record(0).unwrap();
        assert!(has(&first, "other") && !has(&first, TRACESTATE));
        assert!(without(&output, 1, Given::Input(&input)).is_none(), "it has its own");
        // Where the alternative is nothing, even that goes.
        assert_eq!(headers(&without(&output, 1, Given::Anywhere).unwrap()), [Some(parent), None]);
    }

    #[test]
    fn a_source_marks_records_that_have_no_mark() {
        let (own, mark_of) = (header(3), TraceContext::parse(header(1).as_bytes()).unwrap());
        let marked = mark(batch([None, Some(own.as_str())]), &mark_of);
        assert_eq!(headers(&marked), [Some(header(1)), Some(own)]);
    }
}
