//! Passwords that are configured as a hash that is slow to compute, so that whoever reads the file has to guess:
//! `$pbkdf2-sha256$i=600000,l=32$<salt>$<hash>`, the PHC string format.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::Sha256;

/// What such a text begins with.
const PREFIX: &str = "$pbkdf2-sha256$";
/// How often a new hash goes round; OWASP's recommendation of 2023 for this function.
const ITERATIONS: u32 = 600_000;
/// The fewest iterations that are taken: below a thousand a hash is hardly slower than none.
const MIN_ITERATIONS: u32 = 1_000;
/// The most: some seconds on a slow machine, for which a thread is taken.
const MAX_ITERATIONS: u32 = 10_000_000;
/// The size of a hash, in bytes: that of one SHA-256.
const HASH_BYTES: usize = 32;
/// How long a salt is at least, and at most, in bytes.
const SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=64;

/// A password's hash, and how it was made. It does not show either.
#[derive(Clone)]
pub(super) struct SlowHash {
    iterations: u32,
    salt: Vec<u8>,
    hash: [u8; HASH_BYTES],
}

impl SlowHash {
    /// Whether a configured text is to be one.
    pub(super) fn is_meant(text: &str) -> bool {
        text.starts_with('$')
    }

    /// Reads one. The error holds nothing of the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| {
            format!("must begin with \"{PREFIX}\": no other hash in the PHC string format is understood")
        })?;
        let parts: Vec<_> = rest.split('$').collect();
        let [parameters, salt, hash] = parts[..] else {
            return Err(format!("must be {PREFIX}i=<iterations>,l={HASH_BYTES}$<salt>$<hash>"));
        };
        let (iterations, length) = parameters.split_once(',').unwrap_or((parameters, "l=32"));
        let iterations = iterations.strip_prefix("i=").and_then(|number| number.parse().ok());
        let iterations = iterations.filter(|number| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(number));
        let iterations =
            iterations.ok_or_else(|| format!("must have i={MIN_ITERATIONS} to i={MAX_ITERATIONS} iterations"))?;
        let salt = STANDARD_NO_PAD.decode(salt).ok().filter(|salt| SALT_BYTES.contains(&salt.len()));
        let salt = salt.ok_or("must have a salt of 8 to 64 bytes in base64 without padding")?;
        let hash = STANDARD_NO_PAD.decode(hash).ok().and_then(|hash| <[u8; HASH_BYTES]>::try_from(hash).ok());
        let hash = hash.filter(|_| length == format!("l={HASH_BYTES}"));
        let hash = hash.ok_or("must have a hash of 32 bytes in base64 without padding")?;
        Ok(Self { iterations, salt, hash })
    }

    /// How often it goes round.
    pub(super) fn iterations(&self) -> u32 {
        self.iterations
    }

    /// What it says the password hashes to.
    pub(super) fn hash(&self) -> &[u8; HASH_BYTES] {
        &self.hash
    }

    /// What a password hashes to, with this salt. It takes as long as `iterations` says, for this hash or another.
    pub(super) fn derive(&self, password: &[u8], iterations: u32) -> [u8; HASH_BYTES] {
        let mut hash = [0; HASH_BYTES];
        pbkdf2::pbkdf2_hmac::<Sha256>(password, &self.salt, iterations, &mut hash);
        hash
    }
}

/// The text to configure in place of a password. The salt is to be random.
#[must_use]
pub fn hash_password(password: &str, salt: [u8; 16]) -> String {
    hash_with(password, salt, ITERATIONS)
}

fn hash_with(password: &str, salt: [u8; 16], iterations: u32) -> String {
    let hash =
        SlowHash { iterations, salt: salt.into(), hash: [0; HASH_BYTES] }.derive(password.as_bytes(), iterations);
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("{PREFIX}i={iterations},l={HASH_BYTES}${salt}${hash}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A hash for tests, as fast as one may be.
    pub(in crate::door) fn quick_hash(password: &str) -> String {
        hash_with(password, *b"0123456789abcdef", MIN_ITERATIONS)
    }

    #[test]
    fn a_hash_is_that_of_others() {
        // Python: hashlib.pbkdf2_hmac("sha256", b"open sesame", b"0123456789abcdef", 1000)
        let expected = "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$Mqp8wAsrOsjVEIymTD0kATxTpTf4f+0ZMgQPDlukk/w";
        assert_eq!(quick_hash("open sesame"), expected);
    }

    #[test]
    fn a_hash_is_read_back_and_knows_its_password() {
        let hash = SlowHash::parse(&quick_hash("open sesame")).unwrap();
        assert_eq!(&hash.derive(b"open sesame", hash.iterations()), hash.hash());
        assert_ne!(&hash.derive(b"open sesame ", hash.iterations()), hash.hash());
        let without_length = quick_hash("open sesame").replace(",l=32", "");
        assert_eq!(SlowHash::parse(&without_length).unwrap().hash(), hash.hash());
    }

    #[test]
    fn what_is_no_hash_says_why() {
        let good = quick_hash("open sesame");
        for (text, part) in [
            (good.replace("pbkdf2-sha256", "argon2id"), "no other hash"),
            (good.replace("i=1000", "i=999"), "i=1000 to i=10000000"),
            (good.replace("i=1000", "i=4000000000"), "iterations"),
            (good.replace("i=1000", "n=1000"), "iterations"),
            (good.replace("l=32", "l=16"), "a hash of 32 bytes"),
            (good.replace("$MDEyMzQ1Njc4OWFiY2RlZg", "$MDEy"), "a salt of 8 to 64 bytes"),
            (good[..good.len() - 2].to_owned(), "a hash of 32 bytes"),
            (format!("{good}$x"), "$<salt>$<hash>"),
        ] {
            let error = SlowHash::parse(&text).err().unwrap();
            assert!(error.contains(part), "{error} does not say {part}");
        }
    }
}
