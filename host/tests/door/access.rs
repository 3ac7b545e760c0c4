//! Who gets in, and how far.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbar::config::Secret;
use sandbar::door::{Credential, Door, DoorError, DoorOptions, Proof, ROWS, Role};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};

use crate::support::{Client, Server, bearer, routes, token_of, with_credentials, within};

/// "open sesame", as Python has it: `hashlib.pbkdf2_hmac("sha256", b"open sesame", b"0123456789abcdef", 1000)`.
const SLOW: &str = "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$Mqp8wAsrOsjVEIymTD0kATxTpTf4f+0ZMgQPDlukk/w";

fn basic(text: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(text))
}

#[tokio::test]
async fn each_role_may_do_what_its_rows_say_and_no_more() {
    let server = Server::start(with_credentials()).await;
    for row in ROWS {
        let path = row.path.replace("**", "x").replace('*', "x");
        for method in row.methods {
            let request = format!("{method} {path}");
            let answer = server.ask(&request, &[]).await;
            assert_eq!(answer.status(), if row.role == Role::Nobody { 200 } else { 401 }, "{request}");
            for role in [Role::Read, Role::Operate, Role::Admin] {
                let answer = server.ask(&request, &[&bearer(role)]).await;
                let expected = if role >= row.role { 200 } else { 403 };
                assert_eq!(answer.status(), expected, "{request} as {role}: {answer:?}");
            }
        }
    }
    for unknown in ["GET /elsewhere", "BREW /connectors", "POST /v1/other", "GET /ui/%2e%2e/x"] {
        assert_eq!(server.ask(unknown, &[]).await.status(), 401, "{unknown}");
        assert_eq!(server.ask(unknown, &[&bearer(Role::Operate)]).await.status(), 403, "{unknown}");
        let answer = server.ask(unknown, &[&bearer(Role::Admin)]).await;
        assert!(matches!(answer.status(), 200 | 405), "{unknown}: {answer:?}");
    }
}

#[tokio::test]
async fn handlers_are_told_who_it_is_and_not_by_what() {
    let server = Server::start(with_credentials()).await;
    let mut client = server.client().await;
    let caller = client.ask("GET /v1/status", &[&bearer(Role::Read)]).await.json();
    let peer = client.0.local_addr().unwrap().to_string();
    assert_eq!(caller, json!({"name": "the-read", "role": "read", "peer": peer}));
    let caller = client.ask("GET /health", &[&bearer(Role::Admin)]).await.json();
    assert_eq!((&caller["name"], &caller["role"]), (&json!("anonymous"), &json!("nobody")));
}

#[tokio::test]
async fn who_shows_nothing_is_told_what_to_show_and_who_may_not_is_told_why() {
    let server = Server::start(with_credentials()).await;
    let mut client = server.client().await;
    let answer = client.ask("GET /v1/status", &[]).await;
    assert!(answer.refused(401).contains("needs credentials"));
    let challenges = answer.head.matches("www-authenticate: ").count();
    assert_eq!((challenges, answer.header("connection")), (2, Some("close")), "{answer:?}");
    assert!(client.is_closed().await);
    let message = server.ask("DELETE /connectors/a", &[&bearer(Role::Operate)]).await.refused(403);
    assert_eq!(message, "this needs the role admin, and the-operate has the role operate");
}

#[tokio::test]
async fn passwords_are_taken_and_wrong_ones_all_get_the_same_answer() {
    let credentials = [("plain", "plain password"), ("slow", SLOW)].map(|(name, password)| Credential {
        name: name.to_owned(),
        role: Role::Operate,
        proof: Proof::Password(Secret::new(password)),
    });
    let mut options = DoorOptions { credentials: credentials.into(), ..DoorOptions::default() };
    options.limits.failures_per_minute = 0;
    let server = Server::start(options).await;
    for right in ["plain:plain password", "slow:open sesame", "slow:open sesame"] {
        assert_eq!(server.ask("GET /v1/status", &[&basic(right)]).await.status(), 200, "{right}");
    }
    let (name, role) = (token_of(Role::Admin), bearer(Role::Admin));
    let mut answers = Vec::new();
    for wrong in ["plain:wrong", "slow:wrong", "nobody:wrong", "plain:open sesame", ":", &name] {
        answers.push(server.ask("GET /v1/status", &[&basic(wrong)]).await);
    }
    answers.push(server.ask("GET /v1/status", &[&role]).await);
    answers.push(server.ask("GET /v1/status", &["authorization: Nonsense"]).await);
    answers.push(server.ask("GET /v1/status", &[&basic("plain:plain password"), &basic("slow:open sesame")]).await);
    for answer in &answers {
        assert_eq!(answer.refused(401), "these credentials are not known");
        let without_date = |head: &str| head.lines().filter(|line| !line.starts_with("date")).count();
        assert_eq!(without_date(&answer.head), without_date(&answers[0].head));
    }
}

