//! Certificates of the listener, read again when their files have changed: a renewed one counts without a restart. What
//! cannot be used is said once, and the old one stays.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{info, warn};

use super::error::DoorError;
use super::options::TlsOptions;
use crate::config::keys;
use crate::digest::Digest;

/// The largest file, in bytes: a bundle of all authorities that browsers trust is a quarter of it.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The one protocol inside.
const HTTP_1_1: &[u8] = b"http/1.1";

/// What new connections are encrypted with.
pub(super) struct Tls {
    options: TlsOptions,
    held: Mutex<Held>,
}

struct Held {
    config: Arc<ServerConfig>,
    /// What the files held that it was made of.
    content: Digest,
    looked: Instant,
    /// Why what is there now is not used.
    problem: Option<String>,
}

impl Tls {
    /// Reads the files. A host that cannot be met with TLS does not start.
    pub(super) fn open(options: TlsOptions, now: Instant) -> Result<Self, DoorError> {
        let files = Files::read(&options)?;
        let config = Arc::new(files.config(&options)?);
        let held = Held { config, content: files.content(), looked: now, problem: None };
        Ok(Self { options, held: Mutex::new(held) })
    }

    /// Everything that would keep it from being opened, and after it what may be otherwise for the host: whoever checks
    /// may have another account, and keys are for the host's alone.
    pub(super) fn check(options: &TlsOptions) -> (Vec<DoorError>, Vec<DoorError>) {
        Self::check_by(options, |file: Named<'_>| file.content())
    }

    fn check_by(
        options: &TlsOptions,
        read: impl Fn(Named<'_>) -> io::Result<Vec<u8>>,
    ) -> (Vec<DoorError>, Vec<DoorError>) {
        let (mut wrong, mut unsure, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for file in options.files().into_iter().flatten() {
            match read(file) {
                Ok(content) => contents.push((file, content)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unsure.push(file.wrong(error)),
                Err(error) => wrong.push(file.wrong(error)),
            }
        }
        if wrong.is_empty() && unsure.is_empty() {
            wrong.extend(Files::read(options).and_then(|files| files.config(options)).err());
        } else {
            // Whether they go together shows only where all are there.
            let certificates = contents.iter().filter(|(file, _)| file.key != keys::REST_TLS_KEY.name);
            wrong.extend(certificates.filter_map(|(file, content)| file.certificates(content).err()));
        }
        (wrong, unsure)
    }

    /// What a connection is to be encrypted with that begins now. Once in a while one waits until files are read.
    pub(super) async fn current(self: &Arc<Self>, now: Instant) -> Arc<ServerConfig> {
        let is_due = {
            let mut held = self.held();
            let is_due = now.saturating_duration_since(held.looked) >= self.options.check_interval;
            held.looked = if is_due { now } else { held.looked };
            is_due
        };
        if is_due {
            let tls = Arc::clone(self);
            // A panic there would leave the old one, as any other failure.
            let _ = spawn_blocking(move || tls.look_again()).await;
        }
        Arc::clone(&self.held().config)
    }

    fn look_again(&self) {
        let renewed = Files::read(&self.options).and_then(|files| {
            let content = files.content();
            let is_new = content != self.held().content;
            Ok((content, if is_new { Some(files.config(&self.options)?) } else { None }))
        });
        let mut held = self.held();
        match renewed {
            Ok((content, config)) => {
                if let Some(config) = config {
                    (held.config, held.content) = (Arc::new(config), content);
                    info!(certificate = %self.options.certificate.display(), "the certificate was renewed");
                } else if held.problem.is_some() {
                    info!(certificate = %self.options.certificate.display(), "the certificate is as it was");
                }
                held.problem = None;
            }
            Err(error) => {
                let problem = error.to_string();
                if held.problem.as_ref() != Some(&problem) {
                    warn!("the certificate is not renewed, the old one stays: {problem}");
                }
                held.problem = Some(problem);
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A file, by the key that names it.
#[derive(Clone, Copy)]
struct Named<'o> {
    key: &'static str,
    path: &'o Path,
}

impl TlsOptions {
    fn certificate(&self) -> Named<'_> {
        Named { key: keys::REST_TLS_CERTIFICATE.name, path: &self.certificate }
    }

    fn key(&self) -> Named<'_> {
        Named { key: keys::REST_TLS_KEY.name, path: &self.key }
    }

    fn client_ca(&self) -> Option<Named<'_>> {
        self.client_ca.as_deref().map(|path| Named { key: keys::REST_TLS_CLIENT_CA.name, path })
    }

    fn files(&self) -> [Option<Named<'_>>; 3] {
        [Some(self.certificate()), Some(self.key()), self.client_ca()]
    }
}

/// What is in the files.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    fn read(options: &TlsOptions) -> Result<Self, DoorError> {
        Ok(Self {
            certificate: options.certificate().read()?,
            key: options.key().read()?,
            client_ca: options.client_ca().map(Named::read).transpose()?,
        })
    }

    fn content(&self) -> Digest {
        let sums = [&self.certificate, &self.key].into_iter().chain(&self.client_ca).map(|file| Digest::of(file));
        Digest::of(&sums.flat_map(|sum| *sum.as_bytes()).collect::<Vec<_>>())
    }

    fn config(&self, options: &TlsOptions) -> Result<ServerConfig, DoorError> {
        let (certificate, key) = (options.certificate(), options.key());
        let chain = certificate.certificates(&self.certificate)?;
        // What is wrong with a key does not say what is in it.
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| key.wrong("has no private key in PEM that can be read"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| certificate.wrong(error))?;
        let builder = match (options.client_ca(), &self.client_ca) {
            (Some(named), Some(file)) => {
                let mut roots = RootCertStore::empty();
                for root in named.certificates(file)? {
                    roots.add(root).map_err(|error| named.wrong(error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| named.wrong(error))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, private)
            .map_err(|error| certificate.wrong(format!("does not go with {}: {error}", key.path.display())))?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(config)
    }
}

impl Named<'_> {
    fn read(self) -> Result<Vec<u8>, DoorError> {
        self.content().map_err(|error| self.wrong(error))
    }

    fn content(self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let bytes = File::open(self.path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
        if bytes as u64 > MAX_FILE_BYTES {
            return Err(io::Error::other(format!("is larger than {MAX_FILE_BYTES} bytes")));
        }
        Ok(content)
    }

    fn certificates(self, file: &[u8]) -> Result<Vec<CertificateDer<'static>>, DoorError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).collect();
        let certificates = certificates.map_err(|error| self.wrong(error))?;
        if certificates.is_empty() {
            return Err(self.wrong("has no certificate in PEM"));
        }
        Ok(certificates)
    }

    fn wrong(self, reason: impl ToString) -> DoorError {
        DoorError::Tls { key: self.key, path: self.path.to_owned(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_account_may_not_read_another_one_may() {
        let options = TlsOptions { client_ca: Some("ca.pem".into()), ..TlsOptions::new("host.pem", "host.key") };
        let read = |file: Named<'_>| match file.path.to_str() {
            Some("host.key") => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            Some("ca.pem") => Err(io::Error::from(io::ErrorKind::NotFound)),
            _ => Ok(b"text".to_vec()),
        };
        let (wrong, unsure) = Tls::check_by(&options, read);
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(wrong, ["ca.pem: entity not found", "host.pem: has no certificate in PEM"]);
        let unsure: Vec<_> = unsure.iter().map(ToString::to_string).collect();
        assert_eq!(unsure, ["host.key: permission denied"]);
    }
}
