//! One call: its records in order, gathered into requests, sent, and each resolved or left for the next call.

use std::time::{Duration, Instant, SystemTime};

use sandbar_plugin::host::metric;
use sandbar_plugin::http::{MAX_REQUEST_BYTES, Request};
use sandbar_plugin::{Error, InputRecord, Records, SinkResults};

use crate::answer::{Verdict, judge};
use crate::config::Settings;
use crate::identity::{Identity, Names};
use crate::target::Target;
use crate::template::Fields;

/// How long a call goes on beginning new requests. With the longest of them it stays below the time a call may take
/// (`limits.call_timeout_ms` of the manifest), however many records it was given.
pub(crate) const CALL_BUDGET: Duration = Duration::from_secs(5);
/// What the head of a request may take of the greatest length of all of it.
const HEAD_BYTES: usize = 64 << 10;

/// Why a call ends before all of its records are resolved.
#[derive(Debug)]
pub(crate) struct Stop {
    /// The first record that is left.
    pub(crate) at: usize,
    /// What stands in its way; nothing if the next call can go on at once.
    pub(crate) error: Option<Error>,
}

/// What one call leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    names: Names,
    /// The most records of the next request, if a larger one was refused and the call had no time left to split it.
    limit: Option<usize>,
}

/// A call under way.
pub(crate) struct Delivery<'a> {
    settings: &'a Settings,
    results: &'a mut SinkResults,
    carry: &'a mut Carry,
    began: Instant,
    budget: Duration,
    /// Whether a record has failed. Then nothing behind it is sent before the host has dealt with it: where failures are
    /// not tolerated the task ends here, and begins here again.
    failed: bool,
}

/// A record, and what is sent of it.
struct Item<'r> {
    record: InputRecord<'r>,
    body: Vec<u8>,
    identity: Option<Identity>,
}

/// Records for one request.
struct Batch<'r> {
    target: Target,
    items: Vec<Item<'r>>,
    bytes: usize,
}

impl<'a> Delivery<'a> {
    pub(crate) fn new(
        settings: &'a Settings,
        results: &'a mut SinkResults,
        carry: &'a mut Carry,
        budget: Duration,
    ) -> Self {
        Self { settings, results, carry, began: Instant::now(), budget, failed: false }
    }

    /// Sends records, and says in the results what became of them.
    pub(crate) fn run(mut self, records: Records<'_>) -> Result<(), Stop> {
        let all = records.len();
        self.carry.names.begin(all);
        let sent = self.deliver(records);
        self.carry.names.end(sent.as_ref().map_or_else(|stop| stop.at, |()| all));
        sent
    }

    fn deliver(&mut self, records: Records<'_>) -> Result<(), Stop> {
        let mut open: Option<Batch<'_>> = None;
        for record in records {
            match self.prepare(record) {
                Ok(None) => self.results.filter(&record),
                Err(message) => {
                    if let Some(before) = open.take() {
                        self.send(&before)?;
                    }
                    self.fail(&record, message);
                }
                Ok(Some((target, item))) => {
                    let limit = self.carry.limit;
                    if let Some(full) = open.take_if(|batch| !batch.takes(self.settings, limit, &target, &item)) {
                        self.send(&full)?;
                    }
                    if self.failed {
                        return Err(self.leave(&record));
                    }
                    open.get_or_insert_with(|| Batch { target, items: Vec::new(), bytes: 0 }).push(item);
                }
            }
        }
        open.map_or(Ok(()), |batch| self.send(&batch))
    }

    fn fail(&mut self, record: &InputRecord<'_>, message: String) {
        self.results.fail(record, message);
        self.failed = true;
    }

    /// Leaves a record and all behind it for the next call, which comes at once.
    fn leave(&mut self, record: &InputRecord<'_>) -> Stop {
        self.results.continue_from(record);
        Stop { at: record.index(), error: None }
    }

