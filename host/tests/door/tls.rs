//! TLS: certificates of the host and of its clients, renewed and wrong ones.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sandbar::door::{Door, DoorOptions, Role, TlsOptions};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Client, LIMIT, SHORT, Server, bearer, with_credentials, within};

/// An authority, and a folder for what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, in PEM.
struct Issued {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the host's certificate and key there.
    fn put(&self, issued: &Issued) {
        fs::write(self.path("host.pem"), &issued.certificate).unwrap();
        fs::write(self.path("host.key"), &issued.key).unwrap();
    }

    /// Options for a host with the certificate that was put there, whose files are looked at each time.
    fn options(&self) -> TlsOptions {
        let mut options = TlsOptions::new(self.path("host.pem"), self.path("host.key"));
        options.check_interval = Duration::ZERO;
        options
    }

    /// Connects as somebody who trusts this authority.
    async fn connect(&self, server: &Server, own: Option<&Issued>) -> io::Result<Client<TlsStream<TcpStream>>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let chain =
                    CertificateDer::pem_slice_iter(own.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap())
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(server.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.map(Client)
    }
}

async fn start(options: TlsOptions) -> Server {
    let mut all = with_credentials();
    all.listen.tls = Some(options);
    Server::start(all).await
}

/// The certificate that the host shows.
fn shown(client: &Client<TlsStream<TcpStream>>) -> CertificateDer<'static> {
    client.0.get_ref().1.peer_certificates().unwrap()[0].clone()
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

#[tokio::test]
async fn requests_are_answered_by_tls_and_plain_http_is_told_what_to_do() {
    let authority = Authority::new();
    authority.put(&authority.issue("localhost"));
    let server = start(authority.options()).await;
    let mut client = authority.connect(&server, None).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.ask("GET /v1/status", &[&bearer(Role::Read)]).await.status(), 200);
    }
    let mut plain = server.client().await;
    let answer = plain.ask("GET /v1/status", &[&bearer(Role::Read)]).await;
    assert_eq!(answer.refused(400), "this port speaks HTTPS: the address begins with https://");
    assert!(plain.is_closed().await);
    let mut noise = server.client().await;
    tokio::io::AsyncWriteExt::write_all(&mut noise.0, b"\0\x01\x02").await.unwrap();
    assert!(noise.is_closed().await);
    // A record that is none ends its own connection only.
    let mut noise = server.client().await;
    tokio::io::AsyncWriteExt::write_all(&mut noise.0, &[22; 1000]).await.unwrap();
    let mut rest = Vec::new();
    let _ = within(tokio::io::AsyncReadExt::read_to_end(&mut noise.0, &mut rest)).await;
    assert_eq!(client.ask("GET /v1/status", &[&bearer(Role::Read)]).await.status(), 200);
}

#[tokio::test]
async fn a_renewed_certificate_counts_at_once_and_what_cannot_be_used_does_not() {
    let authority = Authority::new();
    let (first, second) = (authority.issue("localhost"), authority.issue("localhost"));
    authority.put(&first);
    let server = start(authority.options()).await;
    let mut before = authority.connect(&server, None).await.unwrap();
    assert_eq!(shown(&before), der(&first));
    // Half of it, nothing, nonsense, and the key of another.
    fs::write(authority.path("host.pem"), &second.certificate).unwrap();
    assert_eq!(shown(&authority.connect(&server, None).await.unwrap()), der(&first));
    fs::write(authority.path("host.key"), "nonsense").unwrap();
    assert_eq!(shown(&authority.connect(&server, None).await.unwrap()), der(&first));
    fs::remove_file(authority.path("host.pem")).unwrap();
    assert_eq!(shown(&authority.connect(&server, None).await.unwrap()), der(&first));
    fs::write(authority.path("host.pem"), vec![b'x'; (1 << 20) + 1]).unwrap();
    assert_eq!(shown(&authority.connect(&server, None).await.unwrap()), der(&first));
    authority.put(&second);
    assert_eq!(shown(&authority.connect(&server, None).await.unwrap()), der(&second));
    // Who was there stays.
    assert_eq!(before.ask("GET /v1/status", &[&bearer(Role::Read)]).await.status(), 200);
}

#[tokio::test]
async fn files_are_not_looked_at_for_every_connection() {
    let authority = Authority::new();
    let (first, second) = (authority.issue("localhost"), authority.issue("localhost"));
    authority.put(&first);
    let mut options = authority.options();
    options.check_interval = Duration::from_secs(3600);
    let server = start(options).await;
    authority.put(&second);
    assert_eq!(shown(&authority.connect(&server, None).await.unwrap()), der(&first));
}

