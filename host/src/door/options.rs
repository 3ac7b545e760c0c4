//! What the door is told when the host starts. Defaults are those of `sandbar.toml`.

use std::path::PathBuf;
use std::time::Duration;

use super::credentials::Credential;

/// Everything there is to say.
#[derive(Clone, Debug, Default)]
pub struct DoorOptions {
    /// Where to listen, and how.
    pub listen: ListenOptions,
    /// Who may come in. Without any, everybody may who reaches a loopback address, or has a client certificate.
    pub credentials: Vec<Credential>,
    /// What requests may take.
    pub limits: Limits,
    /// The origins whose pages may send requests, as `https://example.com`.
    pub allowed_origins: Vec<String>,
    /// The names this host is known by, besides `localhost` and its addresses.
    pub hosts: Vec<String>,
}

/// Where to listen, and how.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// A host and a port; port 0 is one that is free.
    pub address: String,
    /// Whether everybody on the network may do everything, if no credentials say otherwise.
    pub insecure: bool,
    /// Without it, connections are not encrypted.
    pub tls: Option<TlsOptions>,
    /// How many connections there are at most. One client gets half of them.
    pub connections: usize,
    /// How long the TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long the head of a connection's first request may take.
    pub head_timeout: Duration,
    /// How long a connection is kept without a request, and how long the heads of later requests may take.
    pub idle_timeout: Duration,
    /// How long a client may take none of what it is sent.
    pub write_timeout: Duration,
    /// How long requests may take to be answered once the host stops. Those that take longer are told that.
    pub shutdown_timeout: Duration,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8083".to_owned(),
            insecure: false,
            tls: None,
            connections: 1024,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Files in PEM. They are read again when they have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of client certificates. With them, nobody comes in without one.
    pub client_ca: Option<PathBuf>,
    /// How often the files are looked at, at most.
    pub check_interval: Duration,
}

impl TlsOptions {
    /// How often files are looked at: what was renewed counts soon, and a client costs no reading of files.
    pub const CHECK_INTERVAL: Duration = Duration::from_secs(10);

    /// A certificate and its key.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let (certificate, key) = (certificate.into(), key.into());
        Self { certificate, key, client_ca: None, check_interval: Self::CHECK_INTERVAL }
    }
}

/// What requests may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: u64,
    /// The largest plugin that is uploaded, in bytes.
    pub upload_bytes: u64,
    /// How long until a request is answered.
    pub request_timeout: Duration,
    /// How many requests are answered at once.
    pub requests: usize,
    /// How many requests a client may send a second; twice as many at once. 0 is as many as it likes.
    pub requests_per_second: u32,
    /// How many wrong credentials a client may show a minute, and at once. 0 is as many as it likes.
    pub failures_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            upload_bytes: 128 << 20,
            request_timeout: Duration::from_secs(90),
            requests: 256,
            requests_per_second: 500,
            failures_per_minute: 10,
        }
    }
}
