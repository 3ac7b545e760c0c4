//! Headers that the host adds: the server gets them, the guest does not, and no other server either.

use anyhow::Result;
use sandbar::http::Injection;
use sandbar_abi::http::{self, FailureKind};
use sandbar_tests::http_server::{HttpServer, Reply};

use crate::{Reach, ask, failure, get, response};

const SECRET: &str = "Bearer s3cret";

fn injection(server: &HttpServer) -> Result<Vec<Injection>> {
    let injection = Injection::new("Authorization", SECRET, vec![server.origin().parse()?]);
    Ok(vec![injection.map_err(anyhow::Error::msg)?])
}

#[tokio::test]
async fn the_server_gets_the_header_and_the_guest_does_not() -> Result<()> {
    let server = HttpServer::start(|_| Reply::ok("in")).await?;
    let client = Reach { injections: injection(&server)?, ..Reach::only(&server) }.client().await?;
    let mut request = get(server.url("/"));
    request.headers.push(("AUTHORIZATION".to_owned(), "a guess".to_owned()));
    let (answer, body) = ask(&client, &request, &[]).await?;
    let asked = &server.asked()[0];
    let sent: Vec<_> = asked.headers.iter().filter(|(name, _)| name == "authorization").collect();
    assert_eq!(sent, [&("authorization".to_owned(), SECRET.to_owned())]);
    let told = String::from_utf8_lossy(&http::encode(&answer, &body)?).into_owned();
    assert!(told.ends_with("in") && !told.contains("s3cret"), "{told}");
    assert!(!format!("{client:?}").contains("s3cret"));
    Ok(())
}

#[tokio::test]
async fn a_redirect_to_another_server_does_not_take_it_along() -> Result<()> {
    let other = HttpServer::start(|_| Reply::ok("")).await?;
    let to = other.url("/");
    let server = HttpServer::start(move |_| Reply::redirect(307, &to)).await?;
    let reach = Reach::hosts([server.origin(), other.origin()]);
    let client = Reach { injections: injection(&server)?, ..reach }.client().await?;
    response(&client, &get(server.url("/")), &[]).await?;
    assert_eq!(server.asked()[0].header("authorization"), Some(SECRET));
    assert_eq!(other.asked()[0].header("authorization"), None);
    Ok(())
}

#[tokio::test]
async fn a_failure_does_not_tell_it() -> Result<()> {
    let server = HttpServer::start(|_| Reply::hang_up()).await?;
    let client = Reach { injections: injection(&server)?, ..Reach::only(&server) }.client().await?;
    let message = failure(&client, &get(server.url("/")), FailureKind::Protocol).await?;
    assert!(!message.contains("s3cret"), "{message}");
    Ok(())
}
