//! What plugins may send requests to, and the headers that are added to them: the definition's keys, held against what
//! manifests ask for.

use std::time::Duration;

use ipnet::IpNet;
use sandbar_abi::Manifest;
use sandbar_abi::names::MAX_HTTP_HOSTS;
use sandbar_abi::pattern::{Host, Pattern, Scheme};

use super::{HttpSettings, InjectSettings};
use crate::config::error::ErrorKind;
use crate::config::keys::{self, Key};
use crate::config::reader::{self, Reader};
use crate::config::secrets::{self, SecretValue};
use crate::config::suggest;
use crate::http::{Ask, Grant, Policy, check_header};

/// The most headers that are added: each is held against every request.
const MAX_INJECTED: usize = 16;
/// The most blocks of addresses: each is held against every address that is not public.
const MAX_ADDRESSES: usize = 100;
/// The keys of one header.
const INJECT_KEYS: [&Key; 3] =
    [&keys::SANDBOX_HTTP_INJECT_HEADER, &keys::SANDBOX_HTTP_INJECT_VALUE, &keys::SANDBOX_HTTP_INJECT_HOSTS];

/// What the definition grants, to whichever of its plugins asks.
pub(super) struct GrantedHttp {
    hosts: Vec<Pattern>,
    addresses: Vec<IpNet>,
    timeout: Duration,
    response_max_bytes: usize,
    inject: Vec<InjectSettings>,
}

impl GrantedHttp {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let hosts = patterns(bounded(reader, &keys::SANDBOX_HTTP_HOSTS, MAX_HTTP_HOSTS));
        let addresses = bounded(reader, &keys::SANDBOX_HTTP_ADDRESSES, MAX_ADDRESSES);
        if hosts.is_empty() && !reader.told(&keys::SANDBOX_HTTP_HOSTS) {
            for key in [&keys::SANDBOX_HTTP_ADDRESSES, &keys::SANDBOX_HTTP_INJECT] {
                if reader.has(key) {
                    reader.warning(key.name, format!("has no effect: {} names none", keys::SANDBOX_HTTP_HOSTS.name));
                }
            }
        }
        Self {
            addresses: addresses.iter().filter_map(|text| keys::block(text).ok()).collect(),
            timeout: reader.millis(&keys::SANDBOX_HTTP_TIMEOUT_MS),
            response_max_bytes: reader.integer(&keys::SANDBOX_HTTP_RESPONSE_MAX_BYTES),
            inject: inject(reader, &hosts),
            hosts,
        }
    }

    /// Says which hosts none of the plugins asks for.
    pub(super) fn warn_unasked(&self, reader: &mut Reader<'_>, plugins: &[&Manifest]) {
        let asked: Vec<Ask> = plugins.iter().flat_map(|manifest| asks(manifest)).collect();
        for host in self.hosts.iter().filter(|host| !asked.iter().any(|ask| ask.meets(host))) {
            let message = format!("{host} is not granted: no plugin asks to send requests there");
            reader.warning(keys::SANDBOX_HTTP_HOSTS.name, message);
        }
    }

    /// What one plugin may do; nothing if it does not ask.
    pub(super) fn grant(&self, reader: &mut Reader<'_>, manifest: &Manifest) -> Option<HttpSettings> {
        let (asked, plugin) = (asks(manifest), &manifest.name);
        if asked.is_empty() {
            return None;
        }
        if !reader.told(&keys::SANDBOX_HTTP_HOSTS) {
            for ask in asked.iter().filter(|ask| !self.hosts.iter().any(|host| ask.meets(host))) {
                let message = match ask {
                    Ask::Any => format!("is required: plugin {plugin} asks to send requests to hosts that it names"),
                    Ask::Of(pattern) => format!("must name {pattern}: plugin {plugin} asks to send requests there"),
                };
                reader.error(ErrorKind::Missing, keys::SANDBOX_HTTP_HOSTS.name, message);
            }
        }
        let policy = Policy {
            grant: Grant { asked, hosts: self.hosts.clone() },
            addresses: self.addresses.clone(),
            timeout: self.timeout,
            response_max_bytes: self.response_max_bytes,
        };
        Some(HttpSettings { policy, inject: self.inject.clone() })
    }
}

/// What a manifest asks for; it was checked, so that all of it can be read.
fn asks(manifest: &Manifest) -> Vec<Ask> {
    manifest.capabilities.http.iter().filter_map(|text| Ask::parse(text)).collect()
}

/// The items of a list, which must not be too many.
fn bounded(reader: &mut Reader<'_>, key: &Key, max: usize) -> Vec<String> {
    let items = reader.list(key);
    if items.len() > max {
        reader.error(ErrorKind::Invalid, key.name, format!("has {} items, the limit is {max}", items.len()));
        return Vec::new();
    }
    items
}

