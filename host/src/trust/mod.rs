//! Decides whether the code in a file may be loaded at all: by its hash and by who signed it, before anything else of it
//! is looked at.
//!
//! Pure: bytes and a policy in, a verdict out. Whoever asks has read the bytes once, and goes on with these very bytes.
//! Nothing here knows of files, of wasm, or of what a plugin is.

mod error;
mod key;
mod policy;
mod signature;

pub use error::{KeyError, TrustError};
pub use key::{KeyId, PublicKey};
pub use policy::{Policy, Signer, Verdict};
pub use signature::Signature;

#[cfg(test)]
mod tests;
