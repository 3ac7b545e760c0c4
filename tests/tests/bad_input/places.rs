//! What may be wrong with the places a worker uses: its data folder, its plugin folder, its cache, its disk.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use sandbar::control::ConnectorStatus;
use sandbar_tests::in_process::{Worker, config, example};
use sandbar_tests::logs;

use crate::worker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_has_one_worker() -> Result<()> {
    let mut worker = worker().await?;
    let Err(error) = Worker::start_in(Arc::clone(worker.folder())).await else { bail!("it must not start") };
    let data = worker.folder().path().join("data");
    let expected = format!(
        "another host runs on the data folder {}; stop it, or give this one another folder with --data",
        data.display()
    );
    ensure!(error.to_string() == expected, "{error}");
    worker.probe().await?;
    let folder = Arc::clone(worker.folder());
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    // The lock goes with its holder.
    Worker::start_in(folder).await?.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_is_none() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    fs::write(folder.path().join("data"), "a file")?;
    let Err(error) = Worker::start_in(Arc::clone(&folder)).await else { bail!("it must not start") };
    let error = format!("{error:#}");
    ensure!(error.contains("data folder") && error.contains("cannot be created"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_no_database() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    fs::create_dir(folder.path().join("data"))?;
    fs::write(
        folder.path().join("data/broker.db"),
        "This is not a database, and long enough to be sure of it.".repeat(50),
    )?;
    let Err(error) = Worker::start_in(Arc::clone(&folder)).await else { bail!("it must not start") };
    let error = format!("{error:#}");
    ensure!(error.contains("broker.db") && error.contains("not a database"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_folder_that_goes_away_and_comes_back() -> Result<()> {
    let mut worker = worker().await?;
    let (plugins, aside) = (worker.folder().path().join("plugins"), worker.folder().path().join("aside"));
    let path = plugins.to_str().context("UTF-8")?.to_owned();
    fs::rename(&plugins, &aside)?;
    logs::line(&["ERROR", &path, "does not exist: create it", "what runs keeps running"]).await?;
    worker.probe().await?;
    fs::rename(&aside, &plugins)?;
    worker.probe().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_code_that_was_tampered_with_is_compiled_again() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let mut settings = config(folder.path());
    settings.cache = folder.path().join("cache");
    let plugins = settings.plugins.clone();
    fs::create_dir(&plugins)?;
    fs::write(plugins.join("faulty.wasm"), example("faulty")?)?;
    let file = plugins.join("faulty.wasm");
    let file = file.to_str().context("UTF-8")?;

    let worker = Worker::start_with(Arc::clone(&folder), settings.clone()).await?;
    logs::line(&[file, "plugin loaded", "from_cache=false"]).await?;
    worker.stop().await?;
    let inner = fs::read_dir(&settings.cache)?.next().context("a folder")??.path();
    let entry = fs::read_dir(inner)?.next().context("an entry")??.path();
    let mut code = fs::read(&entry)?;
    let last = code.last_mut().context("code")?;
    *last = !*last;
    fs::write(&entry, code)?;

    let mut worker = Worker::start_with(Arc::clone(&folder), settings).await?;
    let cached = entry.to_str().context("UTF-8")?;
    let refused = "cached machine code is not used, the plugin is compiled";
    logs::line(&["WARN", cached, refused, "this host did not make it"]).await?;
    worker.start_neighbour("faulty").await
}

/// A file system of its own, as long as it lives.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// Mounts one of a few megabytes; `None` where that is not permitted.
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(at).stderr(Stdio::null());
        mount.status().ok()?.success().then(|| Self(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // A test that failed may still have files open there: the file system goes when they do.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for() -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    let Some(disk) = Disk::mount(&data) else {
        eprintln!("a full disk: not run, mounting one is not permitted");
        return Ok(());
    };
    let mut worker = Worker::start_in(Arc::clone(&folder)).await?;
    worker.put("faulty.wasm", &example("faulty")?)?;
    worker.start_neighbour("faulty").await?;

    // A source that would take hours to fill the disk by itself.
    let slow = [("mode", "sleep"), ("millis", "20"), ("topic", "numbers")];
    let source = [("connector.class", "faulty"), ("connector.type", "source")];
    worker.define("filling", &source.into_iter().chain(slow).collect::<Vec<_>>())?;
    worker.wait("filling", |c| c.totals().commits > 0).await?;
    fill(&data.join("filler"))?;
    let waiting = |c: &ConnectorStatus| c.totals().waiting.is_some_and(|why| why.contains("disk full"));
    worker.wait("filling", waiting).await?;
    logs::line(&["connector=filling", "commit did not go through, it is tried again", "disk full"]).await?;

    fs::remove_file(data.join("filler"))?;
    let before = worker.wait("filling", |c| c.totals().waiting.is_none()).await?.totals().commits;
    worker.wait("filling", |c| c.totals().commits > before).await?;
    worker.remove("filling.json")?;
    worker.gone("filling").await?;
    worker.probe().await?;
    ensure!(worker.stop().await?, "not all tasks ended by themselves");
    drop(disk);
    Ok(())
}

/// Writes until there is no space.
fn fill(file: &Path) -> Result<()> {
    use std::io::Write as _;
    let started = Instant::now();
    let mut file = fs::File::create(file)?;
    while started.elapsed() < Duration::from_secs(10) {
        if let Err(error) = file.write_all(&[0; 4096]) {
            ensure!(error.kind() == std::io::ErrorKind::StorageFull, "{error}");
            return Ok(());
        }
    }
    bail!("the disk does not fill up")
}
