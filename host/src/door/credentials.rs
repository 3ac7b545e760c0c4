//! Who may come in: bearer tokens and passwords, each with a name and a role. Nothing here tells by its answer or by
//! its time which names there are, and nothing shows a secret.

use std::fmt;
use std::sync::{Arc, OnceLock};

use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::Fault;
use super::password::SlowHash;
use super::presented::Presented;
use super::role::Role;
use crate::config::Secret;
use crate::digest::Digest;

/// The most credentials: each request is compared to all of them.
const MAX_CREDENTIALS: usize = 256;
/// The shortest token that is taken in plain, in bytes; one that was drawn at random is longer.
const MIN_TOKEN_BYTES: usize = 16;
/// The shortest password that is taken in plain, in bytes.
const MIN_PASSWORD_BYTES: usize = 8;
/// The longest name, in bytes: it goes into every line of the audit.
const MAX_NAME_BYTES: usize = 128;
/// What comes before the SHA-256 of a secret.
const SHA256: &str = "sha256:";
/// How many passwords are hashed slowly at once: guessing them must not take the processors.
const SLOW_AT_ONCE: usize = 1;

/// A way in, as it is configured.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Who: the user of a password, and in any case the name in the audit.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they show.
    pub proof: Proof,
}

/// What somebody shows to be let in. References are resolved.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A bearer token: itself, or `sha256:` and its SHA-256 in hexadecimal.
    Token(Secret),
    /// A password: itself, `sha256:` and its SHA-256, or `$pbkdf2-sha256$...`, the only one that is fit for what people
    /// remember.
    Password(Secret),
}

/// All ways in.
pub(super) struct Credentials {
    entries: Vec<Entry>,
    /// The longest that a hash goes round: every wrong password takes as long. None if none is slow.
    slowest: Option<SlowHash>,
    slow: Arc<Semaphore>,
}

/// One way in, made ready to compare.
struct Entry {
    name: Arc<str>,
    role: Role,
    /// The digest of the user's name; a token has none.
    user: Option<Digest>,
    /// The digest of what is shown. Of a slow hash it is known once the password was.
    secret: OnceLock<Digest>,
    slow: Option<SlowHash>,
}

/// Who somebody turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
}