/// Items that were checked one by one.
fn patterns(items: Vec<String>) -> Vec<Pattern> {
    items.iter().filter_map(|text| text.parse().ok()).collect()
}

fn inject(reader: &mut Reader<'_>, granted: &[Pattern]) -> Vec<InjectSettings> {
    let list = &keys::SANDBOX_HTTP_INJECT;
    let aliases = bounded(reader, list, MAX_INJECTED);
    unlisted(reader, &aliases);
    let (mut seen, mut injected) = (Vec::new(), Vec::new());
    for alias in &aliases {
        if alias.contains('.') {
            reader.error(ErrorKind::Invalid, list.name, format!("\"{alias}\" must have no dot in it"));
        } else if seen.contains(&alias) {
            reader.error(ErrorKind::Invalid, list.name, format!("names \"{alias}\" twice"));
        } else {
            seen.push(alias);
            injected.extend(one(reader, alias, granted));
        }
    }
    injected
}

/// Says which headers are described and not in the list.
fn unlisted(reader: &mut Reader<'_>, aliases: &[String]) {
    let entries = reader.entries;
    for name in entries.keys().filter(|name| INJECT_KEYS.iter().any(|key| key.matches(name))) {
        if !aliases.iter().any(|alias| INJECT_KEYS.iter().any(|key| key.name_for(alias) == *name)) {
            let alias = name.rsplit('.').nth(1).unwrap_or_default();
            let hint = suggest::hint(alias, aliases.iter().map(String::as_str));
            let message = format!("\"{alias}\" is not in {}{hint}", keys::SANDBOX_HTTP_INJECT.name);
            reader.error(ErrorKind::UnknownKey, name, message);
        }
    }
}

/// One header.
fn one(reader: &mut Reader<'_>, alias: &str, granted: &[Pattern]) -> Option<InjectSettings> {
    let name = |key: &Key| key.name_for(alias);
    let header_key = name(&keys::SANDBOX_HTTP_INJECT_HEADER);
    let header = reader.required(&keys::SANDBOX_HTTP_INJECT_HEADER, &header_key);
    if let Some(Err(message)) = header.as_deref().map(check_header) {
        reader.error(ErrorKind::Invalid, &header_key, message);
    }
    let value = value(reader, &name(&keys::SANDBOX_HTTP_INJECT_VALUE));
    let hosts = hosts(reader, &name(&keys::SANDBOX_HTTP_INJECT_HOSTS), granted);
    Some(InjectSettings { header: header?, value: value?, hosts })
}

fn value(reader: &mut Reader<'_>, key: &str) -> Option<SecretValue> {
    let Some(value) = reader.entries.get(key) else {
        reader.error(ErrorKind::Missing, key, "is required");
        return None;
    };
    let text = reader::text(value).filter(|text| !text.is_empty()).ok_or_else(|| "must be a single value".to_owned());
    match text.and_then(|text| SecretValue::new(reader.origin, key, text)) {
        Ok(value) => Some(value),
        Err(message) => {
            reader.error(ErrorKind::Invalid, key, message);
            None
        }
    }
}

/// The hosts that get a header. Only where one host is granted it is plain which.
fn hosts(reader: &mut Reader<'_>, key: &str, granted: &[Pattern]) -> Vec<Pattern> {
    let found = reader.errors.len();
    let given = reader.text_of(&keys::SANDBOX_HTTP_INJECT_HOSTS, key).unwrap_or_default();
    let mut hosts = patterns(secrets::items(&given).map(str::to_owned).collect());
    if reader.errors.len() > found || granted.is_empty() {
        return hosts;
    }
    match granted {
        [only] if hosts.is_empty() && only.host().is_some() => hosts.push(only.clone()),
        _ if hosts.is_empty() => {
            let message = format!("is required: {} grants more than one host", keys::SANDBOX_HTTP_HOSTS.name);
            reader.error(ErrorKind::Missing, key, message);
        }
        _ => {}
    }
    for host in &hosts {
        if !granted.iter().any(|granted| granted.covers(host)) {
            let message = format!("names {host}, which {} does not grant", keys::SANDBOX_HTTP_HOSTS.name);
            reader.error(ErrorKind::Invalid, key, message);
        } else if host.scheme() == Scheme::Http && !is_loopback(host) {
            reader.warning(key, format!("{host} gets the header in the clear, for anyone on the way to read"));
        }
    }
    hosts
}

fn is_loopback(pattern: &Pattern) -> bool {
    match pattern.host() {
        Some(Host::Name(name)) => name == "localhost",
        Some(Host::Address(address)) => address.is_loopback(),
        None => false,
    }
}
