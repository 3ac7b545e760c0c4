//! What went wrong, for the guest: the client's chain of errors as one of the ABI's kinds, and the cause that people need.

use std::error::Error;
use std::io;

use sandbar_abi::http::{Failure, FailureKind};
use sandbar_abi::pattern::Target;

use super::resolver::ResolveError;

/// The most causes that are looked at; no chain is that long.
const MAX_CAUSES: usize = 32;

/// What an error of the client means.
pub(super) fn of(error: &reqwest::Error, target: &Target) -> Failure {
    let causes = causes(error);
    if let Some(error) = causes.iter().find_map(|cause| cause.downcast_ref::<ResolveError>()) {
        let kind = match error {
            ResolveError::Unknown { .. } => FailureKind::Resolve,
            ResolveError::Refused { .. } => FailureKind::Denied,
        };
        return Failure { kind, message: error.to_string() };
    }
    let kind = if causes.iter().any(|cause| cause.is::<rustls::Error>()) {
        FailureKind::Tls
    } else if error.is_timeout() {
        FailureKind::Timeout
    } else if error.is_connect() {
        FailureKind::Connect
    } else if error.is_builder() {
        FailureKind::Invalid
    } else {
        FailureKind::Protocol
    };
    // The last cause says what happened; those before it say that something did.
    let cause = causes.last().map_or_else(String::new, ToString::to_string);
    Failure { kind, message: format!("{target}: {cause}") }
}

/// An error and what caused it, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error)).take(MAX_CAUSES).collect()
}

/// What caused an error. One of I/O hides it from the chain.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}
