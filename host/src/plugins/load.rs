//! Turns a file that has come to rest into a plugin that can be started: read once, trusted, judged, compiled, in this order.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::{Inspection, Plugin, PluginError, Source, inspect};
use crate::discovery::{FoundFile, ReadError};
use crate::sandbox::{Cache, CompileError, Compiled, Engine};
use crate::text::{cut, one_line};
use crate::trust::{Policy, TrustError, Verdict};

/// What turns files into plugins.
#[async_trait]
pub trait Load: Send + Sync + 'static {
    /// Loads the plugin of a file.
    async fn load(self: Arc<Self>, file: FoundFile) -> Result<Arc<Plugin>, LoadError>;
}

/// What loading takes besides the file.
pub struct Loader {
    /// What compiles.
    pub engine: Engine,
    /// Where machine code is kept, if there is a place for it.
    pub cache: Option<Cache>,
    /// What may be loaded.
    pub trust: Policy,
}

/// Why a file is no plugin that can be started.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// It is not taken as it is.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It does not compile or link.
    #[error("{0}")]
    Compile(#[from] CompileError),
    /// A defect of the host's, not of the file.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why the bytes of a file are not taken: everything that was found. Names in it are the file's, and may be of any length.
#[derive(Debug, Error)]
pub enum Refusal {
    /// They may not be loaded here. What else is wrong with them nobody has looked at.
    #[error("{}", cut(&one_line(.0)))]
    Untrusted(Vec<TrustError>),
    /// They break the rules for plugins.
    #[error("{}", cut(&one_line(.0)))]
    Invalid(Vec<PluginError>),
}

/// A plugin that may be loaded and keeps to the rules, from its bytes alone.
#[derive(Debug)]
pub struct Admitted {
    /// Who answers for it.
    pub trust: Verdict,
    /// What it is.
    pub inspection: Inspection,
}

/// Decides whether bytes are taken as a plugin: first whether they may be, and only then what they are.
pub fn admit(wasm: &[u8], signature: Option<&[u8]>, trust: &Policy) -> Result<Admitted, Refusal> {
    let trust = trust.judge(wasm, signature).map_err(Refusal::Untrusted)?;
    let inspection = inspect(wasm).map_err(Refusal::Invalid)?;
    Ok(Admitted { trust, inspection })
}

impl Refusal {
    /// The reasons, one by one.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Untrusted(reasons) => reasons.iter().map(|reason| cut(&reason.to_string()).to_owned()).collect(),
            Self::Invalid(reasons) => reasons.iter().map(|reason| cut(&reason.to_string()).to_owned()).collect(),
        }
    }
}

impl LoadError {
    /// Whether the file has moved on since it was found, so that it is another file that has to be looked at.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Read(ReadError::Changed))
    }
}

impl Loader {
    /// Loads a plugin. What is compiled are the very bytes that were judged. Blocks, for as long as compiling takes where
    /// the cache does not hold it.
    pub fn load_now(&self, file: &FoundFile) -> Result<Plugin, LoadError> {
        let signature = file.read_signature()?;
        let wasm = file.read()?;
        let Admitted { trust, inspection } = admit(&wasm, signature.as_deref(), &self.trust)?;
        let compiled = Compiled::new(&self.engine, &wasm, self.cache.as_ref())?;
        let source = Source { wasm: wasm.into(), signature: signature.map(Arc::from) };
        Ok(Plugin { trust, inspection, compiled, source })
    }
}

#[async_trait]
impl Load for Loader {
    async fn load(self: Arc<Self>, file: FoundFile) -> Result<Arc<Plugin>, LoadError> {
        let loaded = spawn_blocking(move || self.load_now(&file)).await;
        loaded.unwrap_or_else(|broken| Err(LoadError::Internal(broken.to_string()))).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use sandbar_abi::names::MAX_TEXT_BYTES;

    use super::*;

    #[test]
    fn a_refusal_quotes_no_more_of_a_file_than_a_log_takes() -> Result<(), Box<dyn Error>> {
        let wasm = wat::parse_str(format!("(module (import \"{}\" \"f\" (func)))", "n".repeat(100_000)))?;
        let refusal = admit(&wasm, None, &Policy::default()).err().ok_or("it must be refused")?;
        let text = refusal.to_string();
        assert!((MAX_TEXT_BYTES - 3..=MAX_TEXT_BYTES).contains(&text.len()), "{} bytes", text.len());
        assert!(refusal.reasons().iter().all(|reason| reason.len() <= MAX_TEXT_BYTES));
        Ok(())
    }
}
