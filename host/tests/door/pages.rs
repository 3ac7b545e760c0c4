//! Web pages: the host's own, one that was named, and one that means harm.

use sandbar::door::{Door, DoorOptions, Role};

use crate::support::{Server, bearer, with_credentials};

const CONSOLE: &str = "origin: https://console.example.com";
const EVIL: &str = "origin: https://evil.example";

#[tokio::test]
async fn by_default_no_page_of_another_site_may_read_anything() {
    let server = Server::start(DoorOptions::default()).await;
    for origin in [CONSOLE, EVIL, "origin: null"] {
        let answer = server.ask("GET /v1/status", &[origin]).await;
        assert!(!answer.head.contains("access-control") && !answer.head.contains("vary"), "{answer:?}");
        let lines =
            [origin, "access-control-request-method: PUT", "sec-fetch-site: cross-site", "sec-fetch-mode: cors"];
        let answer = server.ask("OPTIONS /connectors/a/config", &lines).await;
        answer.refused(403);
        assert!(!answer.head.contains("access-control"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_page_that_was_named_may_read_and_change_and_no_other_may() {
    let options = DoorOptions { allowed_origins: vec!["https://console.example.com".to_owned()], ..with_credentials() };
    let server = Server::start(options).await;
    let preflight = ["access-control-request-method: PUT", "access-control-request-headers: authorization"];
    let answer = server.ask("OPTIONS /connectors/a/config", &[&[CONSOLE], &preflight[..]].concat()).await;
    assert_eq!(answer.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://console.example.com"),
        ("access-control-allow-methods", "get, head, post, put, patch, delete"),
        ("access-control-allow-headers", "authorization, content-type"),
        ("vary", "origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let from = [CONSOLE, "sec-fetch-site: cross-site", "sec-fetch-mode: cors"];
    let answer = server.ask("PUT /connectors/a/config", &[&from[..], &[&bearer(Role::Admin)]].concat()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://console.example.com"));
    // It is told what is wrong, too.
    let answer = server.ask("PUT /connectors/a/config", &from).await;
    answer.refused(401);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://console.example.com"));
    let answer = server.ask("PUT /connectors/a/config", &[EVIL, &bearer(Role::Admin)]).await;
    answer.refused(403);
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, Some("origin")));
    server
        .ask("OPTIONS /connectors/a/config", &[&[EVIL, "sec-fetch-site: cross-site"], &preflight[..]].concat())
        .await
        .refused(403);
}

#[tokio::test]
async fn a_name_that_was_turned_to_this_machine_reads_nothing() {
    let server = Server::start(DoorOptions::default()).await;
    let port = server.address.port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), format!("0.0.0.0:{port}")] {
        let lines = [format!("host: {host}"), format!("origin: http://{host}")];
        for request in ["GET /v1/status", "GET /", "GET /ui", "POST /connectors"] {
            let message =
                server.ask(request, &[&lines[0], &lines[1], "sec-fetch-site: same-origin"]).await.refused(403);
            assert!(message.contains("rest.hosts"), "{message}");
        }
    }
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let line = format!("host: {host}:{port}");
        assert_eq!(server.ask("GET /v1/status", &[&line]).await.status(), 200, "{host}");
    }
    let options = DoorOptions { hosts: vec!["sandbar.example.com".to_owned()], ..DoorOptions::default() };
    let server = Server::start(options).await;
    assert_eq!(server.ask("GET /v1/status", &["host: sandbar.example.com"]).await.status(), 200);
    // Credentials of this host are not sent to another name.
    let server = Server::start(with_credentials()).await;
    assert_eq!(server.ask("GET /v1/status", &["host: x.example", &bearer(Role::Read)]).await.status(), 200);
    server.ask("GET /v1/status", &["host: x.example"]).await.refused(401);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_or_without_a_password_that_the_browser_kept() {
    let (open, closed) = (Server::start(DoorOptions::default()).await, Server::start(with_credentials()).await);
    let admin = bearer(Role::Admin);
    for server in [&open, &closed] {
        for request in ["POST /connectors", "POST /connectors/a/restart", "PUT /connectors/a/stop", "POST /v1/plugins"]
        {
            let kind = "content-type: text/plain";
            for lines in [
                &[EVIL, kind, "sec-fetch-site: cross-site", "sec-fetch-mode: no-cors"][..],
                &[EVIL, kind, "sec-fetch-site: cross-site", "sec-fetch-mode: navigate", "sec-fetch-dest: document"],
                &["origin: null", kind],
                &[EVIL, kind],
                &["origin: http://localhost:3000", "sec-fetch-site: same-site"],
            ] {
                let message = server.ask(request, &[lines, &[&admin]].concat()).await.refused(403);
                assert!(message.contains("access.control.allow.origin"), "{message}");
            }
            let own = [&format!("host: {}", server.address), &format!("origin: http://{}", server.address), &admin];
            assert_eq!(server.ask(request, &own.map(String::as_str)).await.status(), 200);
        }
    }
}

#[tokio::test]
async fn answers_tell_browsers_what_they_are_not() {
    let server = Server::start(with_credentials()).await;
    for (request, status) in
        [("GET /v1/status", 200), ("GET /", 200), ("GET /v1/panic", 500), ("PUT /connectors/a/config", 403)]
    {
        let answer = server.ask(request, &[&bearer(Role::Read)]).await;
        assert_eq!(answer.status(), status);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request}: {answer:?}");
        }
    }
    let page = server.ask("GET /ui/app.js", &[]).await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'self'; style-src 'self'; img-src 'self' data:;"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert_eq!((page.header("x-content-type-options"), page.header("cache-control")), (Some("nosniff"), None));
}

#[test]
fn an_origin_for_everybody_is_refused_together_with_all_else_that_is_wrong() {
    let mut options = with_credentials();
    options.credentials[0].name.clear();
    options.allowed_origins = vec!["*".to_owned()];
    options.hosts = vec!["a:1".to_owned()];
    let error = Door::new(options).unwrap_err().to_string();
    for part in ["must have a name", "name the origins", "\"a:1\" is no name of a host"] {
        assert!(error.contains(part), "{error} does not say {part}");
    }
}
