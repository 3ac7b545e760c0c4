//! A signature as its file holds it, before anything says that it is right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{KeyId, PublicKey, TrustError};

/// What a signature begins with whose maker hashed the file first, as minisign does since version 0.10.
const PREHASHED: &[u8] = b"ED";
/// What one begins with that covers the file itself.
const LEGACY: &[u8] = b"Ed";

/// A signature of minisign's. What it says counts only once a key has shown it to be right.
pub struct Signature {
    key: KeyId,
    inner: minisign_verify::Signature,
}

impl Signature {
    /// Reads a `.minisig` file.
    ///
    /// The legacy format is refused: it says of nothing more than the current one, no current minisign makes it unless
    /// told to, and of two ways to sign one is enough to get right.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let malformed = |what| TrustError::Malformed { what };
        if bytes.is_empty() {
            return Err(malformed("it is empty"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
        let line = text.lines().nth(1).ok_or(malformed("it has no second line"))?;
        let claim = STANDARD.decode(line).map_err(|_| malformed("its second line is not base64"))?;
        let key = KeyId::in_bytes(&claim).ok_or(malformed("its second line is too short"))?;
        match claim.get(..PREHASHED.len()) {
            Some(PREHASHED) => {}
            Some(LEGACY) => return Err(TrustError::Legacy { key }),
            _ => return Err(malformed("its algorithm is unknown")),
        }
        let inner = minisign_verify::Signature::decode(text)
            .map_err(|_| malformed("it lacks one of its four lines, or one is cut"))?;
        Ok(Self { key, inner })
    }

    /// Who claims to have made it.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Holds it against bytes and a key. Returns the comment that the key's owner signed with it.
    #[must_use]
    pub fn verify(&self, bytes: &[u8], key: &PublicKey) -> Option<&str> {
        key.key.verify(bytes, &self.inner, false).ok().map(|()| self.inner.trusted_comment())
    }
}