#[tokio::test]
async fn a_client_that_guesses_is_not_heard_any_more_and_others_are() {
    let mut options = with_credentials();
    options.limits.failures_per_minute = 3;
    let server = Server::start(options).await;
    for _ in 0..3 {
        server.ask("GET /v1/status", &["authorization: Bearer wrong"]).await.refused(401);
    }
    let answer = server.ask("GET /v1/status", &["authorization: Bearer wrong"]).await;
    assert!(answer.refused(429).contains("too many wrong credentials"));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    // Whether the next guess is right is not told.
    server.ask("GET /v1/status", &[&bearer(Role::Admin)]).await.refused(429);
    // Looking in without any was never a guess, and is not now.
    server.ask("GET /v1/status", &[]).await.refused(401);
    assert_eq!(server.ask("GET /health", &["authorization: Bearer wrong"]).await.status(), 200);
    let mut other = server.client_from("127.0.0.2").await.unwrap();
    assert_eq!(other.ask("GET /v1/status", &[&bearer(Role::Admin)]).await.status(), 200);
}

#[tokio::test]
async fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
    let credential = |password: &str| Credential {
        name: "slow".to_owned(),
        role: Role::Read,
        proof: Proof::Password(Secret::new(password)),
    };
    let mut options = DoorOptions { credentials: vec![credential(SLOW)], ..DoorOptions::default() };
    options.limits.failures_per_minute = 3;
    let server = Server::start(options).await;
    let mut clients = Vec::new();
    // The last is right, and is not told so.
    for guess in (0..19).map(|at| format!("slow:guess {at}")).chain(["slow:open sesame".to_owned()]) {
        let mut client = server.client().await;
        client.send("GET /v1/status", &[&basic(&guess)], b"").await;
        clients.push(client);
    }
    let mut statuses = Vec::new();
    for client in &mut clients {
        statuses.push(client.answer().await.unwrap().status());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[401; 3].as_slice(), &[429; 17]].concat());
}

#[tokio::test]
async fn a_right_password_is_no_guess_however_long_it_took_to_tell() {
    let proof = Proof::Password(Secret::new(SLOW));
    let credential = Credential { name: "slow".to_owned(), role: Role::Read, proof };
    let mut options = DoorOptions { credentials: vec![credential], ..DoorOptions::default() };
    options.limits.failures_per_minute = 1;
    let server = Server::start(options).await;
    for (password, status) in
        [("slow:open sesame", 200), ("slow:open sesame", 200), ("slow:wrong", 401), ("slow:", 429)]
    {
        assert_eq!(server.ask("GET /v1/status", &[&basic(password)]).await.status(), status, "{password}");
    }
}

#[tokio::test]
async fn without_credentials_a_loopback_address_is_open_and_no_other_is_listened_on() {
    let server = Server::start(DoorOptions::default()).await;
    let caller = server.ask("DELETE /connectors/a", &[]).await.json();
    assert_eq!((&caller["name"], &caller["role"]), (&json!("anonymous"), &json!("admin")));

    for (address, loopback) in
        [("0.0.0.0:0", false), ("[::]:0", false), ("127.0.0.1:0", true), ("127.1.2.3:0", true), ("localhost:0", true)]
    {
        let mut options = DoorOptions::default();
        options.listen.address = address.to_owned();
        let listening = Door::new(options.clone()).unwrap().listen().await;
        if loopback {
            assert_ne!(listening.unwrap().address().port(), 0);
            continue;
        }
        let error = listening.unwrap_err();
        assert!(matches!(error, DoorError::Exposed(_)), "{error}");
        for part in [address, "auth.<name>.token", "rest.tls.client.ca", "127.0.0.1", "rest.insecure = true"] {
            assert!(error.to_string().contains(part), "{error} does not say {part}");
        }
        options.listen.insecure = true;
        if address.starts_with('0') {
            assert!(Door::new(options).unwrap().listen().await.is_ok());
        }
        let mut options = with_credentials();
        options.listen.address = "0.0.0.0:0".to_owned();
        assert!(Door::new(options).unwrap().listen().await.is_ok());
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_named_and_so_is_one_that_is_taken() {
    let server = Server::start(DoorOptions::default()).await;
    for address in ["127.0.0.1", "here:port", &server.address.to_string()] {
        let mut options = DoorOptions::default();
        options.listen.address = address.to_owned();
        let error = Door::new(options).unwrap().listen().await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
    }
}

#[tokio::test]
async fn whoever_owns_the_control_socket_may_do_everything_without_limits() {
    let mut options = with_credentials();
    options.limits.requests_per_second = 1;
    options.limits.requests = 1;
    let (folder, door) = (tempfile::tempdir().unwrap(), Door::new(options).unwrap());
    let path = folder.path().join("socket");
    let (go_on, has_come) = Default::default();
    let (socket, routes) = (UnixListener::bind(&path).unwrap(), door.guard(routes(&go_on, &has_come)));
    let served = door.serve_local(socket, routes, std::future::pending());
    let asked = async {
        let mut slow = Client(UnixStream::connect(&path).await.unwrap());
        slow.send("GET /v1/slow", &["host: sandbar"], b"").await;
        within(has_come.notified()).await;
        let mut client = Client(UnixStream::connect(&path).await.unwrap());
        for _ in 0..10 {
            let caller = client.ask("DELETE /connectors/a", &["host: sandbar"]).await.json();
            assert_eq!(caller, json!({"name": "local socket", "role": "admin", "peer": "local socket"}));
        }
    };
    tokio::select! {
        () = served => panic!("it is served for ever"),
        () = asked => {}
    }
}
