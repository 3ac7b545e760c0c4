//! Where a guest may send requests: what its manifest asks for *and* the operator grants. Pure: a URL in, a verdict out.

use sandbar_abi::pattern::{ANY_HOST, Host, Pattern, Scheme, Target};
use url::Url;

/// One entry of a manifest's `capabilities.http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Whatever hosts the operator names.
    Any,
    /// These.
    Of(Pattern),
}

impl Ask {
    /// Reads an entry; nothing if it is no pattern.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == ANY_HOST { Some(Self::Any) } else { text.parse().ok().map(Self::Of) }
    }

    /// Whether it asks for anything that an operator's entry grants.
    #[must_use]
    pub fn meets(&self, granted: &Pattern) -> bool {
        match self {
            Self::Any => true,
            Self::Of(pattern) => pattern.overlaps(granted),
        }
    }

    fn matches(&self, target: &Target) -> bool {
        match self {
            Self::Any => true,
            Self::Of(pattern) => pattern.matches(target),
        }
    }
}

/// What is asked for and what is granted; reached is what both match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What the manifest asks for.
    pub asked: Vec<Ask>,
    /// What the operator grants.
    pub hosts: Vec<Pattern>,
}

impl Grant {
    /// Whether a request may go there; if not, why, and what would have to change.
    pub(super) fn check(&self, target: &Target) -> Result<(), String> {
        if !self.hosts.iter().any(|pattern| pattern.matches(target)) {
            return Err(format!("{target} is not granted: sandbox.http.hosts does not name it"));
        }
        if !self.asked.iter().any(|ask| ask.matches(target)) {
            return Err(format!("{target} is not granted: the plugin's manifest does not ask for it"));
        }
        Ok(())
    }
}

/// Where a URL leads; nothing if that is no place for HTTP.
pub(super) fn target(url: &Url) -> Option<Target> {
    let scheme = Scheme::from_name(url.scheme())?;
    let host = match url.host()? {
        url::Host::Domain(name) => Host::Name(name.to_ascii_lowercase()),
        url::Host::Ipv4(address) => Host::Address(address.into()),
        url::Host::Ipv6(address) => Host::Address(address.into()),
    };
    Some(Target { scheme, host, port: url.port().unwrap_or(scheme.port()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(asked: &[&str], hosts: &[&str]) -> Grant {
        Grant {
            asked: asked.iter().map(|text| Ask::parse(text).unwrap()).collect(),
            hosts: hosts.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[track_caller]
    fn reaches(grant: &Grant, url: &str, expected: Result<(), &str>) {
        let found = grant.check(&target(&Url::parse(url).unwrap()).unwrap());
        match (&found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(expected)) => assert!(found.ends_with(expected), "{url}: {found}"),
            _ => panic!("{url}: {found:?}, not {expected:?}"),
        }
    }

    const NOT_GRANTED: Result<(), &str> = Err("is not granted: sandbox.http.hosts does not name it");
    const NOT_ASKED: Result<(), &str> = Err("is not granted: the plugin's manifest does not ask for it");

    #[test]
    fn both_have_to_agree() {
        let grant = grant(&["*.example.com", "http://other.org"], &["api.example.com", "x.org", "http://*.org"]);
        reaches(&grant, "https://api.example.com/a?b", Ok(()));
        reaches(&grant, "https://api.example.com:443", Ok(()));
        reaches(&grant, "http://other.org", Ok(()));
        reaches(&grant, "https://other.org", NOT_GRANTED);
        reaches(&grant, "https://www.example.com", NOT_GRANTED);
        reaches(&grant, "https://x.org", NOT_ASKED);
        reaches(&grant, "http://a.org/", NOT_ASKED);
    }

    #[test]
    fn nothing_is_reached_without_either() {
        reaches(&grant(&["*"], &[]), "https://example.com", NOT_GRANTED);
        reaches(&grant(&[], &["example.com"]), "https://example.com", NOT_ASKED);
        reaches(&grant(&["*"], &["example.com"]), "https://example.com", Ok(()));
    }

    #[test]
    fn however_an_address_is_spelt_it_is_the_same() {
        let grant = grant(&["*"], &["http://127.0.0.1:8080", "http://[::1]"]);
        for host in ["127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1"] {
            reaches(&grant, &format!("http://{host}:8080"), Ok(()));
        }
        reaches(&grant, "http://[0::0001]", Ok(()));
        reaches(&grant, "http://[::ffff:127.0.0.1]:8080", NOT_GRANTED);
        reaches(&grant, "http://127.0.0.2:8080", NOT_GRANTED);
        reaches(&grant, "http://localhost:8080", NOT_GRANTED);
    }

    #[test]
    fn names_that_only_look_alike_are_others() {
        let grant = grant(&["*"], &["example.com", "*.example.org", "xn--bcher-kva.de"]);
        reaches(&grant, "https://EXAMPLE.com", Ok(()));
        reaches(&grant, "https://b\u{fc}cher.de", Ok(()));
        for url in [
            "https://example.com.",
            "https://example.com.evil.net",
            "https://evil.net/?example.com",
            "https://example.com@evil.net",
            "https://evil.net#@example.com",
            "https://example.org",
            "https://evilexample.org",
            "https://ex\u{430}mple.com",
        ] {
            reaches(&grant, url, NOT_GRANTED);
        }
    }

    proptest::proptest! {
        /// Patterns and URLs are read by different code; where both take a text, they take it for the same host.
        #[test]
        fn a_pattern_matches_the_url_that_is_spelt_alike(text in "(http://|https://)?[a-z0-9._x:\\[\\]-]{1,12}") {
            if let Ok(pattern) = text.parse::<Pattern>()
                && let Ok(url) = Url::parse(&pattern.to_string())
            {
                proptest::prop_assert!(pattern.matches(&target(&url).unwrap()), "{} and {}", pattern, url);
            }
        }
    }

    #[test]
    fn only_http_leads_anywhere() {
        for url in ["ftp://example.com", "file:///etc/passwd", "data:,x", "unix:/run/x", "ws://example.com"] {
            assert_eq!(target(&Url::parse(url).unwrap()), None, "{url}");
        }
    }

    #[test]
    fn asks_meet_grants_that_have_something_in_common() {
        let meets = |ask: &str, granted: &str| Ask::parse(ask).unwrap().meets(&granted.parse().unwrap());
        assert!(meets("*", "http://10.0.0.1:1"));
        assert!(meets("*.example.com", "a.example.com"));
        assert!(meets("a.example.com", "*.example.com"));
        assert!(!meets("a.example.com", "b.example.com"));
        assert!(!meets("a.example.com", "http://a.example.com"));
        assert_eq!(Ask::parse("a b"), None);
    }
}
