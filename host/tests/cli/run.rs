//! `run`: a worker that starts, is told to end, and ends as it was told.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use serde_json::Value;
use tempfile::TempDir;

use crate::{LIMIT, done, fails, folder, put, sandbar, with_plugin};

/// A worker that was started, and its log.
pub(crate) struct Worker {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Worker {
    pub(crate) fn start(folder: &TempDir) -> Self {
        let mut command = sandbar(folder.path(), &["run", "--listen", "none", "--log-format", "json"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// Waits for a log line with this message.
    #[track_caller]
    pub(crate) fn expect(&self, message: &str) -> Value {
        loop {
            // A failure names the message that did not come.
            let line = self.lines.recv_timeout(LIMIT).expect(message);
            let line: Value = serde_json::from_str(&line).expect("a line of the log is JSON");
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, signal).expect("it runs");
    }
}

#[test]
fn run_ends_in_good_order_when_asked_to() {
    let folder = with_plugin();
    let worker = Worker::start(&folder);
    assert_eq!(worker.expect("plugin loaded")["plugin"], "upper");
    worker.stop();
}

/// A folder with a connector whose source never returns from its first poll, and says so before.
fn with_stuck_source(worker: &str) -> TempDir {
    let folder = folder();
    let module = r#"(module
        (import "sandbar_v1" "log" (func $log (param i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "stuck")
        (func (export "sandbar_abi_v1") (result i32) i32.const 0)
        (func (export "sandbar_reserve") (param i32) (result i32) i32.const 1024)
        (func (export "sandbar_open") (param i32 i32) (result i64) i64.const 0)
        (func (export "sandbar_close") (param i32) (result i64) i64.const 0)
        (func (export "sandbar_poll") (param i32 i32 i32) (result i64)
            (call $log (i32.const 3) (i32.const 64) (i32.const 5))
            (loop (br 0))
            i64.const 0))"#;
    put(&folder, "stuck.wasm", wat::parse_str(module).expect("a module"));
    put(&folder, "manifest.json", r#"{"name": "stuck", "version": "1.0.0", "kinds": ["source"], "abi": 1}"#);
    put(&folder, "plugins/a.json", r#"{"name": "a", "config": {"connector.class": "stuck", "topic": "t"}}"#);
    // Neither fuel nor time may end the call before the test does.
    let limits = "[sandbox]\nfuel.per.call = 9223372036854775807\ncall.timeout.ms = 600000\n";
    put(&folder, "sandbar.toml", format!("{worker}\n{limits}"));
    done(folder.path(), &["embed", "stuck.wasm", "manifest.json", "-o", "plugins/stuck.wasm"]);
    folder
}

#[test]
fn a_second_signal_ends_a_run_at_once() {
    let folder = with_stuck_source("shutdown.timeout.ms = 600000");
    let mut worker = Worker::start(&folder);
    worker.expect("stuck");
    worker.signal(rustix::process::Signal::INT);
    worker.expect("stopping: tasks finish what they have taken up");
    worker.signal(rustix::process::Signal::INT);
    assert_eq!(worker.child.wait().expect("it ends").code(), Some(130));
}

#[test]
fn a_run_that_cannot_end_in_good_order_says_so() {
    let folder = with_stuck_source("shutdown.timeout.ms = 50");
    let mut worker = Worker::start(&folder);
    worker.expect("stuck");
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.child.wait().expect("it ends").code(), Some(1));
    let told: Vec<String> = worker.lines.iter().collect();
    assert!(told.iter().any(|line| line.starts_with("error: some tasks did not finish within 50ms")), "{told:?}");
}

#[test]
fn run_tells_what_is_wrong_with_its_configuration() {
    let folder = folder();
    put(&folder, "sandbar.toml", "pluggins = \"plugins\"\nscan.interval.ms = 1\n");
    let told = fails(folder.path(), &["run"], 1);
    assert_eq!(told.matches("error: sandbar.toml:").count(), 2, "{told}");
    assert!(fails(folder.path(), &["run", "--config", "none.toml"], 1).contains("error: none.toml: "));
}
