//! `http-sink`: sends records to a webhook, one by one or in batches.
//!
//! A call is resolved from its beginning: what a server has taken, or will never take, is not sent again when something
//! behind it has to wait. So a failure in the middle ends the call with the records before it resolved, and comes back,
//! if it is still there, as the error of the next call, which begins with the record that could not be sent.

mod answer;
mod body;
mod config;
mod delivery;
mod identity;
mod statuses;
mod target;
mod template;

use std::time::Instant;

use sandbar_plugin::{Error, Records, Result, Sink, SinkResults, Task};

pub use body::NullValues;
use config::Settings;
pub use config::{BatchFormat, Config, Mode};
use delivery::{Delivery, Stop};
use identity::Identity;
pub use statuses::Statuses;

/// The sink.
pub struct HttpSink {
    settings: Settings,
    /// The last record that is resolved, where records are named.
    last: Option<Identity>,
    /// The pause a server asked for in the middle of a call: until when, and what it said.
    pause: Option<(Instant, String)>,
}

impl Sink for HttpSink {
    type Config = Config;

    fn open(config: Config, _task: &Task) -> Result<Self> {
        Ok(Self { settings: Settings::new(config)?, last: None, pause: None })
    }

    fn write(&mut self, records: Records<'_>, results: &mut SinkResults) -> Result<()> {
        if let Some((until, why)) = self.pause.take() {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let error = Error::throttled(left, &why);
                self.pause = Some((until, why));
                return Err(error);
            }
        }
        match Delivery::new(&self.settings, results).run(records, &mut self.last) {
            Err(Stop { at: 0, error: Some(error) }) => return Err(error),
            Err(Stop { error: Some(error), .. }) if !error.delay().is_zero() => {
                self.pause = Some((Instant::now() + error.delay(), error.message().to_owned()));
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }
}

sandbar_plugin::export! {
    sink: HttpSink,
    manifest: include_str!("../manifest.json"),
}