    /// What is sent of a record, and where to. An error: it can never be sent.
    fn prepare<'r>(&mut self, record: InputRecord<'r>) -> Result<Option<(Target, Item<'r>)>, String> {
        let named = self.settings.idempotency_header.is_some();
        let identity = if named { self.carry.names.next(&record) } else { None };
        let fields = Fields::new(record);
        let Some(body) = self.settings.body.of(record.value, &fields)? else { return Ok(None) };
        if body.len() > MAX_REQUEST_BYTES - HEAD_BYTES {
            return Err(format!("a body of {} bytes is more than a request can carry", body.len()));
        }
        let target = self.settings.target.of(&fields)?;
        if target.bytes() > HEAD_BYTES / 2 {
            return Err("the url and the headers are longer than a request can carry".to_owned());
        }
        if named && identity.is_none() {
            return Err("the record has no partition and offset to name it by".to_owned());
        }
        Ok(Some((target, Item { record, body, identity })))
    }

    /// Sends a batch; one that is refused is split until the record that is to blame is alone.
    fn send(&mut self, batch: &Batch<'_>) -> Result<(), Stop> {
        // The next part last.
        let mut work = vec![&batch.items[..]];
        let mut refusal = String::new();
        while let Some(part) = work.pop() {
            let Some(first) = part.first() else { continue };
            let at = first.record.index();
            let late = self.began.elapsed() >= self.budget;
            if self.failed || late && at > 0 {
                return Err(self.leave(&first.record));
            }
            if late && part.len() < batch.items.len() {
                // Nothing is resolved that the next call could begin behind: it begins with what is left to try.
                self.carry.limit = Some(part.len());
                let message = format!("{refusal}; the next request carries {} of the records", part.len());
                return Err(Stop { at, error: Some(Error::retryable(message)) });
            }
            let began = Instant::now();
            let sent = self.request(&batch.target, part).send();
            metric::counter("requests", 1.0);
            metric::histogram("request_milliseconds", began.elapsed().as_secs_f64() * 1e3);
            match judge(&self.settings.method, &batch.target, sent, &self.settings.retry, SystemTime::now()) {
                Verdict::Delivered => self.carry.limit = None,
                Verdict::Refused { may_be_one: true, message } if part.len() > 1 => {
                    let (front, back) = part.split_at(part.len() / 2);
                    work.extend([back, front]);
                    refusal = message;
                }
                Verdict::Refused { message, .. } => {
                    part.iter().for_each(|item| self.fail(&item.record, message.clone()));
                    self.carry.limit = None;
                }
                Verdict::Stopped(error) => {
                    self.results.retry_from(&first.record, error.message());
                    return Err(Stop { at, error: Some(error) });
                }
            }
        }
        Ok(())
    }

    fn request(&self, target: &Target, items: &[Item<'_>]) -> Request {
        let settings = self.settings;
        let mut request = Request::new(&settings.method, &target.url)
            .header("Content-Type", &settings.content_type)
            .timeout(settings.timeout)
            .body(settings.format.join(items.iter().map(|item| item.body.as_slice())));
        request.headers.extend(target.headers.iter().cloned());
        let ends =
            items.first().and_then(|item| item.identity.as_ref()).zip(items.last().and_then(|i| i.identity.as_ref()));
        if let (Some(name), Some((first, last))) = (&settings.idempotency_header, ends) {
            request.headers.push((name.clone(), first.through(last)));
        }
        request
    }
}

impl<'r> Batch<'r> {
    fn takes(&self, settings: &Settings, limit: Option<usize>, target: &Target, item: &Item<'_>) -> bool {
        let bytes = self.bytes + item.body.len() + settings.format.overhead(self.items.len() + 1);
        let records = limit.map_or(settings.max_records, |limit| limit.min(settings.max_records));
        self.items.len() < records && bytes <= settings.max_bytes && self.target == *target
    }

    fn push(&mut self, item: Item<'r>) {
        self.bytes += item.body.len();
        self.items.push(item);
    }
}
