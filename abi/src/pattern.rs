//! Which hosts may be reached over HTTP: the patterns of a manifest's `capabilities.http` and of an operator's grant.
//!
//! A pattern is `[scheme://]host[:port]`. The scheme is `https` where it is left out, the port is the scheme's. A host is
//! a name, an address, or `*.` and a name, for the names below it. Names are compared without regard to case. Everything
//! here is pure, so that a host, an SDK and a test harness decide alike.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use thiserror::Error;

/// The pattern of a manifest that stands for whatever hosts the operator names.
pub const ANY_HOST: &str = "*";

/// The longest name of a host, as DNS has it.
const MAX_NAME_BYTES: usize = 253;
/// The longest part of a name between two dots, as DNS has it.
const MAX_LABEL_BYTES: usize = 63;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// By way of TLS.
    Https,
}

impl Scheme {
    /// The scheme as a URL begins with it, in lower case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.name() == name)
    }

    /// As a URL begins with it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is given.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// How it goes there.
    pub scheme: Scheme,
    /// Whereto.
    pub host: Host,
    /// The port there.
    pub port: u16,
}

/// A host by name or by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    scheme: Scheme,
    hosts: Hosts,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Hosts {
    One(Host),
    /// All names that end so; it begins with a dot.
    Below(String),
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{text}\" is not a host, which is [scheme://]host[:port]: {what}")]
pub struct PatternError {
    text: String,
    what: &'static str,
}

impl Pattern {
    /// Whether a request may go there.
    #[must_use]
    pub fn matches(&self, target: &Target) -> bool {
        self.scheme == target.scheme
            && self.port == target.port
            && match (&self.hosts, &target.host) {
                (Hosts::One(host), wanted) => host == wanted,
                (Hosts::Below(suffix), Host::Name(name)) => is_below(name, suffix),
                (Hosts::Below(_), Host::Address(_)) => false,
            }
    }

    /// Whether everything the other one matches is matched by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.port == other.port
            && match (&self.hosts, &other.hosts) {
                (hosts, others) if hosts == others => true,
                (Hosts::Below(suffix), Hosts::One(Host::Name(name)) | Hosts::Below(name)) => is_below(name, suffix),
                _ => false,
            }
    }

    /// Whether there is anything that both match.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The one host it stands for; nothing if it stands for many.
    #[must_use]
    pub const fn host(&self) -> Option<&Host> {
        match &self.hosts {
            Hosts::One(host) => Some(host),
            Hosts::Below(_) => None,
        }
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        parse(text).map_err(|what| PatternError { text: text.to_owned(), what })
    }
}

fn parse(text: &str) -> Result<Pattern, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => {
            let scheme = Scheme::from_name(&scheme.to_ascii_lowercase());
            (scheme.ok_or("the scheme must be http or https")?, rest)
        }
        None => (Scheme::Https, text),
    };
    if rest.contains(['/', '?', '#', '@']) {
        return Err("there must be neither path, query nor user");
    }
    let (host, port) = split_port(rest)?;
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("the port must be 1 to 65535")?,
        None => scheme.port(),
    };
    let hosts = match host.strip_prefix("*.") {
        Some(below) => match parse_host(below)? {
            Host::Name(name) => Hosts::Below(format!(".{name}")),
            Host::Address(_) => return Err("*. must be followed by a name"),
        },
        None => Hosts::One(parse_host(host)?),
    };
    Ok(Pattern { scheme, hosts, port })
}

/// The host with its brackets, and the port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    let after_host = match text.find(']') {
        Some(end) => end + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(after_host);
    match rest.strip_prefix(':') {
        _ if rest.is_empty() => Ok((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, Some(port))),
        Some(_) => Err("the port must be 1 to 65535, and an IPv6 address stand in brackets"),
        None => Err("after an IPv6 address in brackets there may be a port only"),
    }
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let address = rest.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| Host::Address(address.into()))
            .ok_or("what is in brackets must be an IPv6 address");
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(fits);
    if text.len() > MAX_NAME_BYTES || !text.split('.').all(is_label) {
        return Err(
            "a name has labels of the letters a-z, 0-9, '-' and '_' with dots between them; write others as xn--",
        );
    }
    // A name that ends in a number is an address to URLs, however oddly it is written.
    let last = text.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number {
        return Err("what ends in a number must be an IPv4 address of four decimal numbers");
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Target {
    /// As a pattern that matches it alone is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        port(f, self.scheme, self.port)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        match &self.hosts {
            Hosts::One(host) => write!(f, "{host}")?,
            Hosts::Below(suffix) => write!(f, "*{suffix}")?,
        }
        port(f, self.scheme, self.port)
    }
}

