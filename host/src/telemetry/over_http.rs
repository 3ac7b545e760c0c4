//! A collector that is reached by HTTP.

use async_trait::async_trait;
use bytes::Bytes;

use super::export::Collector;
use crate::http::{Posted, Poster};

/// What OTLP calls protobuf.
const PROTOBUF: &str = "application/x-protobuf";

#[async_trait]
impl Collector for Poster {
    fn describe(&self) -> String {
        self.url().to_string()
    }

    async fn send(&self, request: Bytes) -> Result<(u16, Bytes), String> {
        let Posted { status, body } = self.post(PROTOBUF, request).await?;
        Ok((status, body))
    }
}
