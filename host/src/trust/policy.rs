//! What an operator trusts, and what follows from it for the bytes of a file.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{KeyId, PublicKey, Signature, TrustError};
use crate::digest::Digest;

/// What an operator trusts. The default trusts every file that lands in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The files that may be loaded; `None` is any.
    pub allow: Option<BTreeSet<Digest>>,
    /// Whether a file needs a signature by one of the keys.
    pub require_signature: bool,
    /// The keys whose signatures count.
    pub keys: Vec<PublicKey>,
}

/// What was found out about bytes that may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Names these bytes.
    pub sha256: Digest,
    /// Who answers for them.
    pub signer: Signer,
}

/// Who answers for a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Signer {
    /// Nobody: it is not signed.
    Unsigned,
    /// Somebody claims to, and there is no key to tell whether that is so.
    Unverified {
        /// The key that is claimed.
        key: KeyId,
    },
    /// The owner of a key.
    Verified {
        /// The key.
        key: KeyId,
        /// What the owner says with the signature.
        comment: String,
    },
}

impl Policy {
    /// Judges the bytes of a file, and those of its signature file if there is one. All reasons against it are told.
    ///
    /// A signature that is there is held to be right, even where none is required: a wrong one says that something was
    /// changed on its way. Only without any key it cannot be told.
    pub fn judge(&self, code: &[u8], signature: Option<&[u8]>) -> Result<Verdict, Vec<TrustError>> {
        let sha256 = Digest::of(code);
        let mut errors = Vec::new();
        if self.allow.as_ref().is_some_and(|allowed| !allowed.contains(&sha256)) {
            errors.push(TrustError::NotAllowed { sha256 });
        }
        match self.signer(code, signature) {
            Ok(signer) if errors.is_empty() => return Ok(Verdict { sha256, signer }),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        Err(errors)
    }

    fn signer(&self, code: &[u8], signature: Option<&[u8]>) -> Result<Signer, TrustError> {
        let Some(signature) = signature else {
            return if self.require_signature { Err(TrustError::Unsigned) } else { Ok(Signer::Unsigned) };
        };
        let signature = Signature::parse(signature)?;
        let key = signature.key();
        if self.keys.is_empty() && !self.require_signature {
            return Ok(Signer::Unverified { key });
        }
        // Ids are short and chosen by whoever makes a key: two keys may share one, and either may be the signer.
        let mut named = self.keys.iter().filter(|known| known.id() == key).peekable();
        if named.peek().is_none() {
            return Err(TrustError::UnknownKey { key });
        }
        let comment = named.find_map(|known| signature.verify(code, known)).ok_or(TrustError::Wrong { key })?;
        Ok(Signer::Verified { key, comment: comment.to_owned() })
    }
}

impl Signer {
    /// The key, if there is a signature.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        match self {
            Self::Unsigned => None,
            Self::Unverified { key } | Self::Verified { key, .. } => Some(*key),
        }
    }
}
