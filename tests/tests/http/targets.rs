//! Where requests go: to what is granted, by scheme, host and port, and nowhere else.

use anyhow::Result;
use sandbar_abi::http::{FailureKind, Request};
use sandbar_tests::http_server::{HttpServer, Reply};

use crate::{Reach, failure, get, response};

#[tokio::test]
async fn a_request_goes_out_as_it_is_and_its_answer_comes_back() -> Result<()> {
    let server = HttpServer::start(|asked| {
        Reply::status(201).header("X-Number", asked.number.to_string()).body(format!("made {}", asked.text()))
    })
    .await?;
    let headers = [("Content-Type", "text/plain"), ("x-two", "1"), ("X-Two", "2")];
    let request = Request {
        method: "PUT".to_owned(),
        url: server.url("/a%20b?q=1#part"),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        timeout_ms: None,
    };
    let (head, body) = response(&Reach::only(&server).client().await?, &request, b"this").await?;
    assert_eq!((head.status, body.as_str()), (201, "made this"));
    assert_eq!(head.url, server.url("/a%20b?q=1"));
    assert!(head.headers.contains(&("x-number".to_owned(), "0".to_owned())), "{head:?}");

    let asked = &server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.text().as_str()), ("PUT", "/a%20b?q=1", "this"));
    let sent = |name| asked.headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!(sent("x-two").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(asked.header("content-type"), Some("text/plain"));
    assert_eq!(asked.header("content-length"), Some("4"));
    assert_eq!(asked.header("user-agent"), Some(concat!("sandbar/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked.header("accept-encoding"), None);
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_server_is_an_answer() -> Result<()> {
    let server = HttpServer::start(|_| Reply::status(429).header("retry-after", "7").body("slow down")).await?;
    let (head, body) = response(&Reach::only(&server).client().await?, &get(server.url("/")), &[]).await?;
    assert_eq!((head.status, body.as_str()), (429, "slow down"));
    assert!(head.headers.contains(&("retry-after".to_owned(), "7".to_owned())), "{head:?}");
    Ok(())
}

#[tokio::test]
async fn another_host_port_or_scheme_is_denied_and_never_asked() -> Result<()> {
    let (server, other) = (HttpServer::start(|_| Reply::ok("")).await?, HttpServer::start(|_| Reply::ok("")).await?);
    let client = Reach::only(&server).client().await?;
    for url in [
        other.url("/"),
        server.url("/").replace("http://", "https://"),
        server.origin_as("127.0.0.2"),
        server.origin_as("localhost"),
        server.origin_as("[::ffff:127.0.0.1]"),
        "http://127.0.0.1/".to_owned(),
        "https://example.com".to_owned(),
    ] {
        let message = failure(&client, &get(&url), FailureKind::Denied).await?;
        assert!(message.ends_with("is not granted: sandbox.http.hosts does not name it"), "{url}: {message}");
    }
    assert_eq!((server.connections().opened, other.connections().opened), (0, 0));
    response(&client, &get(server.origin_as("0x7f.1")), &[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_or_talks_nonsense_is_told_apart() -> Result<()> {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        format!("http://{}", listener.local_addr()?)
    };
    let message = failure(&Reach::hosts([&gone]).client().await?, &get(&gone), FailureKind::Connect).await?;
    assert!(message.starts_with(&format!("{gone}: ")) && message.contains("refused"), "{message}");

    let server = HttpServer::start(|_| Reply::hang_up()).await?;
    failure(&Reach::only(&server).client().await?, &get(server.url("/")), FailureKind::Protocol).await?;
    Ok(())
}
