//! What `sandbar.toml` says of the REST interface: where it answers, who may come in, and what requests may take.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::error::ErrorKind;
use super::keys;
use super::reader::{self, Reader};
use super::secrets::SecretValue;
use crate::door::Role;

/// In place of an address: the REST interface answers nowhere.
pub const NOWHERE: &str = "none";
/// What keys of those who may come in begin with.
const AUTH: &str = "auth.";

/// The REST interface. It shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestConfig {
    /// Where it answers; nothing: nowhere but on the socket in the data folder.
    pub listen: Option<String>,
    /// What clients and other workers call this host; nothing: what it listens on, or its own name.
    pub advertised_host: Option<String>,
    /// Whether it may answer to a network without knowing anybody.
    pub insecure: bool,
    /// Names this host is known by.
    pub hosts: Vec<String>,
    /// How connections are encrypted; nothing: not at all.
    pub tls: Option<TlsConfig>,
    /// How many connections there are at most.
    pub connections: usize,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// Who may come in; nobody: everybody may who reaches it.
    pub credentials: Vec<CredentialConfig>,
    /// The origins whose pages may use it.
    pub allowed_origins: Vec<String>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// The largest body of a request, in bytes.
    pub body_max_bytes: u64,
    /// The largest plugin that may be uploaded, in bytes.
    pub plugin_max_bytes: u64,
    /// How many requests are answered at once.
    pub requests_max: usize,
    /// How many requests a client may send a second; 0: as many as it likes.
    pub rate_per_second: u32,
    /// How many wrong credentials a client may show a minute; 0: as many as it likes.
    pub failures_per_minute: u32,
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates.
    pub client_ca: Option<PathBuf>,
}

/// Somebody who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialConfig {
    /// The name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they show.
    pub proof: ProofConfig,
}

/// What somebody shows who comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofConfig {
    /// A bearer token.
    Token(SecretValue),
    /// A password.
    Password(SecretValue),
}

pub(super) fn read(reader: &mut Reader<'_>) -> RestConfig {
    RestConfig {
        listen: reader.text(&keys::REST_LISTEN).filter(|address| address != NOWHERE),
        advertised_host: reader.text(&keys::REST_ADVERTISED_HOST_NAME),
        insecure: reader.flag(&keys::REST_INSECURE),
        hosts: reader.list(&keys::REST_HOSTS),
        tls: tls(reader),
        connections: reader.integer(&keys::REST_CONNECTIONS_MAX),
        idle_timeout: reader.millis(&keys::REST_IDLE_TIMEOUT_MS),
        credentials: credentials(reader),
        allowed_origins: reader.list(&keys::ACCESS_CONTROL_ALLOW_ORIGIN),
        request_timeout: reader.millis(&keys::REST_REQUEST_TIMEOUT_MS),
        body_max_bytes: reader.integer(&keys::REST_BODY_MAX_BYTES),
        plugin_max_bytes: reader.integer(&keys::REST_PLUGIN_MAX_BYTES),
        requests_max: reader.integer(&keys::REST_REQUESTS_MAX),
        rate_per_second: reader.integer(&keys::REST_RATE_PER_SECOND),
        failures_per_minute: reader.integer(&keys::REST_FAILURES_PER_MINUTE),
    }
}

fn tls(reader: &mut Reader<'_>) -> Option<TlsConfig> {
    let (certificate, key) = (reader.path(&keys::REST_TLS_CERTIFICATE), reader.path(&keys::REST_TLS_KEY));
    let client_ca = reader.path(&keys::REST_TLS_CLIENT_CA);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsConfig { certificate, key, client_ca }),
        (None, None) if client_ca.is_none() => None,
        (certificate, _) => {
            let missing = if certificate.is_none() { keys::REST_TLS_CERTIFICATE } else { keys::REST_TLS_KEY };
            reader.error(ErrorKind::Missing, missing.name, "is required where there are other keys of rest.tls");
            None
        }
    }
}

fn credentials(reader: &mut Reader<'_>) -> Vec<CredentialConfig> {
    let entries = reader.entries;
    let named = entries.keys().filter_map(|key| key.strip_prefix(AUTH)?.split_once('.'));
    let names: BTreeSet<&str> = named.map(|(name, _)| name).collect();
    names.into_iter().filter_map(|name| credential(reader, name)).collect()
}

fn credential(reader: &mut Reader<'_>, name: &str) -> Option<CredentialConfig> {
    let role = reader.required(&keys::AUTH_ROLE, &keys::AUTH_ROLE.name_for(name));
    let token = keys::AUTH_TOKEN.name_for(name);
    let password = keys::AUTH_PASSWORD.name_for(name);
    let proof = match (reader.entries.get(&token), reader.entries.get(&password)) {
        (Some(text), None) => secret(reader, &token, text).map(ProofConfig::Token),
        (None, Some(text)) => secret(reader, &password, text).map(ProofConfig::Password),
        (None, None) => {
            reader.error(ErrorKind::Missing, &token, format!("is required, or {password}"));
            None
        }
        (Some(_), Some(_)) => {
            reader.error(ErrorKind::Invalid, &password, format!("is one too many: there is {token}"));
            None
        }
    };
    Some(CredentialConfig { name: name.to_owned(), role: role?.parse().ok()?, proof: proof? })
}

fn secret(reader: &mut Reader<'_>, key: &str, value: &Value) -> Option<SecretValue> {
    let text = reader::text(value).filter(|text| !text.is_empty()).ok_or_else(|| "must be a single value".to_owned());
    match text.and_then(|text| SecretValue::new(reader.origin, key, text)) {
        Ok(secret) => Some(secret),
        Err(message) => {
            reader.error(ErrorKind::Invalid, key, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::WorkerConfig;

    fn parse(text: &str) -> Result<RestConfig, Vec<String>> {
        let parsed = WorkerConfig::parse(Path::new("/etc/sandbar.toml"), text.as_bytes());
        parsed.map(|(worker, _)| worker.rest).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        let rest = parse("").unwrap();
        assert_eq!((rest.listen.as_deref(), rest.credentials.len()), (Some("127.0.0.1:8083"), 0));
        assert_eq!(parse("[rest]\nlisten = \"none\"").unwrap().listen, None);
    }

    #[test]
    fn those_who_may_come_in_are_read_and_never_shown() {
        let text = "[auth.ann]\nrole = \"admin\"\ntoken = \"0123456789abcdef\"\n[auth.bob]\nrole = \"read\"\npassword = \"${env:BOB}\"\n\
                    [rest]\nlisten = \"0.0.0.0:1\"\nhosts = [\"a\", \"b\"]\n[rest.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
        let rest = parse(text).unwrap();
        let who: Vec<_> = rest.credentials.iter().map(|one| (one.name.as_str(), one.role)).collect();
        assert_eq!(who, [("ann", Role::Admin), ("bob", Role::Read)]);
        assert_eq!(rest.tls.as_ref().map(|tls| tls.key.clone()), Some("/etc/k.pem".into()));
        assert!(!format!("{rest:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn half_of_something_is_told() {
        let text = "[auth.ann]\nrole = \"king\"\ntoken = \"x\"\npassword = \"y\"\n[auth.bob]\nrole = \"read\"\n[rest.tls]\nkey = \"k\"";
        let told = parse(text).unwrap_err().join("\n");
        for expected in [
            "auth.ann.role: must be one of read, operate, admin",
            "auth.ann.password: is one too many: there is auth.ann.token",
            "auth.bob.token: is required, or auth.bob.password",
            "rest.tls.certificate: is required where there are other keys of rest.tls",
        ] {
            assert!(told.contains(expected), "{told}");
        }
    }
}
