//! Every key the host knows, in tables: name, type, default, who it is for, and what it does.
//!
//! The tables are the only place where defaults and ranges are written down: code reads them through the [`Key`]s, the
//! reference in the documentation is held against them.

pub mod connect;
mod connector;
mod worker;

pub use connector::*;
pub use worker::*;

use std::net::IpAddr;

use ipnet::IpNet;
use sandbar_abi::manifest::Kind as Plugin;
use sandbar_abi::pattern::Pattern;
use semver::VersionReq;

use crate::digest::Digest;
use crate::trust::{KeyError, PublicKey};
/// What stands for a name that the file chooses.
const ALIAS: &str = "<alias>";

/// What stands for the cluster's own number of replicas.
const BY_CLUSTER: &str = "-1";
/// The most replicas that can be asked for.
pub const MAX_REPLICAS: i64 = 32_767;

/// A key of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Its name; `*` at its end stands for any rest, `<alias>` for a name that the file chooses.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value it has where none is given. Without one the key is required, or its absence means something its
    /// text says.
    pub default: Option<&'static str>,
    /// The kinds of connector it does something for.
    pub applies: &'static [Plugin],
    doc: &'static str,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    /// A time in milliseconds within bounds, both included; -1, where it is one of them, is forever.
    Millis(i64, i64),
    /// A number of replicas, or -1 for as many as the cluster gives a topic by itself.
    Replicas,
    /// A number of bytes within bounds, both included; -1, where it is one of them, is without limit.
    Bytes(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A path; relative ones start at the folder of the file.
    Path,
    /// The name of a topic.
    Topic,
    /// Names of topics, separated by commas.
    Topics,
    /// A regular expression.
    Regex,
    /// A requirement on a semantic version, as Cargo writes them.
    Version,
    /// Names, separated by commas.
    Names,
    /// Absolute directories, separated by commas.
    Directories,
    /// SHA-256 sums in hexadecimal, separated by commas.
    Digests,
    /// Public keys of minisign's, or paths of their `.pub` files, separated by commas.
    PublicKeys,
    /// Hosts as grants name them, separated by commas.
    Hosts,
    /// Addresses and blocks of them, separated by commas.
    Addresses,
    /// A host and a port, as `127.0.0.1:8083`, or `none`.
    Address,
    /// A URL of `http` or `https`, as `http://127.0.0.1:4318`, or `none`.
    Endpoint,
    /// A share from 0 to 1, as `0.1`.
    Ratio,
    /// Properties that are passed on as they are.
    Properties,
}

impl Key {
    /// What it does, as Markdown.
    #[must_use]
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }

    /// Whether a key of a file is this one.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if let Some((prefix, _)) = self.name.split_once('*') {
            return name.len() > prefix.len() && name.starts_with(prefix);
        }
        // Most keys are none of these, and every name of a file is compared to all of them.
        if !self.is_pattern() {
            return name == self.name;
        }
        let Some((prefix, suffix)) = self.name.split_once(ALIAS) else { return false };
        let alias = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        alias.is_some_and(|alias| !alias.is_empty() && !alias.contains('.'))
    }

    /// The key's name for one alias.
    #[must_use]
    pub fn name_for(&self, alias: &str) -> String {
        self.name.replace(ALIAS, alias)
    }

    /// Whether the name stands for more than itself.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.name.contains(['*', '<'])
    }
}

