//! Commands that talk to a running host.

use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::run::Worker;
use crate::{LIMIT, done, fails, put, with_plugin};

/// Asks until the answer holds a text.
#[track_caller]
fn until(folder: &TempDir, args: &[&str], wanted: &str) {
    until_so(folder, args, |told| told.contains(wanted));
}

/// Asks until the answer is as wanted. The program itself takes a while: there is nothing to wait for in between.
#[track_caller]
fn until_so(folder: &TempDir, args: &[&str], wanted: impl Fn(&str) -> bool) -> String {
    let started = Instant::now();
    loop {
        let told = done(folder.path(), args);
        if wanted(&told) {
            return told;
        }
        assert!(started.elapsed() < LIMIT, "still {told}");
    }
}

fn with_connector() -> TempDir {
    let folder = with_plugin();
    let definition = r#"{"name": "orders", "config": {"connector.class": "upper", "topics": "in", "topic": "out",
        "tasks.max": 2, "sandbox.env": "UPPER_LOCALE"}}"#;
    put(&folder, "plugins/orders.json", definition);
    folder
}

#[test]
fn a_connector_is_watched_and_led() {
    let folder = with_connector();
    let worker = Worker::start(&folder);
    worker.expect("ready");
    let told = until_so(&folder, &["status"], |told| told.contains("RUNNING"));
    assert!(told.starts_with("NAME ") && told.contains("upper 1.2.3"), "{told}");
    // One of the tasks runs before the other; that one has nothing to read, and says so a moment later.
    let told = until_so(&folder, &["status", "orders"], |told| told.matches("RUNNING").count() == 3);
    assert!(told.starts_with("orders (transform, upper 1.2.3) RUNNING\n"), "{told}");

    assert_eq!(done(folder.path(), &["pause", "orders"]), "");
    until(&folder, &["status"], "PAUSED");
    assert_eq!(done(folder.path(), &["stop", "orders"]), "");
    until(&folder, &["status"], "STOPPED");
    let told = fails(folder.path(), &["restart", "orders"], 1);
    assert_eq!(told, "error: connector orders is STOPPED; resume it first\n");
    done(folder.path(), &["resume", "orders"]);
    until(&folder, &["status"], "RUNNING");
    for how in [&["--only-failed"][..], &["--task", "1"], &[]] {
        done(folder.path(), &[&["restart", "orders"], how].concat());
        until(&folder, &["status"], "RUNNING");
    }

    let json: Value = serde_json::from_str(&done(folder.path(), &["status", "--json"])).expect("JSON");
    assert_eq!(json["connectors"][0]["name"], "orders");
    until_so(&folder, &["status", "orders", "--json"], |told| {
        let json: Value = serde_json::from_str(told).expect("JSON");
        json["tasks"][1]["progress"]["instances"].is_u64()
    });
    worker.stop();
}

#[test]
fn what_cannot_be_done_says_why() {
    let folder = with_connector();
    let told = fails(folder.path(), &["status"], 1);
    assert!(
        told.starts_with("error: no host runs with the data folder data\nhint: --data, --config or --url say which"),
        "{told}"
    );
    let told = fails(folder.path(), &["status", "--data", "elsewhere"], 1);
    assert_eq!(told, "error: no host runs with the data folder elsewhere\nhint: `sandbar run` starts one\n");
    let worker = Worker::start(&folder);
    worker.expect("ready");
    until(&folder, &["status"], "RUNNING");
    for (args, expected) in [
        (&["pause", "a/../b %"][..], "error: Unknown connector a/../b %\n"),
        (&["status", "order"], "error: connector order not found\n"),
        (&["restart", "orders", "--task", "2"], "error: Unknown task: orders-2\n"),
    ] {
        assert_eq!(fails(folder.path(), args, 1), expected);
    }
    fails(folder.path(), &["restart", "orders", "--task", "x"], 2);
    fails(folder.path(), &["pause"], 2);
    worker.stop();
}
