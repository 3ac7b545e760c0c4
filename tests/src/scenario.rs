//! Where a scenario takes place: the folders of one worker, which outlive its processes, and names nobody else uses.

use std::env;
use std::fs;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use futures::FutureExt as _;
use sandbar::broker::Broker;
use sandbar::config::WorkerConfig;
use sandbar::wiring;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::plugins;
use crate::worker::{InProcess, Log, Process};

static HOMES: AtomicU64 = AtomicU64::new(0);

/// Keeps the folders of scenarios that fail, to look into; names the folder they are kept in.
const KEEP_VARIABLE: &str = "SANDBAR_TEST_KEEP";

/// Which broker a scenario takes place on.
#[derive(Clone, Debug)]
pub enum On {
    /// The embedded one, in the worker's own folder.
    Embedded,
    /// Kafka, as `host:port`.
    Kafka(String),
}

/// Makes two tests of each case, an `async fn(&Home) -> anyhow::Result<()>`: one on the embedded broker, one on Kafka
/// where there is one.
#[macro_export]
macro_rules! on_both_brokers {
    ($($case:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> ::anyhow::Result<()> {
                $crate::scenario::run($crate::scenario::On::Embedded, async |home| super::$case(home).await).await
            })+
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> ::anyhow::Result<()> {
                let brokers = $crate::kafka_or_skip!(Ok(()));
                $crate::scenario::run($crate::scenario::On::Kafka(brokers), async |home| super::$case(home).await).await
            })+
        }
    };
}