/// The port, where it is not the scheme's own.
fn port(f: &mut fmt::Formatter<'_>, scheme: Scheme, port: u16) -> fmt::Result {
    if port == scheme.port() { Ok(()) } else { write!(f, ":{port}") }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        assert_eq!(text.parse::<Pattern>().map(|pattern| pattern.to_string()).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let error = text.parse::<Pattern>().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(text), "{error}");
    }

    #[test]
    fn a_pattern_is_scheme_host_and_port() {
        reads("example.com", "https://example.com");
        reads("HTTP://Example.COM", "http://example.com");
        reads("https://example.com:443", "https://example.com");
        reads("example.com:80", "https://example.com:80");
        reads("http://*.example.com:8080", "http://*.example.com:8080");
        reads("10.0.0.1", "https://10.0.0.1");
        reads("http://[::1]:8080", "http://[::1]:8080");
        reads("[FE80::1]", "https://[fe80::1]");
        reads("my_service.xn--bcher-kva", "https://my_service.xn--bcher-kva");
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "a name has labels"),
            ("*", "a name has labels"),
            ("*.", "a name has labels"),
            ("a.*.com", "a name has labels"),
            ("*example.com", "a name has labels"),
            (".example.com", "a name has labels"),
            ("example.com.", "a name has labels"),
            ("b\u{fc}cher.de", "a name has labels"),
            ("a b", "a name has labels"),
            ("ftp://example.com", "the scheme"),
            ("://example.com", "the scheme"),
            ("example.com/path", "neither path"),
            ("user@example.com", "neither path"),
            ("https://example.com?", "neither path"),
            ("example.com:0", "the port"),
            ("example.com:", "the port"),
            ("example.com:65536", "the port"),
            ("example.com:+80", "the port"),
            ("::1", "in brackets"),
            ("[::1", "in brackets"),
            ("[10.0.0.1]", "in brackets"),
            ("[::1]x", "a port only"),
            ("127.1", "ends in a number"),
            ("0x7f.0.0.0x1", "ends in a number"),
            ("2130706433", "ends in a number"),
            ("10.0.0.256", "ends in a number"),
            ("*.0.0.1", "ends in a number"),
            ("*.10.0.0.1", "followed by a name"),
        ] {
            refused(text, why);
        }
        refused(&"a".repeat(64), "a name has labels");
        refused(&"a.".repeat(127), "a name has labels");
    }

    fn target(text: &str) -> Target {
        let Pattern { scheme, hosts: Hosts::One(host), port } = text.parse().unwrap() else { panic!("{text}") };
        Target { scheme, host, port }
    }

    #[track_caller]
    fn matches(pattern: &str, wanted: &str, expected: bool) {
        let pattern: Pattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(&target(wanted)), expected, "{pattern} and {wanted}");
    }

    #[test]
    fn scheme_host_and_port_must_all_match() {
        matches("example.com", "https://example.com:443", true);
        matches("EXAMPLE.com", "example.COM", true);
        matches("example.com", "http://example.com", false);
        matches("example.com", "http://example.com:443", false);
        matches("example.com", "example.com:8443", false);
        matches("example.com", "www.example.com", false);
        matches("example.com", "example.com.evil.org", false);
        matches("http://127.0.0.1:80", "http://127.0.0.1", true);
        matches("127.0.0.1", "127.0.0.2", false);
        matches("127.0.0.1", "[::ffff:127.0.0.1]", false);
        matches("[::1]", "[0:0:0:0:0:0:0:1]", true);
    }

    #[test]
    fn a_star_stands_for_the_names_below() {
        matches("*.example.com", "a.example.com", true);
        matches("*.example.com", "a.b.example.com", true);
        matches("*.example.com", "example.com", false);
        matches("*.example.com", "evilexample.com", false);
        matches("*.example.com", "a.example.com:1", false);
        matches("*.example.com", "10.0.0.1", false);
    }

    #[track_caller]
    fn covers(pattern: &str, other: &str, there: bool, back: bool) {
        let (one, two): (Pattern, Pattern) = (pattern.parse().unwrap(), other.parse().unwrap());
        assert_eq!((one.covers(&two), two.covers(&one)), (there, back), "{one} and {two}");
        assert_eq!((one.overlaps(&two), two.overlaps(&one)), (there || back, there || back), "{one} and {two}");
    }

    #[test]
    fn patterns_cover_one_another() {
        covers("example.com", "https://EXAMPLE.com:443", true, true);
        covers("example.com", "http://example.com", false, false);
        covers("*.example.com", "a.example.com", true, false);
        covers("*.example.com", "*.a.example.com", true, false);
        covers("*.example.com", "*.example.com", true, true);
        covers("*.example.com", "example.com", false, false);
        covers("*.example.com", "*.example.org", false, false);
        covers("*.example.com", "*.example.com:8443", false, false);
        covers("10.0.0.1", "10.0.0.1", true, true);
        covers("*.a.com", "*.b.a.com:444", false, false);
    }
}
