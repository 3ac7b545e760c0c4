//! How a host is reached: its socket, a plain connection, or one by TLS.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{Client, ClientError, Remote};
use crate::api::path;
use crate::http::tls_client;

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, ClientError> {
        match self {
            Self::Local(data) => match UnixStream::connect(path(data)).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                    Err(ClientError::NoHost(data.clone()))
                }
                Err(error) => Err(self.unreachable(error)),
            },
            Self::Remote(remote) => remote.connect().await.map_err(|error| self.unreachable(error)),
        }
    }

    /// What the host is called in a request.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Local(_) => "sandbar".to_owned(),
            Self::Remote(remote) => remote.url.authority().to_owned(),
        }
    }

    pub(super) fn unreachable(&self, why: impl ToString) -> ClientError {
        let at = match self {
            Self::Local(data) => path(data).display().to_string(),
            Self::Remote(remote) => remote.url.to_string(),
        };
        ClientError::Unreachable { at, why: why.to_string() }
    }
}

impl Remote {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = self.url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        if self.url.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        let config = tls_client(self.ca.as_deref()).map_err(io::Error::other)?;
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}
