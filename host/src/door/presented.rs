//! What a request shows to be let in: the header `Authorization`, read.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::config::Secret;
use crate::digest::Digest;

/// Clients disagree on whether base64 is padded.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a request shows. It has no `Debug`: the digest of a password is as good as the password for who guesses.
pub(super) enum Presented {
    /// Nothing at all.
    Nothing,
    /// A bearer token, by its digest.
    Token(Digest),
    /// A password.
    Password {
        /// The digest of the user's name.
        user: Digest,
        /// Itself, for hashes that are slow.
        password: Secret,
        /// Its digest.
        secret: Digest,
    },
    /// Something that nobody has.
    Unreadable,
}

impl Presented {
    /// What the headers of a request show.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        match (shown.next(), shown.next()) {
            (None, _) => Self::Nothing,
            (Some(shown), None) => shown.to_str().ok().and_then(Self::parse).unwrap_or(Self::Unreadable),
            (Some(_), Some(_)) => Self::Unreadable,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Token(Digest::of(rest.as_bytes())));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let secret = Digest::of(password.as_bytes());
        Some(Self::Password { user: Digest::of(user.as_bytes()), password: Secret::new(password), secret })
    }

    /// The digests of the user's name, if there is one, and of the secret.
    pub(super) fn digests(&self) -> Option<(Option<Digest>, Digest)> {
        match self {
            Self::Nothing | Self::Unreadable => None,
            Self::Token(secret) => Some((None, *secret)),
            Self::Password { user, secret, .. } => Some((Some(*user), *secret)),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Presented {
        let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
        Presented::read(&values.collect())
    }

    #[test]
    fn tokens_and_passwords_are_read_however_the_scheme_is_spelt() {
        for text in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(read(&[text]).digests(), Some((None, Digest::of(b"abc"))), "{text}");
        }
        let expected = Some((Some(Digest::of(b"me")), Digest::of(b"a:b")));
        for text in ["Basic bWU6YTpi", "basic bWU6YTpi"] {
            assert_eq!(read(&[text]).digests(), expected, "{text}");
        }
        // "me:ab", padded and not.
        let expected = Some((Some(Digest::of(b"me")), Digest::of(b"ab")));
        for text in ["Basic bWU6YWI=", "Basic bWU6YWI"] {
            assert_eq!(read(&[text]).digests(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        assert!(matches!(read(&[]), Presented::Nothing));
        for text in ["", "Bearer", "Negotiate abc", "Basic !", "Basic bWU", "Basic /w==", "Bearer\tabc"] {
            assert!(matches!(read(&[text]), Presented::Unreadable), "{text}");
        }
        assert!(matches!(read(&["Bearer a", "Bearer b"]), Presented::Unreadable));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&[b"Basic ", &bytes[..]].concat()) {
                let _ = Presented::read(&[(AUTHORIZATION, value)].into_iter().collect());
            }
        }
    }
}
