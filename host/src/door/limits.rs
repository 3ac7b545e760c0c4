//! What one request, and all of them together, may take: bytes, time, places. And what a panic may: nothing.

use std::any::Any;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::error;

use super::options::Limits;
use super::refused::{Refused, in_shape};
use super::role::is_upload;

/// How many uploads are taken in at once: each may be in memory as a whole.
const UPLOADS_AT_ONCE: usize = 2;
/// When to come back if all places are taken.
const SOON: Duration = Duration::from_secs(1);

/// The places there are.
#[derive(Debug)]
pub(super) struct Places {
    requests: Semaphore,
    uploads: Semaphore,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { requests: Semaphore::new(limits.requests), uploads: Semaphore::new(UPLOADS_AT_ONCE) }
    }

    /// Takes a place for a request, until it is dropped.
    pub(super) fn take(&self, request: &Request) -> Result<SemaphorePermit<'_>, Refused> {
        let upload = is_upload(request.method(), request.uri().path());
        let (places, message) = if upload {
            (&self.uploads, "other plugins are being uploaded")
        } else {
            (&self.requests, "too many requests are being answered")
        };
        places.try_acquire().map_err(|_| Refused::later(StatusCode::SERVICE_UNAVAILABLE, message, SOON))
    }
}

/// Has a request answered within its bounds.
pub(super) async fn answer(limits: &Limits, request: Request, next: Next) -> Result<Response, Refused> {
    let most = if is_upload(request.method(), request.uri().path()) { limits.upload_bytes } else { limits.body_bytes };
    let too_large = || Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most} bytes"));
    // What it says itself is believed when it is too much.
    if request.body().size_hint().lower() > most {
        return Err(too_large());
    }
    let overran = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| bounded(body, most, Arc::clone(&overran)));
    let answered = AssertUnwindSafe(async { in_shape(next.run(request).await).await }).catch_unwind().await;
    // However the handler understood that its body ended there.
    if overran.load(Ordering::Relaxed) {
        return Err(too_large());
    }
    answered.map_err(|panic| {
        error!(reason = text(&*panic), "the handler of a request panicked");
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a defect of the host; its log says more")
    })
}

/// What is answered when it took too long, in Kafka Connect's words.
pub(super) fn timed_out() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "Request timed out")
}

/// What is answered when the host stops, and would have to wait for it.
pub(super) fn stopping() -> Refused {
    Refused::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the host is stopping before this was finished: what it was about to do may be done, look before you try again",
    )
}

fn bounded(body: Body, most: u64, overran: Arc<AtomicBool>) -> Body {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Body::new(Limited::new(body, most).map_err(move |error: Box<dyn Error + Send + Sync>| {
        overran.fetch_or(error.is::<LengthLimitError>(), Ordering::Relaxed);
        error
    }))
}

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    panic.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("it did not say why")
}
