//! The REST interface under load: 200 clients at once, each with a connection of its own, most of which look while some
//! change what runs, against a bare server that answers them the same bytes, in turn. They look ten times a second each, as
//! those do that watch; then as fast as they are answered, which no machine is quick enough for: all wait for each other.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sandbar::config::WorkerConfig;
use sandbar::control::ConnectorState;
use sandbar_bench::load::{Ask, Client, Seen, ask_for, ask_once};
use sandbar_bench::{Host, plugin};
use tokio::net::TcpListener;

/// Those that look, and those that change something.
const READERS: usize = 190;
const WRITERS: usize = 10;
const CONNECTORS: usize = 10;
/// How often one that looks does where they do not look as fast as they can: as one that watches.
const READ_EVERY: Duration = Duration::from_millis(100);
/// How often one that writes does.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// The two servers take turns, so that what else the machine does meets both.
const ROUNDS: u32 = 6;
/// How long each is asked, where nobody says how many seconds.
const SECONDS: f64 = 60.0;

/// One thread asks, and the others are left to whoever answers.
fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(SECONDS), |text| text.parse())?;
    let servers = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let asking = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let host = servers.block_on(host(folder.path()))?;
    let address = host.address.context("it listens")?;
    let bare = servers.block_on(bare(address))?;
    let mut errors = Vec::new();
    for (title, every) in
        [("each asks ten times a second", READ_EVERY), ("as fast as they are answered", Duration::ZERO)]
    {
        let (mut ours, mut theirs) = (Tally::default(), Tally::default());
        for _ in 0..ROUNDS {
            for (tally, server) in [(&mut ours, address), (&mut theirs, bare)] {
                let window = Duration::from_secs_f64(seconds) / ROUNDS;
                // What asks must not be part of the runtime that answers.
                let seen = asking.spawn(async move { ask_for(window, server, &clients(every)).await });
                let mut seen = asking.block_on(seen)??.into_iter();
                seen.by_ref().take(READERS).for_each(|one| tally.looks.add(one));
                seen.for_each(|one| tally.changes.add(one));
            }
        }
        tell(title, seconds, &mut ours, &mut theirs);
        errors.append(&mut ours.all().errors);
    }
    servers.block_on(host.stop())?;
    ensure!(errors.is_empty(), "{:#?}", &errors[..errors.len().min(5)]);
    Ok(())
}

fn tell(title: &str, seconds: f64, ours: &mut Tally, theirs: &mut Tally) {
    println!(
        "\n### {READERS} clients that look, {title}, and {WRITERS} that change something each second, {seconds:.0} s\n"
    );
    println!("| what | requests/s | p50, ms | p99, ms | p99.9, ms | most, ms | errors |");
    println!("|---|---|---|---|---|---|---|");
    let p99 = [ours.all().percentile(0.99), theirs.all().percentile(0.99)];
    for (name, tally) in [("the host", ours), ("a bare server", theirs)] {
        row(name, &mut tally.all(), seconds);
        row(&format!("{name}, those that look"), &mut tally.looks, seconds);
        row(&format!("{name}, those that change something"), &mut tally.changes, seconds);
    }
    println!("\nratio of p99, the host / a bare server: {:.2}", p99[0] / p99[1]);
}

/// What clients saw of one server.
#[derive(Default)]
struct Tally {
    looks: Seen,
    changes: Seen,
}

impl Tally {
    fn all(&self) -> Seen {
        let mut all = self.looks.clone();
        all.add(self.changes.clone());
        all
    }
}

fn row(what: &str, seen: &mut Seen, seconds: f64) {
    #[allow(clippy::cast_precision_loss)] // some millions
    let rate = seen.micros.len() as f64 / seconds;
    let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|part| seen.percentile(part));
    println!("| {what} | {rate:.0} | {p50:.1} | {p99:.1} | {p999:.1} | {most:.1} | {} |", seen.errors.len());
}

