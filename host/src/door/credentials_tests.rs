//! Who is let in by what they show, and what is told of it.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::credentials::{Credential, Credentials, Proof};
use super::password::tests::quick_hash;
use super::presented::Presented;
use super::role::Role;
use crate::config::Secret;
use crate::digest::Digest;

const TOKEN: &str = "a-token-of-some-length";
const OTHER_TOKEN: &str = "another-token-of-length";

fn token(name: &str, role: Role, token: &str) -> Credential {
    Credential { name: name.to_owned(), role, proof: Proof::Token(Secret::new(token)) }
}

fn password(name: &str, role: Role, password: &str) -> Credential {
    Credential { name: name.to_owned(), role, proof: Proof::Password(Secret::new(password)) }
}

fn sum(text: &str) -> String {
    format!("sha256:{}", Digest::of(text.as_bytes()))
}

fn all() -> Vec<Credential> {
    vec![
        token("scraper", Role::Read, TOKEN),
        token("pipeline", Role::Admin, &sum(OTHER_TOKEN)),
        password("anna", Role::Operate, "plain password"),
        password("ben", Role::Read, &sum("summed password")),
        password("carl", Role::Admin, &quick_hash("slow password")),
        password("dora", Role::Read, &quick_hash("another slow one")),
    ]
}

fn bearer(token: &str) -> Presented {
    read(&format!("Bearer {token}"))
}

fn basic(user: &str, password: &str) -> Presented {
    read(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn read(value: &str) -> Presented {
    let value = HeaderValue::from_str(value).unwrap();
    Presented::read(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

async fn who(credentials: &Credentials, presented: Presented) -> Option<(String, Role)> {
    let known = match credentials.find(&presented) {
        Some(known) => Some(known),
        None => credentials.find_slowly(&presented).await,
    };
    known.map(|known| (known.name.to_string(), known.role))
}

#[tokio::test]
async fn each_is_known_by_what_is_theirs_and_by_nothing_else() {
    let credentials = Credentials::new(&all()).unwrap();
    for (presented, name, role) in [
        (bearer(TOKEN), "scraper", Role::Read),
        (bearer(OTHER_TOKEN), "pipeline", Role::Admin),
        (basic("anna", "plain password"), "anna", Role::Operate),
        (basic("ben", "summed password"), "ben", Role::Read),
        (basic("carl", "slow password"), "carl", Role::Admin),
        (basic("dora", "another slow one"), "dora", Role::Read),
    ] {
        assert_eq!(who(&credentials, presented).await, Some((name.to_owned(), role)));
    }
    let sum = sum("summed password");
    let hash = quick_hash("slow password");
    for presented in [
        bearer("a-token-of-some-lengtH"),
        bearer(""),
        bearer("plain password"),
        basic("scraper", TOKEN),
        basic("anna", "slow password"),
        basic("anna", ""),
        basic("", "plain password"),
        basic("anna ", "plain password"),
        basic("carl", "another slow one"),
        basic("nobody", "slow password"),
        // Who has read the file has not got in.
        basic("ben", &sum),
        basic("ben", &sum["sha256:".len()..]),
        basic("carl", &hash),
        bearer(&Digest::of(OTHER_TOKEN.as_bytes()).to_string()),
        read("Nonsense"),
    ] {
        assert_eq!(who(&credentials, presented).await, None);
    }
}

#[tokio::test]
async fn a_slow_password_is_slow_once_and_every_wrong_one_is_slow() {
    let credentials = Credentials::new(&all()).unwrap();
    assert_eq!(credentials.find(&basic("carl", "slow password")), None);
    assert!(credentials.find_slowly(&basic("carl", "slow password")).await.is_some());
    assert!(credentials.find(&basic("carl", "slow password")).is_some());
    // Of no name it is told at once that it is wrong, nor that there is no such name.
    for user in ["carl", "dora", "anna", "ben", "nobody", "scraper", ""] {
        let presented = basic(user, "wrong password");
        assert_eq!(credentials.find(&presented), None);
        assert!(credentials.may_be_slow(&presented), "{user}");
    }
    assert!(!credentials.may_be_slow(&bearer("wrong")), "tokens cannot be guessed");
    let quick = Credentials::new(&all()[..4]).unwrap();
    assert!(!quick.may_be_slow(&basic("anna", "wrong password")));
}

#[tokio::test]
async fn the_same_password_of_two_users_is_each_ones_own() {
    let hash = quick_hash("the same");
    let both = [password("anna", Role::Read, &hash), password("ben", Role::Admin, &hash)];
    let credentials = Credentials::new(&both).unwrap();
    for (user, role) in [("ben", Role::Admin), ("anna", Role::Read), ("ben", Role::Admin)] {
        assert_eq!(who(&credentials, basic(user, "the same")).await, Some((user.to_owned(), role)));
    }
}

#[test]
fn no_secret_shows() {
    let (configured, credentials) = (all(), Credentials::new(&all()).unwrap());
    let shown = format!("{configured:?} {credentials:?}");
    for secret in [TOKEN, "password", "slow", "pbkdf2", "sha256", &Digest::of(TOKEN.as_bytes()).to_string()] {
        assert!(!shown.contains(secret), "{shown} has {secret}");
    }
    assert!(shown.contains("anna") && shown.contains("operate"), "{shown}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_tells_no_secret() {
    let slow = quick_hash("open sesame").replace("i=1000", "i=1");
    let configured = [
        token("", Role::Read, TOKEN),
        password("a:b", Role::Read, "plain password"),
        token("c", Role::Nobody, OTHER_TOKEN),
        token("d", Role::Read, "too-short"),
        password("e", Role::Read, "short"),
        token("f", Role::Read, "sha256:abc"),
        password("g", Role::Read, &slow),
        password("h", Role::Read, "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA"),
        token("i", Role::Read, TOKEN),
        token("j", Role::Admin, &sum(TOKEN)),
        password("k", Role::Read, "plain password"),
        password("k", Role::Admin, "another password"),
    ];
    let wrong = Credentials::new(&configured).unwrap_err();
    for (fault, part) in wrong.iter().zip([
        "\"\" must have a name",
        "\"a:b\" must have a name",
        "\"c\" must have a role",
        "\"d\" is shorter than 16 bytes",
        "\"e\" is shorter than 8 bytes",
        "\"f\" must have 64 hexadecimal digits",
        "\"g\" must have i=1000",
        "\"h\" must begin with \"$pbkdf2-sha256$\"",
        "\"j\" is the same as another one",
        "\"k\" is the same as another one",
    ]) {
        assert!(fault.message.contains(part), "{fault} does not say {part}");
    }
    assert_eq!((wrong.len(), wrong[3].key.as_str()), (10, "auth.d"), "{wrong:?}");
    let shown = format!("{wrong:?}");
    for secret in ["too-short", "sha256:abc", "aGFzaA", TOKEN, "MDEyMz"] {
        assert!(!shown.contains(secret), "{shown} has {secret}");
    }
    let many: Vec<_> = (0..257).map(|at| token(&format!("t{at}"), Role::Read, &format!("{TOKEN}{at}"))).collect();
    assert!(Credentials::new(&many).unwrap_err()[0].message.contains("there are 257 credentials, 256 are allowed"));
}