/// Runs a scenario. When it fails, shows the end of the worker's log.
pub async fn run(on: On, scenario: impl AsyncFnOnce(&Home) -> Result<()>) -> Result<()> {
    let home = Home::new(on)?;
    let outcome = AssertUnwindSafe(scenario(&home)).catch_unwind().await;
    if matches!(outcome, Ok(Ok(()))) {
        return Ok(());
    }
    home.show();
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The folders of one worker.
pub struct Home {
    folder: TempDir,
    run: String,
    on: On,
}

impl Home {
    fn new(on: On) -> Result<Self> {
        let folder = TempDir::with_prefix("sandbar-test-")?;
        for name in ["plugins", "data", "out"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let run = format!("{:x}-{:x}-{}", started, process::id(), HOMES.fetch_add(1, Ordering::Relaxed));
        Ok(Self { folder, run, on })
    }

    /// The name of a connector or a topic, for this scenario only: the brokers may be shared.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.run)
    }

    /// Which broker it takes place on.
    #[must_use]
    pub fn on(&self) -> &On {
        &self.on
    }

    /// The watched folder.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The worker's own folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where sinks may write.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// What the worker's processes log, one after the other.
    #[must_use]
    pub fn log(&self) -> Log {
        Log::at(self.folder.path().join("worker.log"))
    }

    /// What another worker of the group logs.
    #[must_use]
    pub fn log_of(&self, worker: &str) -> Log {
        Log::at(self.folder.path().join(format!("{worker}.log")))
    }

    /// Drops example plugins into the watched folder.
    pub fn install(&self, packages: &[&str]) -> Result<()> {
        for package in packages {
            self.place(&plugins::file_name(package), &plugins::bytes(package)?)?;
        }
        Ok(())
    }

    /// Puts a file into the watched folder, or in place of the one that is there, in one step.
    pub fn place(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let beside = self.folder.path().join("arriving");
        fs::write(&beside, bytes)?;
        fs::rename(&beside, self.plugins().join(file)).with_context(|| format!("place {file}"))
    }

    /// Takes a file out of the watched folder.
    pub fn remove(&self, file: &str) -> Result<()> {
        fs::remove_file(self.plugins().join(file)).with_context(|| format!("remove {file}"))
    }

    /// Defines a connector in `<what>.json`; its name is [`name`](Self::name) of `what`.
    pub fn define(&self, what: &str, config: &Value) -> Result<()> {
        self.define_in(&format!("{what}.json"), what, config)
    }

    /// Defines a connector in a file.
    pub fn define_in(&self, file: &str, what: &str, config: &Value) -> Result<()> {
        let definition = json!({ "name": self.name(what), "config": config });
        self.place(file, definition.to_string().as_bytes())
    }

    /// Starts a worker as a process of its own.
    pub fn start(&self) -> Result<Process> {
        Process::start(self)
    }

    /// Starts a worker inside this process.
    pub fn start_inside(&self) -> Result<InProcess> {
        InProcess::start(self.config()?, &self.log())
    }

    /// The worker's configuration.
    pub fn config(&self) -> Result<WorkerConfig> {
        let text = self.config_text(match &self.on {
            On::Embedded => None,
            On::Kafka(brokers) => Some(brokers.as_str()),
        });
        let parsed = WorkerConfig::parse(&self.config_file(), text.as_bytes());
        let (config, _) = parsed.map_err(|errors| anyhow!("{errors:?}"))?;
        Ok(config)
    }

    /// Writes the configuration of the worker, which reaches Kafka by these addresses or uses its embedded broker, and
    /// returns its file.
    pub fn write_config(&self, brokers: Option<&str>) -> Result<PathBuf> {
        self.write(&self.config_file(), &self.config_text(brokers))
    }

    /// Writes the configuration of another worker of the group, with the same plugins and a data folder of its own.
    pub fn write_config_of(&self, worker: &str, brokers: &str) -> Result<PathBuf> {
        self.write(&self.folder.path().join(format!("{worker}.toml")), &self.config_text_of(worker, brokers))
    }

    /// The same, of a worker that answers on any port.
    pub fn write_config_that_answers(&self, worker: &str, brokers: &str) -> Result<PathBuf> {
        let text = self.config_text_of(worker, brokers).replacen("\"none\"", "\"127.0.0.1:0\"", 1);
        self.write(&self.folder.path().join(format!("{worker}.toml")), &text)
    }

    fn config_text_of(&self, worker: &str, brokers: &str) -> String {
        self.config_text(Some(brokers)).replacen("\"data\"", &format!("\"data-{worker}\""), 1)
    }

    fn write(&self, file: &Path, text: &str) -> Result<PathBuf> {
        fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
        Ok(file.to_owned())
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("sandbar.toml")
    }

    fn config_text(&self, brokers: Option<&str>) -> String {
        let kafka = brokers.map(|brokers| format!("[kafka]\nbootstrap.servers = \"{brokers}\"\n"));
        // Workers of one group would share what each is to run alone.
        let group = self.name("workers");
        let kafka = kafka.unwrap_or_default();
        format!("plugins = \"plugins\"\ndata = \"data\"\nrest.listen = \"none\"\ngroup.id = \"{group}\"\n{kafka}")
    }

    /// The broker, to look at topics, whether a worker runs or not.
    pub async fn broker(&self) -> Result<Arc<dyn Broker>> {
        wiring::broker(&self.config()?).await
    }

    /// Shows the end of the log, and keeps the folders where that is asked for.
    fn show(&self) {
        // Written past the test runner, which would hold it back until all tests are over.
        let mut stderr = std::io::stderr().lock();
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a test").to_owned();
        let files = fs::read_dir(self.folder.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        for log in files.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            let _ = writeln!(stderr, "--- the end of {} in {name} ({:?})", log.display(), self.on);
            let _ = writeln!(stderr, "{}", Log::at(log).tail());
        }
        if let Some(keep) = env::var_os(KEEP_VARIABLE) {
            let kept = Path::new(&keep).join(&self.run);
            let copied = process::Command::new("cp").arg("-r").arg(self.folder.path()).arg(&kept).status();
            let _ = writeln!(stderr, "--- kept as {}: {copied:?}", kept.display());
        }
        let _ = writeln!(stderr, "---");
    }
}