#[tokio::test]
async fn with_an_authority_for_clients_nobody_comes_in_without_a_certificate_of_it() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.put(&authority.issue("localhost"));
    fs::write(authority.path("clients.pem"), authority.issuer.pem()).unwrap();
    let mut options = authority.options();
    options.client_ca = Some(authority.path("clients.pem"));
    // With nothing else configured, who has a certificate may do everything, from anywhere and by any name.
    let mut all = DoorOptions::default();
    all.listen.tls = Some(options.clone());
    let mut on_the_network = all.clone();
    on_the_network.listen.address = "0.0.0.0:0".to_owned();
    let listening = Door::new(on_the_network).unwrap().listen().await.unwrap();
    assert!(listening.url().starts_with("https://0.0.0.0:"));
    for (server, with) in [(Server::start(all).await, 200), (start(options).await, 401)] {
        let own = authority.issue("client");
        let mut client = authority.connect(&server, Some(&own)).await.unwrap();
        let answer = client.ask("POST /v1/other", &["host: anything.example"]).await;
        assert_eq!(answer.status(), with, "{answer:?}");
        if with == 200 {
            let name = answer.json()["name"].as_str().unwrap().to_owned();
            let digest = sandbar::digest::Digest::of(&der(&own)).to_string();
            assert_eq!(name, format!("certificate {}", &digest[..16]));
        }
        for own in [None, Some(other.issue("client"))] {
            // With TLS 1.3 a client learns only when it reads that it was refused.
            let refused = match authority.connect(&server, own.as_ref()).await {
                Ok(mut client) => {
                    let request = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut client.0, request).await;
                    client.answer().await.is_err()
                }
                Err(_) => true,
            };
            assert!(refused);
        }
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_not_waited_for() {
    let authority = Authority::new();
    authority.put(&authority.issue("localhost"));
    let mut all = with_credentials();
    (all.listen.tls, all.listen.handshake_timeout) = (Some(authority.options()), SHORT);
    let server = Server::start(all).await;
    for begun in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1]] {
        let mut client = server.client().await;
        tokio::io::AsyncWriteExt::write_all(&mut client.0, begun).await.unwrap();
        assert!(client.is_closed().await, "{begun:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_was_begun_does_not_keep_the_host_from_stopping() {
    let authority = Authority::new();
    authority.put(&authority.issue("localhost"));
    let mut all = with_credentials();
    all.listen.tls = Some(authority.options());
    (all.listen.handshake_timeout, all.listen.shutdown_timeout) = (2 * LIMIT, 2 * LIMIT);
    let mut server = Server::start(all).await;
    let mut silent = server.client().await;
    // Connections are taken in one after the other: the silent one is in when this is answered.
    let mut client = authority.connect(&server, None).await.unwrap();
    assert_eq!(client.ask("GET /v1/status", &[&bearer(Role::Read)]).await.status(), 200);
    drop(client);
    server.stop();
    assert!(silent.is_closed().await);
    within(&mut server.served).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_when_the_host_starts() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("localhost"), authority.issue("localhost"));
    let error = async |options: TlsOptions| {
        let mut all = DoorOptions::default();
        (all.listen.address, all.listen.tls) = ("127.0.0.1:0".to_owned(), Some(options));
        Door::new(all).unwrap().listen().await.unwrap_err().to_string()
    };
    let path = |name: &str| authority.path(name).display().to_string();
    assert!(error(authority.options()).await.starts_with(&format!("{}: No such file", path("host.pem"))));
    authority.put(&Issued { certificate: String::new(), key: one.key.clone() });
    assert_eq!(error(authority.options()).await, format!("{}: has no certificate in PEM", path("host.pem")));
    authority.put(&Issued { certificate: one.certificate.clone(), key: other.certificate.clone() });
    assert!(error(authority.options()).await.starts_with(&format!("{}: has no private key", path("host.key"))));
    authority.put(&Issued { certificate: one.certificate.clone(), key: other.key });
    let message = error(authority.options()).await;
    assert!(message.starts_with(&format!("{}: does not go with {}", path("host.pem"), path("host.key"))), "{message}");
    authority.put(&one);
    let mut options = authority.options();
    options.client_ca = Some(authority.path("host.key"));
    assert_eq!(error(options).await, format!("{}: has no certificate in PEM", path("host.key")));
}
