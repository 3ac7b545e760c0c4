//! What plugins may use and reach.

use std::path::PathBuf;

use sandbar_abi::manifest::Access;

use super::{good, refused, warned};
use crate::config::WorkerConfig;

const FILES: [&str; 2] = [r#""connector.class": "Files""#, r#""topic": "out""#];

fn files(lines: &[&'static str]) -> Vec<&'static str> {
    [&FILES[..], lines].concat()
}

#[test]
fn a_plugin_gets_what_it_asks_for_and_is_granted() {
    let lines = files(&[r#""sandbox.fs.read": "/srv/a, /srv/b""#, r#""sandbox.env": "HOME""#]);
    let sandbox = good(&lines).plugin.sandbox;
    let read = |path: &str| (PathBuf::from(path), Access::Read);
    assert_eq!(sandbox.grants.fs, [read("/srv/a"), read("/srv/b")]);
    assert_eq!(sandbox.grants.env, ["HOME"]);
}

#[test]
fn what_is_asked_for_and_not_granted_is_an_error_that_names_the_key() {
    refused(
        &files(&[]),
        &[
            "c.json: sandbox.fs.read: is required: plugin Files asks to read directories",
            "c.json: sandbox.env: must name HOME: plugin Files asks for this environment variable",
        ],
    );
    refused(
        &[r#""connector.class": "Writer""#, r#""topics": "a""#],
        &["c.json: sandbox.fs.write: is required: plugin Writer asks to write to directories"],
    );
}

#[test]
fn what_is_granted_and_not_asked_for_is_a_warning() {
    let lines = files(&[r#""sandbox.fs.write": "/srv/a""#, r#""sandbox.env": "HOME,PATH""#]);
    let settings = warned(
        &lines,
        &[
            "c.json:5:1: sandbox.fs.write: is not granted: no plugin asks to write to directories",
            "c.json:6:1: sandbox.env: PATH is not granted: no plugin asks for it",
        ],
    );
    let grants = settings.plugin.sandbox.grants;
    assert_eq!(grants.fs, [(PathBuf::from("/srv/a"), Access::Read)]);
    assert_eq!(grants.env, ["HOME"]);
}

#[test]
fn directories_are_absolute() {
    let lines = files(&[r#""sandbox.fs.read": "srv""#, r#""sandbox.env": "HOME""#]);
    refused(&lines, &["c.json:5:1: sandbox.fs.read: \"srv\" must be an absolute directory"]);
}

#[test]
fn limits_are_the_definitions_else_the_plugins_else_the_workers() {
    let granted = [r#""sandbox.fs.read": "/srv""#, r#""sandbox.env": "HOME""#];
    let limits = good(&files(&granted)).plugin.sandbox.limits;
    assert_eq!(limits.memory_max_bytes, 1 << 20);
    assert_eq!(limits.fuel_per_call, WorkerConfig::default().limits.fuel_per_call);
    let lines = [&granted[..], &[r#""sandbox.memory.max.bytes": "2097152""#]].concat();
    assert_eq!(good(&files(&lines)).plugin.sandbox.limits.memory_max_bytes, 2 << 20);
    let lines = [&granted[..], &[r#""sandbox.call.timeout.ms": "10001""#]].concat();
    let message = "c.json:7:1: sandbox.call.timeout.ms: is more than the 10000 that the worker allows \
                   (sandbox.call.timeout.ms in its own file)";
    refused(&files(&lines), &[message]);
}
