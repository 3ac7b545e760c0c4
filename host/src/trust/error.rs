//! Why code is not trusted, and why a key is none: each reason names its key or its hash, and the way out.

use thiserror::Error;

use super::KeyId;
use crate::digest::Digest;

/// A reason to refuse a file before it is looked into. The file's name stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// There is a list of what may be loaded, and this is not on it.
    #[error("its sha256 {sha256} is not in plugins.allow: add it there if this very file is to run")]
    NotAllowed {
        /// What the file has.
        sha256: Digest,
    },
    /// A signature is required, and there is none.
    #[error(
        "it has no signature, and plugins.require.signature is true: put the .minisig file of its publisher beside it, \
         or sign it with `minisign -S`"
    )]
    Unsigned,
    /// There is a signature file that is none.
    #[error("its .minisig file is not a signature by minisign ({what}): fetch or make it again, or remove it")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// It is signed the way minisign did before version 0.10.
    #[error("it is signed by key {key} in minisign's legacy format, which is not taken: sign it again without `-l`")]
    Legacy {
        /// Who signed it.
        key: KeyId,
    },
    /// It is signed by nobody who is known here.
    #[error(
        "it is signed by key {key}, which is not in plugins.signature.keys: add that key if you trust its owner, or use \
         the build that a known key signed"
    )]
    UnknownKey {
        /// Who claims to have signed it.
        key: KeyId,
    },
    /// The signature names a known key and does not fit.
    #[error(
        "its signature by key {key} is wrong: the file or the .minisig was changed or belongs to another build, take both \
         from the same one"
    )]
    Wrong {
        /// Who is said to have signed it.
        key: KeyId,
    },
}

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is something else.
    #[error("is no public key of minisign's, which is one line of 56 characters that begins with \"RW\"")]
    NotAKey,
    /// It is the one that must not be here.
    #[error("is a secret key, which has no place here: keep it where you sign, and give the .pub file")]
    Secret,
}
