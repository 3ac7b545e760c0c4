//! `http-sink`: sends records to a webhook, one by one or in batches.
//!
//! A call is resolved from its beginning: what a server has taken, or will never take, is not sent again when something
//! behind it has to wait. So a failure in the middle ends the call with the records before it resolved, and comes back,
//! if it is still there, as the error of the next call, which begins with the record that could not be sent. A record that
//! will never be taken ends the call as well: what stands behind it is sent once the host has set it aside.

mod answer;
mod body;
mod config;
mod delivery;
mod identity;
mod statuses;
mod target;
mod template;

use std::time::Instant;

use sandbar_plugin::{AssignedPartition, Error, Records, Result, Sink, SinkResults, Task};

pub use body::NullValues;
use config::Settings;
pub use config::{BatchFormat, Config, Mode};
use delivery::{Carry, Delivery, Stop};
pub use statuses::Statuses;

/// The sink.
pub struct HttpSink {
    settings: Settings,
    carry: Carry,
    /// The pause a server asked for in the middle of a call: until when, and what it said.
    pause: Option<(Instant, String)>,
}

impl Sink for HttpSink {
    type Config = Config;

    fn open(config: Config, _task: &Task) -> Result<Self> {
        Ok(Self { settings: Settings::new(config)?, carry: Carry::default(), pause: None })
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
        match Delivery::new(&self.settings, results, &mut self.carry).run(records) {
            Err(Stop { at: 0, error: Some(error) }) => return Err(error),
            Err(Stop { error: Some(error), .. }) if !error.delay().is_zero() => {
                self.pause = Some((Instant::now() + error.delay(), error.message().to_owned()));
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    // What comes next begins anew, wherever the last batch ended.

    fn assigned(&mut self, _partitions: &[AssignedPartition]) -> Result<Vec<AssignedPartition>> {
        self.carry = Carry::default();
        Ok(Vec::new())
    }

    fn revoked(&mut self, _partitions: &[AssignedPartition]) -> Result<()> {
        self.carry = Carry::default();
        Ok(())
    }
}

sandbar_plugin::export! {
    sink: HttpSink,
    manifest: include_str!("../manifest.json"),
}
