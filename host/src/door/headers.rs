//! What every answer says to browsers: what it is not, where it may be shown, and that nobody keeps it.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// No page of another site embeds an answer, as a picture or a script.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
/// The page uses what is beside it and nothing else, and is in no frame.
const PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'",
);
/// Any other answer is data. Should a browser take one for a page, that page can do nothing.
const DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Sets them, whatever the handler said; only how long files of the page are kept is theirs to say.
pub(super) fn set(path: &str, headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, SAME_ORIGIN);
    if is_page(path) {
        headers.insert(CONTENT_SECURITY_POLICY, PAGE);
    } else {
        headers.insert(CONTENT_SECURITY_POLICY, DATA);
        headers.insert(CACHE_CONTROL, NO_STORE);
    }
}

fn is_page(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}