impl Kind {
    /// Whether the value is a list.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            Self::Topics
                | Self::Names
                | Self::Directories
                | Self::Digests
                | Self::PublicKeys
                | Self::Hosts
                | Self::Addresses
        )
    }

    /// Whether empty text stands for no value, as in Kafka Connect's own defaults.
    #[must_use]
    pub const fn is_absent_when_empty(self) -> bool {
        matches!(self, Self::Text | Self::Path | Self::Topic | Self::Regex | Self::Version)
    }

    /// Says what is wrong with a value; for lists, with one item.
    pub fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Text | Self::Path | Self::Names | Self::Properties => Ok(()),
            Self::Address => address(text),
            Self::Endpoint => endpoint(text),
            Self::Ratio => ratio(text),
            Self::Flag => one_of(&["true", "false"], &text.to_ascii_lowercase()),
            Self::Integer(min, max) => within(text, min, max, ""),
            Self::Millis(min, max) => within(text, min, max, " of milliseconds"),
            Self::Replicas if text == BY_CLUSTER => Ok(()),
            Self::Replicas => within(text, 1, MAX_REPLICAS, " of replicas")
                .map_err(|wrong| format!("{wrong}; {BY_CLUSTER} stands for the cluster's default.replication.factor")),
            Self::Bytes(min, max) => within(text, min, max, " of bytes"),
            Self::OneOf(words) => one_of(words, text),
            Self::Topic | Self::Topics => topic(text),
            Self::Regex => regex::Regex::new(text).map(drop).map_err(|error| {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("is not a regular expression: {reason}")
            }),
            Self::Version => {
                VersionReq::parse(text).map(drop).map_err(|error| format!("is not a version requirement: {error}"))
            }
            Self::Directories => directory(text),
            Self::Digests => text.parse::<Digest>().map(drop).map_err(|error| format!("\"{text}\" {error}")),
            Self::PublicKeys if is_key_file(text) => Ok(()),
            Self::PublicKeys => PublicKey::parse(text).map(drop).map_err(|error| public_key(text, error)),
            Self::Hosts => text.parse::<Pattern>().map(drop).map_err(|error| error.to_string()),
            Self::Addresses => block(text).map(drop),
        }
    }
}

/// Whether an item of a list of public keys is the path of a file. No key has a dot in it.
#[must_use]
pub fn is_key_file(text: &str) -> bool {
    text.ends_with(".pub")
}

fn public_key(text: &str, error: KeyError) -> String {
    match error {
        // It shall not get into a log.
        KeyError::Secret => error.to_string(),
        KeyError::NotAKey => format!("\"{text}\" {error}, nor the path of a .pub file"),
    }
}

fn within(text: &str, min: i64, max: i64, unit: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        _ if max == i64::MAX => Err(format!("must be a whole number{unit}, {min} or more, not \"{text}\"")),
        _ => Err(format!("must be a whole number{unit} from {min} to {max}, not \"{text}\"")),
    }
}

fn one_of(words: &[&str], text: &str) -> Result<(), String> {
    if words.contains(&text) {
        return Ok(());
    }
    Err(format!("must be one of {}, not \"{text}\"", words.join(", ")))
}

/// The longest name of a topic, as Kafka has it.
const MAX_TOPIC_CHARS: usize = 249;

fn topic(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > MAX_TOPIC_CHARS || !text.chars().all(fits) || matches!(text, "." | "..") {
        let rule = "1 to 249 of the letters a-z, A-Z, 0-9, '.', '_', '-'";
        return Err(format!("\"{text}\" is not the name of a topic, which is {rule}"));
    }
    Ok(())
}

fn address(text: &str) -> Result<(), String> {
    let parts = text.rsplit_once(':');
    if text == super::rest::NOWHERE || parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    {
        return Ok(());
    }
    Err(format!("\"{text}\" is not HOST:PORT, as in 127.0.0.1:8083"))
}

/// The text is not repeated: it may hold what was meant for nobody.
fn endpoint(text: &str) -> Result<(), String> {
    if text == super::rest::NOWHERE {
        return Ok(());
    }
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        return Err("must be a URL of http or https, as http://127.0.0.1:4318, or none".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user or a password in it: credentials belong into a header".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with its path: a query or a fragment has no place in it".to_owned());
    }
    Ok(())
}

fn ratio(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
        _ => Err(format!("must be a number from 0 to 1, not \"{text}\"")),
    }
}

fn directory(text: &str) -> Result<(), String> {
    let path = std::path::Path::new(text);
    if !path.is_absolute() {
        return Err(format!("\"{text}\" must be an absolute directory"));
    }
    // `..` would make the grant something else than what it says.
    if path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(format!("\"{text}\" must not contain \"..\""));
    }
    Ok(())
}

/// A block of addresses; one address is a block of one.
pub(in crate::config) fn block(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let wrong = |_| format!("\"{text}\" is neither an address nor a block of them, as 10.1.0.0/16");
    address.or_else(|_| text.parse::<IpNet>()).map_err(wrong)
}