/// A host with ten connectors, each of which makes ten records a second.
async fn host(folder: &std::path::Path) -> anyhow::Result<Host> {
    let plugins = folder.join("plugins");
    std::fs::create_dir_all(&plugins)?;
    std::fs::copy(plugin("datagen")?, plugins.join("datagen.wasm"))?;
    let data = folder.join("data");
    let mut worker = WorkerConfig { plugins, cache: data.join("cache"), data, ..WorkerConfig::default() };
    worker.rest.listen = Some("127.0.0.1:0".to_owned());
    // All clients have one address.
    worker.rest.rate_per_second = 0;
    let mut host = Host::start_with(worker).await?;
    let address = host.address.context("it listens")?;
    host.wait("the plugin is loaded", |status| status.ready && status.world.registry.iter().count() > 0).await?;
    for number in 0..CONNECTORS {
        let (status, body) = ask_once(address, &configure(number, 10)).await?;
        ensure!(status == 201, "{status} {body:?}");
    }
    let runs = |status: &sandbar::control::Status| {
        status.connectors.iter().filter(|one| one.state == ConnectorState::Running).count() == CONNECTORS
    };
    host.wait("all run", runs).await?;
    Ok(host)
}

fn name(number: usize) -> String {
    format!("clicks-{}", number % CONNECTORS)
}

fn configure(number: usize, rate: u32) -> Ask {
    let config = serde_json::json!({
        "connector.class": "datagen", "topic": name(number), "rate": rate.to_string(), "template": "{\"n\": \"{{seq}}\"}",
    });
    Ask::put(&format!("/connectors/{}/config", name(number)), Some(config.to_string()))
}

/// What each client asks for, of ten connectors.
fn clients(every: Duration) -> Vec<Client> {
    let reader = |number| {
        let one = format!("/connectors/{}", name(number));
        let asks = [
            Ask::get(&format!("{one}/status")),
            Ask::get("/connectors"),
            Ask::get(&one),
            Ask::get("/connectors?expand=status&expand=info"),
            Ask::get(&format!("{one}/config")),
            Ask::get(&format!("{one}/status")),
            Ask::get("/v1/status"),
            Ask::get(&format!("{one}/tasks")),
            Ask::get("/metrics"),
        ];
        Client { asks: asks.into(), every }
    };
    let writer = |number| {
        let order = |what| Ask::put(&format!("/connectors/{}/{what}", name(number)), None);
        let asks = vec![order("pause"), order("resume"), configure(number, 9), configure(number, 10)];
        Client { asks, every: WRITE_EVERY }
    };
    (0..READERS).map(reader).chain((0..WRITERS).map(writer)).collect()
}

/// A server that does nothing but answer what the host answered: as much as any could do.
async fn bare(host: SocketAddr) -> anyhow::Result<SocketAddr> {
    let (clients, mut answers) = (clients(READ_EVERY), BTreeMap::new());
    for ask in clients.iter().flat_map(|client| &client.asks) {
        if !answers.contains_key(&ask.path) {
            let (status, body) = ask_once(host, ask).await?;
            ensure!(status < 400, "{} {status} {body:?}", ask.path);
            answers.insert(ask.path.clone(), body);
        }
    }
    let (answers, listener) = (Arc::new(answers), TcpListener::bind("127.0.0.1:0").await?);
    let address = listener.local_addr()?;
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            let answer = service_fn(move |request: Request<Incoming>| {
                let answers = Arc::clone(&answers);
                async move {
                    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
                    // It is read to its end, as there.
                    let _ = request.into_body().collect().await;
                    let body = answers.get(&path).cloned().unwrap_or_else(Bytes::new);
                    Ok::<_, Infallible>(Response::new(Full::new(body)))
                }
            });
            drop(stream.set_nodelay(true));
            drop(tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer)));
        }
    }));
    Ok(address)
}