impl Credentials {
    /// Makes them ready, or says all that is wrong with them.
    pub(super) fn new(configured: &[Credential]) -> Result<Self, Vec<Fault>> {
        let (mut entries, mut wrong) = (Vec::<Entry>::new(), Vec::new());
        if configured.len() > MAX_CREDENTIALS {
            let message = format!("there are {} credentials, {MAX_CREDENTIALS} are allowed", configured.len());
            wrong.push(Fault::new("auth", message));
        }
        for credential in configured {
            let fault = |message: &str| {
                Fault::new(format!("auth.{}", credential.name), format!("credential {:?} {message}", credential.name))
            };
            match Entry::new(credential) {
                Ok(entry) if entries.iter().any(|other| other.is_same(&entry)) => {
                    wrong.push(fault("is the same as another one"));
                }
                Ok(entry) => entries.push(entry),
                Err(message) => wrong.push(fault(&message)),
            }
        }
        let slow = entries.iter().filter_map(|entry| entry.slow.as_ref());
        let slowest = slow.max_by_key(|slow| slow.iterations()).cloned();
        if wrong.is_empty() {
            Ok(Self { entries, slowest, slow: Arc::new(Semaphore::new(SLOW_AT_ONCE)) })
        } else {
            Err(wrong)
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Who that is, as far as it can be told at once.
    pub(super) fn find(&self, presented: &Presented) -> Option<Known> {
        let (user, secret) = presented.digests()?;
        let mut found = u32::MAX;
        // All of them, whichever is right.
        for (at, entry) in (0_u32..).zip(&self.entries) {
            found.conditional_assign(&at, entry.named(user) & entry.shows(secret));
        }
        self.known(found)
    }

    /// Whether it takes longer to tell whether a password is right.
    pub(super) fn may_be_slow(&self, presented: &Presented) -> bool {
        self.slowest.is_some() && matches!(presented, Presented::Password { .. })
    }

    /// Who that is, for a password that `find` did not find. It takes the same time for every wrong one.
    pub(super) async fn find_slowly(&self, presented: &Presented) -> Option<Known> {
        let Presented::Password { user, password, secret } = presented else { return None };
        // It is never closed.
        let turn = Arc::clone(&self.slow).acquire_owned().await.ok()?;
        // Somebody with the same password may have been here before.
        if let Some(known) = self.find(presented) {
            return Some(known);
        }
        let slowest = self.slowest.clone()?;
        let mut found = u32::MAX;
        for (at, entry) in (0_u32..).zip(&self.entries) {
            let matches = entry.named(Some(*user)) & Choice::from(u8::from(entry.slow.is_some()));
            found.conditional_assign(&at, matches);
        }
        let entry = self.entries.get(found as usize);
        let hash = entry.and_then(|entry| entry.slow.clone()).unwrap_or_else(|| slowest.clone());
        let password = Secret::clone(password);
        let hashed = spawn_blocking(move || {
            // Whoever went away meanwhile has not made room for the next.
            let _turn = turn;
            let password = password.expose().as_bytes();
            let derived = hash.derive(password, hash.iterations());
            // What others would have taken longer.
            if let Some(rest) = slowest.iterations().checked_sub(hash.iterations()).filter(|rest| *rest > 0) {
                std::hint::black_box(slowest.derive(password, rest));
            }
            bool::from(derived.ct_eq(hash.hash()))
        });
        let right = hashed.await.ok()?;
        entry.filter(|_| right).map(|entry| {
            let _ = entry.secret.set(*secret);
            entry.known()
        })
    }

    fn known(&self, at: u32) -> Option<Known> {
        self.entries.get(at as usize).map(Entry::known)
    }
}

impl Entry {
    fn new(credential: &Credential) -> Result<Self, String> {
        let name = credential.name.as_str();
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(|c: char| c == ':' || c.is_control()) {
            let most = format!("must have a name of 1 to {MAX_NAME_BYTES} bytes");
            return Err(format!("{most}, without colons and control characters"));
        }
        if credential.role == Role::Nobody {
            return Err("must have a role".to_owned());
        }
        let (user, given, least) = match &credential.proof {
            Proof::Token(token) => (None, token.expose(), MIN_TOKEN_BYTES),
            Proof::Password(password) => (Some(Digest::of(name.as_bytes())), password.expose(), MIN_PASSWORD_BYTES),
        };
        let (mut slow, mut digest) = (None, None);
        if let Some(sum) = given.strip_prefix(SHA256) {
            digest = Some(sum.parse().map_err(|_| format!("must have 64 hexadecimal digits after \"{SHA256}\""))?);
        } else if user.is_some() && SlowHash::is_meant(given) {
            slow = Some(SlowHash::parse(given)?);
        } else if given.len() < least {
            return Err(format!("is shorter than {least} bytes, too easily guessed"));
        } else {
            digest = Some(Digest::of(given.as_bytes()));
        }
        let secret = digest.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self { name: name.into(), role: credential.role, user, secret, slow })
    }

    /// Whether nobody could tell the two apart.
    fn is_same(&self, other: &Self) -> bool {
        match (self.user, other.user) {
            (Some(user), Some(other)) => user == other,
            (None, None) => self.secret == other.secret,
            _ => false,
        }
    }

    fn named(&self, user: Option<Digest>) -> Choice {
        match (self.user, user) {
            (Some(mine), Some(given)) => mine.as_bytes().ct_eq(given.as_bytes()),
            (None, None) => Choice::from(1),
            _ => Choice::from(0),
        }
    }

    fn shows(&self, secret: Digest) -> Choice {
        match self.secret.get() {
            Some(mine) => mine.as_bytes().ct_eq(secret.as_bytes()),
            None => Choice::from(0),
        }
    }

    fn known(&self) -> Known {
        Known { name: Arc::clone(&self.name), role: self.role }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.entries.iter().map(|entry| (&*entry.name, entry.role.word()));
        f.debug_map().entries(shown).finish()
    }
}
