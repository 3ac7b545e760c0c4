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

use std::time::{Duration, Instant};

use sandbar_plugin::{AssignedPartition, Error, Records, Result, Sink, SinkResults, Task};

pub use body::NullValues;
use config::Settings;
pub use config::{BatchFormat, Config, Mode};
use delivery::{CALL_BUDGET, Carry, Delivery, Stop};
pub use statuses::Statuses;

/// The sink.
pub struct HttpSink {
    settings: Settings,
    carry: Carry,
    /// How long a call goes on beginning new requests.
    budget: Duration,
    /// The pause a server asked for in the middle of a call: until when, and what it said.
    pause: Option<(Instant, String)>,
}

impl Sink for HttpSink {
    type Config = Config;

    fn open(config: Config, _task: &Task) -> Result<Self> {
        Ok(Self { settings: Settings::new(config)?, carry: Carry::default(), budget: CALL_BUDGET, pause: None })
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
        match Delivery::new(&self.settings, results, &mut self.carry, self.budget).run(records) {
            Err(Stop { at: 0, error: Some(error) }) => return Err(error),
            Err(Stop { error: Some(error), .. }) if !error.delay().is_zero() => {
                self.pause = Some((Instant::now() + error.delay(), error.message().to_owned()));
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    fn assigned(&mut self, _partitions: &[AssignedPartition]) -> Result<Vec<AssignedPartition>> {
        // What comes next begins anew, wherever the last batch was left.
        self.carry = Carry::default();
        Ok(Vec::new())
    }
}

sandbar_plugin::export! {
    sink: HttpSink,
    manifest: include_str!("../manifest.json"),
}

#[cfg(test)]
mod tests {
    //! Calls without any time: each ends before its second request.

    use std::cell::RefCell;
    use std::rc::Rc;

    use sandbar_plugin::ErrorClass;
    use sandbar_plugin::http::Response;
    use sandbar_plugin::serde_json::{self, json};
    use sandbar_plugin::testing::{self, TestRecord};

    use super::*;

    struct Hurried(HttpSink);

    impl Sink for Hurried {
        type Config = Config;

        fn open(config: Config, task: &Task) -> Result<Self> {
            Ok(Self(HttpSink { budget: Duration::ZERO, ..HttpSink::open(config, task)? }))
        }

        fn write(&mut self, records: Records<'_>, results: &mut SinkResults) -> Result<()> {
            self.0.write(records, results)
        }
    }

    #[test]
    fn a_slow_server_gets_smaller_requests_until_the_record_to_blame_is_alone() {
        const BAD: usize = 2;
        let sizes = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&sizes);
        let _http = testing::http(move |request| {
            let values: Vec<usize> = serde_json::from_slice(&request.body).unwrap();
            seen.borrow_mut().push(values.len());
            let status = if values.contains(&BAD) { 422 } else { 200 };
            Ok(Response { status, body: b"why".to_vec(), ..Response::default() })
        });
        let mut sink = testing::sink::<Hurried>(json!({"url": "https://hook/in", "mode": "batch"})).unwrap();
        let records: Vec<_> = (0..16).map(|n| TestRecord::value(n.to_string()).at("t", 0, n)).collect();
        for limit in [8, 4, 2] {
            let (class, message) = sink.write(&records).unwrap_err();
            let end = format!("answered 422: why; the next request carries {limit} of the records");
            assert_eq!(class, ErrorClass::Retryable);
            assert!(message.ends_with(&end), "{message}");
        }
        // Two are taken, and then the others come as a whole: nothing is known of them.
        let next = |sink: &mut testing::Harness<_, Hurried, _>, from: usize| {
            let results = sink.write(&records[from..]).unwrap().results;
            from + results.iter().position(|(_, d, _)| *d == sandbar_plugin::Disposition::NotAttempted).unwrap()
        };
        assert_eq!(next(&mut sink, 0), BAD);
        assert_eq!(*sizes.borrow(), [16, 8, 4, 2]);
        for _ in 0..3 {
            sink.write(&records[BAD..]).unwrap_err();
        }
        assert_eq!(next(&mut sink, BAD), BAD + 1);
        assert!(sink.write(&records[BAD + 1..]).unwrap().results.is_empty());
        assert_eq!(sizes.borrow()[4..], [14, 7, 3, 1, 13]);
    }
}
