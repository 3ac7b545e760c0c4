//! Redirects: followed where the grant leads, with what belongs there, and no further.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use sandbar_abi::http::FailureKind;
use sandbar_tests::http_server::{HttpServer, Reply};

use crate::{Reach, failure, get, request, response};

/// A server that redirects `/start` to wherever is set, and answers everything else.
async fn redirecting(status: u16) -> Result<(HttpServer, Arc<OnceLock<String>>)> {
    let to: Arc<OnceLock<String>> = Arc::default();
    let location = Arc::clone(&to);
    let server = HttpServer::start(move |asked| match location.get() {
        Some(location) if asked.path == "/start" => Reply::redirect(status, location),
        _ => Reply::ok(format!("{} {}", asked.method, asked.text())),
    })
    .await?;
    Ok((server, to))
}

#[tokio::test]
async fn a_redirect_within_the_grant_is_followed() -> Result<()> {
    let (server, to) = redirecting(302).await?;
    to.get_or_init(|| "/end?x".to_owned());
    let client = Reach::only(&server).client().await?;
    let (head, body) = response(&client, &request("POST", server.url("/start")), b"body").await?;
    assert_eq!((head.url, body.as_str()), (server.url("/end?x"), "GET "));

    let (server, to) = redirecting(307).await?;
    to.get_or_init(|| "/end".to_owned());
    let client = Reach::only(&server).client().await?;
    let (_, body) = response(&client, &request("POST", server.url("/start")), b"body").await?;
    assert_eq!(body, "POST body");
    Ok(())
}

#[tokio::test]
async fn a_redirect_out_of_the_grant_is_denied_and_not_followed() -> Result<()> {
    let outside = HttpServer::start(|_| Reply::ok("secrets")).await?;
    for location in [
        outside.url("/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://example.com".to_owned(),
        "http://localhost/".to_owned(),
    ] {
        let (server, to) = redirecting(302).await?;
        to.get_or_init(|| location.clone());
        let client = Reach::only(&server).client().await?;
        let message = failure(&client, &get(server.url("/start")), FailureKind::Denied).await?;
        assert!(message.starts_with("127.0.0.1 redirects: http"), "{message}");
        assert!(message.ends_with("is not granted: sandbox.http.hosts does not name it"), "{message}");
    }
    assert_eq!(outside.connections().opened, 0);
    Ok(())
}

#[tokio::test]
async fn a_redirect_to_a_granted_name_with_a_private_address_is_denied() -> Result<()> {
    let inside = HttpServer::start(|_| Reply::ok("secrets")).await?;
    let (server, to) = redirecting(301).await?;
    to.get_or_init(|| inside.origin_as("localhost"));
    let client = Reach::hosts([server.origin(), inside.origin_as("localhost")]).client().await?;
    let message = failure(&client, &get(server.url("/start")), FailureKind::Denied).await?;
    assert!(message.contains("not public"), "{message}");
    assert_eq!(inside.connections().opened, 0);
    Ok(())
}

#[tokio::test]
async fn what_lets_the_guest_in_is_not_told_to_another_server() -> Result<()> {
    let other = HttpServer::start(|_| Reply::ok("")).await?;
    let (server, to) = redirecting(308).await?;
    to.get_or_init(|| other.url("/end"));
    let client = Reach::hosts([server.origin(), other.origin()]).client().await?;
    let mut request = request("POST", server.url("/start"));
    for name in ["Authorization", "Cookie", "X-Other"] {
        request.headers.push((name.to_owned(), "mine".to_owned()));
    }
    response(&client, &request, b"body").await?;
    let of = |server: &HttpServer, name| server.asked()[0].header(name).map(str::to_owned);
    for name in ["authorization", "cookie"] {
        assert_eq!((of(&server, name).as_deref(), of(&other, name)), (Some("mine"), None), "{name}");
    }
    assert_eq!(of(&other, "x-other").as_deref(), Some("mine"));
    Ok(())
}

#[tokio::test]
async fn a_circle_of_redirects_comes_to_an_end() -> Result<()> {
    let server = HttpServer::start(|asked| Reply::redirect(302, format!("/{}", asked.number))).await?;
    let client = Reach::only(&server).client().await?;
    let message = failure(&client, &get(server.url("/")), FailureKind::Denied).await?;
    assert!(message.ends_with("came after 5 redirects, and there are more"), "{message}");
    assert_eq!(server.asked().len(), 6);
    Ok(())
}
