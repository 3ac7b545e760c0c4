//! Addresses: what is added to one, where a link on a page leads, and whether that is still the same server.

use sandbar_plugin::http::percent_encode;

/// The address with one more query parameter.
pub(crate) fn with_param(url: &str, name: &str, value: &str) -> String {
    let mut url = url.to_owned();
    url.push(if url.contains('?') { '&' } else { '?' });
    percent_encode(&mut url, name.as_bytes());
    url.push('=');
    percent_encode(&mut url, value.as_bytes());
    url
}

/// The address without its query, which may hold what must not stand in a log.
pub(crate) fn place(url: &str) -> &str {
    url.split_once('?').map_or(url, |(place, _)| place)
}

/// The address a reference on a page means (RFC 3986, section 5.2; segments `..` are left to whoever asks). `None`: none.
pub(crate) fn resolve(base: &str, reference: &str) -> Option<String> {
    let reference = reference.trim().split('#').next().unwrap_or_default();
    if reference.is_empty() || reference.contains(|c: char| c.is_control() || c == ' ') {
        return None;
    }
    let base = base.split('#').next().unwrap_or_default();
    let (scheme, authority) = parts(base)?;
    let server = &base[..scheme.len() + "://".len() + authority.len()];
    let first = reference.split(['/', '?']).next().unwrap_or_default();
    if first.contains(':') {
        parts(reference)?;
        return Some(reference.to_owned());
    }
    if reference.starts_with("//") {
        return Some(format!("{scheme}:{reference}"));
    }
    if reference.starts_with('/') {
        return Some(format!("{server}{reference}"));
    }
    let path = place(base);
    if reference.starts_with('?') {
        return Some(format!("{path}{reference}"));
    }
    let folder = path.rfind('/').filter(|end| *end >= server.len()).map_or(server, |end| &path[..end]);
    Some(format!("{folder}/{reference}"))
}

/// Whether two addresses are of the same scheme, host and port.
pub(crate) fn same_origin(a: &str, b: &str) -> bool {
    let origin = |url| {
        let (scheme, authority) = parts(url)?;
        let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
        let default = if scheme == "https" { ":443" } else { ":80" };
        let host = authority.strip_suffix(default).unwrap_or(&authority).to_owned();
        Some((scheme, host))
    };
    origin(a).is_some_and(|a| origin(b) == Some(a))
}

/// Scheme and authority of an address over HTTP.
fn parts(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let over_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    (over_http && !authority.is_empty()).then_some((scheme, authority))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_resolved() {
        for (base, reference, expected) in [
            ("https://a/b/c?d", "https://e/f", Some("https://e/f")),
            ("https://a/b/c?d", "//e/f", Some("https://e/f")),
            ("https://a:1/b/c?d", "/f?g#h", Some("https://a:1/f?g")),
            ("https://a/b/c?d", "?page=2", Some("https://a/b/c?page=2")),
            ("https://a/b/c?d/e", "f", Some("https://a/b/f")),
            ("https://a?d", "f", Some("https://a/f")),
            ("https://a", "?f", Some("https://a?f")),
            ("https://a/b", "f?x=y:z", Some("https://a/f?x=y:z")),
            ("https://a/b", "ftp://e/", None),
            ("https://a/b", "javascript:x", None),
            ("https://a/b", "https:///x", None),
            ("https://a/b", "", None),
            ("https://a/b", "#x", None),
            ("https://a/b", "/x y", None),
        ] {
            assert_eq!(resolve(base, reference).as_deref(), expected, "{reference} on {base}");
        }
    }

    #[test]
    fn another_server_is_told_from_the_same() {
        for (a, b, same) in [
            ("https://a/x", "https://A:443/y", true),
            ("http://a", "http://a:80?x", true),
            ("https://a/x", "http://a/x", false),
            ("https://a/x", "https://a:80/x", false),
            ("https://a/x", "https://a@b/x", false),
            ("https://a/x", "https://a.b/x", false),
            ("https://a/x", "https://b\\a/x", false),
            ("x", "x", false),
        ] {
            assert_eq!(same_origin(a, b), same, "{a} and {b}");
        }
    }

    proptest! {
        /// What does not begin with two slashes or a scheme never leads to another server.
        #[test]
        fn a_relative_reference_stays_on_its_server(reference in "[a-z/?.@%\\\\]{1,20}") {
            if !reference.starts_with("//") && let Some(url) = resolve("https://host:8443/a/b?c", &reference) {
                prop_assert!(same_origin("https://host:8443", &url), "{}", url);
            }
        }
    }
}
