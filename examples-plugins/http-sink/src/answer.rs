//! What an answer means for the records that were sent.

use std::time::{Duration, SystemTime};

use sandbar_plugin::Error;
use sandbar_plugin::http::{Error as HttpError, ErrorKind, Response};

use crate::statuses::Statuses;
use crate::target::Target;

/// The longest pause a server can ask for: what runs wild or lies must not stop a connector for days.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The records are delivered.
    Delivered,
    /// They will never be. If they are several, it may be for one of them.
    Refused {
        /// Why.
        message: String,
        /// Whether others of the batch may be well.
        may_be_one: bool,
    },
    /// Not now, or not like this: it is for the host to say when to try again.
    Stopped(Error),
}

/// Reads what a request led to.
pub(crate) fn judge(
    method: &str,
    target: &Target,
    sent: Result<Response, HttpError>,
    retry: &Statuses,
    now: SystemTime,
) -> Verdict {
    let request = format!("{method} {}", target.place());
    match sent {
        Ok(response) if response.is_success() && response.method == method => Verdict::Delivered,
        // A redirect made another request of it, without the body. That one went well; nothing was delivered.
        Ok(response) if response.is_success() => {
            let there = Target { url: response.url, headers: Vec::new() };
            let message = format!("{request} was redirected, and became {} {}", response.method, there.place());
            Verdict::Refused { message, may_be_one: false }
        }
        Ok(response) => {
            let message = format!("{request} answered {}: {}", response.status, response.excerpt());
            if !retry.contains(response.status) {
                return Verdict::Refused { message, may_be_one: matches!(response.status, 400 | 413 | 422) };
            }
            Verdict::Stopped(match response.retry_after(now) {
                Some(pause) => Error::throttled(pause.min(MAX_PAUSE), message),
                None => Error::retryable(message),
            })
        }
        // The server may have taken what was sent. To send it again would lead to the same.
        Err(error) if error.kind() == ErrorKind::TooLarge => {
            Verdict::Refused { message: error.during(request).to_string(), may_be_one: false }
        }
        Err(error) => Verdict::Stopped(error.during(request).into()),
    }
}

#[cfg(test)]
mod tests {
    use sandbar_plugin::ErrorClass;

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Verdict {
        let target = Target { url: "https://a/b?token=secret".to_owned(), headers: Vec::new() };
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let response =
            Response { status, method: "POST".to_owned(), headers, body: b"why\nnot".to_vec(), ..Response::default() };
        judge("POST", &target, Ok(response), &Statuses::default(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn each_status_has_its_verdict() {
        for status in [200, 204, 299] {
            assert!(matches!(answer(status, &[]), Verdict::Delivered), "{status}");
        }
        for status in [400, 413, 422] {
            assert!(matches!(answer(status, &[]), Verdict::Refused { may_be_one: true, .. }), "{status}");
        }
        for status in [101, 199, 301, 304, 401, 404, 409, 499] {
            assert!(matches!(answer(status, &[]), Verdict::Refused { may_be_one: false, .. }), "{status}");
        }
        for status in [408, 425, 429, 500, 503, 599] {
            let Verdict::Stopped(error) = answer(status, &[]) else { panic!("{status}") };
            assert_eq!(error.class(), ErrorClass::Retryable);
            assert_eq!(error.message(), format!("POST https://a/b answered {status}: why not"));
        }
    }

    #[test]
    fn a_server_can_ask_for_a_pause_but_not_for_any() {
        for value in ["7", "Thu, 01 Jan 1970 01:00:00 GMT", "99999999999"] {
            let Verdict::Stopped(error) = answer(503, &[("retry-after", value)]) else { panic!("{value}") };
            assert_eq!(error.class(), ErrorClass::Throttled, "{value}");
            let bound = if value == "7" { Duration::from_secs(7) } else { MAX_PAUSE };
            assert_eq!(error.delay(), bound, "{value}");
        }
    }
}