/// Declares keys and the table of them; the documentation comments are the documentation of the keys.
macro_rules! keys {
    (
        $(#[$about:meta])*
        $TABLE:ident:
        $( $(#[doc = $doc:literal])+ $NAME:ident = $name:literal, $kind:expr, $default:expr, $applies:expr; )+
    ) => {
        $(
            $(#[doc = $doc])+
            pub const $NAME: Key = Key {
                name: $name, kind: $kind, default: $default, applies: $applies, doc: concat!($($doc),+),
            };
        )+
        $(#[$about])*
        pub const $TABLE: &[Key] = &[$($NAME),+];
    };
}
pub(in crate::config::keys) use keys;

#[cfg(test)]
mod tests {
    //! The tables agree with themselves.

    use super::*;

    #[test]
    fn defaults_are_values_and_names_are_unique() {
        for table in [KEYS, WORKER_KEYS] {
            let mut names: Vec<_> = table.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.len());
            for key in table {
                assert!(key.doc().ends_with('.'), "{}", key.name);
                if let Some(default) = key.default.filter(|default| !(key.kind.is_list() && default.is_empty())) {
                    assert_eq!(key.kind.check(default), Ok(()), "{}", key.name);
                }
            }
        }
    }

    #[test]
    fn values_are_checked() {
        let good = [
            (Kind::Integer(1, 10), "10"),
            (Kind::Replicas, "3"),
            (Kind::Replicas, "-1"),
            (Kind::Flag, "TRUE"),
            (Kind::Topic, "a.b-C_9"),
            (Kind::Regex, "a|b"),
            (Kind::Version, "^1.2"),
            (Kind::Directories, "/srv/in"),
            (Kind::Digests, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852B855"),
            (Kind::PublicKeys, "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"),
            (Kind::PublicKeys, "keys/release.pub"),
            (Kind::Hosts, "http://*.example.com:8080"),
            (Kind::Addresses, "10.1.0.0/16"),
            (Kind::Addresses, "::1"),
            (Kind::Endpoint, "https://otlp.example.com/otlp"),
            (Kind::Endpoint, "none"),
            (Kind::Ratio, "0.25"),
        ];
        for (kind, text) in good {
            assert_eq!(kind.check(text), Ok(()), "{text}");
        }
        let bad = [
            (Kind::Integer(1, 10), "11"),
            (Kind::Millis(0, i64::MAX), "-1"),
            (Kind::Bytes(0, 9), "1 MiB"),
            (Kind::Replicas, "0"),
            (Kind::Replicas, "32768"),
            (Kind::Flag, "yes"),
            (Kind::OneOf(&["a"]), "b"),
            (Kind::Topic, ".."),
            (Kind::Topic, "a b"),
            (Kind::Regex, "a("),
            (Kind::Version, "one"),
            (Kind::Directories, "in"),
            (Kind::Directories, "/srv/../etc"),
            (Kind::Digests, "e3b0"),
            (Kind::PublicKeys, "RWQf6LRCGA9i53mlYecO4Iz"),
            (Kind::PublicKeys, "release.key"),
            (Kind::Hosts, "*"),
            (Kind::Hosts, "https://example.com/"),
            (Kind::Addresses, "10.1.0.0/33"),
            (Kind::Addresses, "localhost"),
            (Kind::Endpoint, "localhost:4318"),
            (Kind::Endpoint, "http://me:pw@localhost:4318"),
            (Kind::Endpoint, "http://localhost:4318?key=1"),
            (Kind::Ratio, "1.1"),
            (Kind::Ratio, "NaN"),
        ];
        for (kind, text) in bad {
            assert!(kind.check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_match_what_goes_on_after_them() {
        assert!(PRODUCER_OVERRIDE.matches("producer.override.linger.ms"));
        assert!(!PRODUCER_OVERRIDE.matches("producer.override."));
        assert!(!TASKS_MAX.matches("tasks.max.enforce"));
        assert!(SANDBOX_HTTP_INJECT_HOSTS.matches("sandbox.http.inject.api.hosts"));
        for name in ["sandbox.http.inject..hosts", "sandbox.http.inject.hosts", "sandbox.http.inject.a.b.hosts"] {
            assert!(!SANDBOX_HTTP_INJECT_HOSTS.matches(name), "{name}");
        }
    }
}
