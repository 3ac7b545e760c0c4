//! What all clients of a worker share: whose certificates are trusted, and who knows the addresses of names.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tracing::warn;
use url::Url;

use super::client::{Client, Policy};
use super::inject::Injection;
use super::post::Poster;
use super::resolver::{Lookup, System};

/// The largest file of certificates, in bytes: ten times what systems ship.
const MAX_CA_FILE_BYTES: u64 = 4 << 20;

/// See the module. Cloning it is cheap.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    lookup: Arc<dyn Lookup>,
    own: Vec<CertificateDer<'static>>,
    /// The system's certificates are read when the first client is made: most workers need none.
    tls: OnceLock<Result<ClientConfig, String>>,
}

/// A network that cannot be used as it was configured.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The file of certificates cannot be read.
    #[error("http.ca.file: {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("http.ca.file: {}: {what}", path.display())]
    NoCertificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is no TLS on this machine.
    #[error("no client for HTTP can be made: {0}")]
    Client(String),
}

impl Network {
    /// The machine's own network, and its certificates; those in the file are trusted too.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, NetworkError> {
        Self::with_lookup(ca_file, Arc::new(System::default()))
    }

    /// The same, but for the addresses of names.
    pub fn with_lookup(ca_file: Option<&Path>, lookup: Arc<dyn Lookup>) -> Result<Self, NetworkError> {
        let own = ca_file.map_or(Ok(Vec::new()), certificates)?;
        Ok(Self(Arc::new(Shared { lookup, own, tls: OnceLock::new() })))
    }

    /// A client with connections of its own.
    pub async fn client(&self, policy: Policy, injections: Vec<Injection>) -> Result<Client, NetworkError> {
        Client::new(self.tls().await?, Arc::clone(&self.0.lookup), policy, injections)
    }

    /// What the host itself sends with, to one URL.
    pub async fn poster(
        &self,
        url: Url,
        headers: &[(String, String)],
        timeout: Duration,
    ) -> Result<Poster, NetworkError> {
        Poster::new(self.tls().await?, url, headers, timeout)
    }

    async fn tls(&self) -> Result<ClientConfig, NetworkError> {
        let shared = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || shared.tls.get_or_init(|| tls(&shared.own)).clone());
        let failed = NetworkError::Client;
        read.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }
}

/// How to speak TLS to servers: trusting the system's certificates, and those in the file.
pub(crate) fn tls_client(ca_file: Option<&Path>) -> Result<ClientConfig, NetworkError> {
    let own = ca_file.map_or(Ok(Vec::new()), certificates)?;
    tls(&own).map_err(NetworkError::Client)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetworkError> {
    let unreadable = |source| NetworkError::Unreadable { path: path.to_owned(), source };
    let wrong = |what: String| NetworkError::NoCertificates { path: path.to_owned(), what };
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_CA_FILE_BYTES + 1).read_to_end(&mut pem).map_err(unreadable)?;
    if pem.len() as u64 > MAX_CA_FILE_BYTES {
        return Err(wrong(format!("is larger than {MAX_CA_FILE_BYTES} bytes")));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| wrong(format!("is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(wrong("holds no certificate in PEM".to_owned()));
    }
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store.add(certificate.clone()).map_err(|error| wrong(format!("holds a certificate that is none: {error}")))?;
    }
    Ok(found)
}

fn tls(own: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        warn!(%error, "certificates of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // Systems ship certificates that are no longer valid ones; what they sign is not trusted.
    let (trusted, _) = roots.add_parsable_certificates(system.certs.into_iter().chain(own.iter().cloned()));
    if trusted == 0 {
        warn!("no certificate is trusted, so that no server with TLS is; http.ca.file names more");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(content: Option<&[u8]>, why: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = Network::new(Some(&path)).err().unwrap().to_string();
        assert!(error.starts_with("http.ca.file: ") && error.contains("ca.pem: ") && error.contains(why), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        refused(None, "No such file");
        refused(Some(b""), "holds no certificate");
        refused(Some(b"-----BEGIN CERTIFICATE-----\nAA=\n-----END CERTIFICATE-----\n"), "");
        refused(
            Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "holds a certificate that is none",
        );
        refused(Some(&vec![b'\n'; 5 << 20]), "is larger than");
    }
}
