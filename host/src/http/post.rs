//! Requests of the host itself, to where its operator said: no guest has a part in them, so there is no grant.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use rustls::ClientConfig;
use url::Url;

use super::client::AGENT;
use super::inject::check_header;
use super::network::NetworkError;

/// The longest answer that is read, in bytes: whoever takes what the host sends has little to say.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How long a connection waits for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends to one URL. It shows no header.
pub struct Poster {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The status.
    pub status: u16,
    /// The body, as far as it is not too long.
    pub body: Bytes,
}

impl Poster {
    pub(super) fn new(
        tls: ClientConfig,
        url: Url,
        headers: &[(String, String)],
        timeout: Duration,
    ) -> Result<Self, NetworkError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // The headers are for this server and no other.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| NetworkError::Client(error.to_string()))?;
        let mut map = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(AGENT))]);
        for (name, value) in headers {
            let name = check_header(name).map_err(NetworkError::Client)?;
            let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                NetworkError::Client(format!("the header {name} has a value with control characters in it"))
            })?;
            value.set_sensitive(true);
            map.append(name, value);
        }
        Ok(Self { client, url, headers: map })
    }

    /// Where it sends to.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a body. The error says why there is no answer, and holds nothing of the headers.
    pub async fn post(&self, content_type: &'static str, body: Bytes) -> Result<Posted, String> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, content_type).body(body);
        let mut response = request.send().await.map_err(why)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(why)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Posted { status, body: body.into() })
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// The last cause says most: the others only that there is one.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_timeout() { "it took too long to answer".to_owned() } else { cause.to_string() }
}
