//! `http-source`: polls a JSON API, with a cursor, pages and conditional requests.
//!
//! The source offset says which request comes next, and how many records of its answer have been given. It moves on to
//! the next request with the last record of a page, so a crash between pages neither loses nor doubles a record, and one
//! in the middle of a page asks for it again and goes on behind the last record that was given, wherever in the answer that
//! is by then. If the answer has changed, what stands before it may be new, and the next poll reads the whole answer.

mod address;
mod config;
mod link;
mod offset;
mod page;

use std::time::{Duration, Instant, SystemTime};

use sandbar_plugin::host::{log, metric, offsets};
use sandbar_plugin::http::{Request, Response};
use sandbar_plugin::json;
use sandbar_plugin::{Error, PollLimits, Result, Source, SourceBatch, Task};

pub use config::Config;
use config::Settings;
use offset::{Offset, Partition};
use page::Page;

/// The longest pause a server can ask for: what runs wild or lies must not stop a connector for days.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// The source.
pub struct HttpSource {
    settings: Settings,
    /// Where the next request is made.
    at: Offset,
    /// The page that is being given, and how much of it has been.
    open: Option<(Page, usize)>,
    /// When the next request is due, if not at once.
    due: Option<Instant>,
}

impl Source for HttpSource {
    type Config = Config;

    fn open(config: Config, _task: &Task) -> Result<Self> {
        let settings = Settings::new(config)?;
        let kept: Option<Offset> = offsets::get(&Partition { url: &settings.url })?;
        let at = kept.unwrap_or_else(|| Offset {
            cursor: settings.cursor.as_ref().and_then(|cursor| cursor.initial.clone()),
            ..Offset::default()
        });
        Ok(Self { settings, at, open: None, due: None })
    }

    fn poll(&mut self, _limits: &PollLimits, out: &mut SourceBatch) -> Result<()> {
        let (page, mut given) = match self.open.take() {
            Some(open) => open,
            None => {
                if self.due.is_some_and(|due| Instant::now() < due) {
                    return Ok(());
                }
                let Some(mut page) = self.fetch()? else {
                    self.due = Some(Instant::now() + self.settings.interval);
                    return Ok(());
                };
                let given = page.given(&self.at).unwrap_or_else(|| {
                    log::warn(
                        "the answer has changed and lacks the last record that was given of it: it is given whole",
                    );
                    0
                });
                if page.may_hide(&self.at, given) {
                    // The next answer is read whole. The offset stays without marks until then, through another crash.
                    page.after.forget_marks();
                }
                (page, given)
            }
        };
        while let Some(record) = page.records.get(given)
            && !out.is_full()
        {
            let key = self.settings.key.as_ref().and_then(|key| json::text(key.find(record)?));
            out.record(key.as_ref().map(|key| key.as_bytes()), Some(record.get().as_bytes()));
            given += 1;
        }
        if given < page.records.len() {
            let within = page.within(&self.at, given);
            self.open = Some((page, given));
            return self.stand_at(within);
        }
        self.due = if page.leads_on { None } else { Some(Instant::now() + self.settings.interval) };
        self.stand_at(page.after)
    }

    fn check(&mut self) -> Result<()> {
        self.fetch().map(drop)
    }
}

impl HttpSource {
    /// Keeps where the source stands, with the records of this call.
    fn stand_at(&mut self, offset: Offset) -> Result<()> {
        if offset != self.at {
            offsets::put(&Partition { url: &self.settings.url }, &offset)?;
            self.at = offset;
        }
        Ok(())
    }

    /// Asks for a page; `None` if nothing has changed since it was last asked for.
    fn fetch(&self) -> Result<Option<Page>> {
        let url = self.settings.request_url(&self.at);
        let mut request = Request::new(&self.settings.method, &url)
            .timeout(self.settings.timeout)
            .body(self.settings.body.as_bytes());
        request.headers.extend(self.settings.headers.iter().cloned());
        // In the middle of a page it is needed whether or not it has changed.
        if self.at.skip == 0 {
            let known = [("If-None-Match", &self.at.etag), ("If-Modified-Since", &self.at.last_modified)];
            request.headers.extend(known.into_iter().filter_map(|(n, v)| Some((n.to_owned(), v.clone()?))));
        }
        let began = Instant::now();
        let sent = request.send();
        metric::counter("requests", 1.0);
        metric::histogram("request_milliseconds", began.elapsed().as_secs_f64() * 1e3);
        let what = format!("{} {}", self.settings.method, address::place(&url));
        match sent {
            Ok(response) if response.status == 304 => Ok(None),
            Ok(response) if response.is_success() => Page::read(&self.settings, &self.at, &url, &response).map(Some),
            Ok(response) => Err(refused(&what, &response, SystemTime::now())),
            Err(error) => Err(error.during(what).into()),
        }
    }
}

/// The error an answer stands for.
fn refused(what: &str, response: &Response, now: SystemTime) -> Error {
    let message = format!("{what} answered {}: {}", response.status, response.excerpt());
    match (response.status, response.retry_after(now)) {
        (408 | 425 | 429 | 500..=599, Some(pause)) => Error::throttled(pause.min(MAX_PAUSE), message),
        (408 | 425 | 429 | 500..=599, None) => Error::retryable(message),
        _ => Error::fatal(message),
    }
}

sandbar_plugin::export! {
    source: HttpSource,
    manifest: include_str!("../manifest.json"),
}
