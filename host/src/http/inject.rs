//! Headers that the host adds to requests, so that a guest can be let in somewhere without ever seeing the secret.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sandbar_abi::pattern::{Pattern, Target};

/// Headers that only the host sets: they say where a message ends, or which server it is for.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What headers begin with that are meant for a proxy; there is none.
const RESERVED_PREFIX: &str = "proxy-";

/// A header for requests to some hosts. It shows its name, never its value.
#[derive(Clone, Debug)]
pub struct Injection {
    name: HeaderName,
    value: HeaderValue,
    hosts: Vec<Pattern>,
}

impl Injection {
    /// A header for these hosts. The error names what is wrong, and holds nothing of the value.
    pub fn new(name: &str, value: &str, hosts: Vec<Pattern>) -> Result<Self, String> {
        let name = check_header(name)?;
        let mut value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| "the value cannot be that of a header: it has control characters".to_owned())?;
        value.set_sensitive(true);
        Ok(Self { name, value, hosts })
    }

    /// Sets the header, in place of any by that name, if the request goes to one of the hosts.
    pub(super) fn apply(&self, target: &Target, headers: &mut HeaderMap) {
        if self.hosts.iter().any(|pattern| pattern.matches(target)) {
            headers.insert(self.name.clone(), self.value.clone());
        }
    }
}

/// The name of a header that requests may have, or why they may not.
pub fn check_header(name: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not the name of a header"))?;
    if RESERVED.contains(&name.as_str()) || name.as_str().starts_with(RESERVED_PREFIX) {
        return Err(format!("the header {name} is set by the host alone"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::grant::target;

    #[test]
    fn a_header_is_added_for_its_hosts_in_place_of_the_guests_own() {
        let hosts = vec!["a.com".parse().unwrap()];
        let injection = Injection::new("Authorization", "Bearer s3", hosts).unwrap();
        let headers_for = |url: &str| {
            let mut headers = HeaderMap::new();
            headers.append("authorization", HeaderValue::from_static("one"));
            headers.append("authorization", HeaderValue::from_static("two"));
            injection.apply(&target(&url.parse().unwrap()).unwrap(), &mut headers);
            headers.get_all("authorization").iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(headers_for("https://a.com/x"), ["Bearer s3"]);
        assert_eq!(headers_for("http://a.com/x"), ["one", "two"]);
        assert_eq!(headers_for("https://b.com"), ["one", "two"]);
    }

    #[test]
    fn no_value_shows() {
        let injection = Injection::new("x-key", "s3", Vec::new()).unwrap();
        assert!(!format!("{injection:?}").contains("s3"));
        let error = Injection::new("x-key", "s3\n", Vec::new()).unwrap_err();
        assert!(!error.contains("s3"), "{error}");
    }

    #[test]
    fn some_headers_are_the_hosts_alone() {
        for name in ["Host", "CONTENT-LENGTH", "te", "Proxy-Authorization", "proxy-connection", "Expect", "Keep-Alive"]
        {
            assert!(check_header(name).unwrap_err().contains("set by the host alone"), "{name}");
        }
        for name in ["", "a b", "a:", "\n", "h\u{e9}"] {
            assert!(check_header(name).unwrap_err().contains("not the name of a header"), "{name}");
        }
        assert_eq!(check_header("X-Api-Key").unwrap(), "x-api-key");
    }
}
