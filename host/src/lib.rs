//! Sandbar's host: finds connectors compiled to WebAssembly, runs each in a sandbox, and pumps records between them and
//! Kafka, exactly once. `ARCHITECTURE.md` draws the map.

#![deny(unsafe_code)]

pub mod api;
pub mod batch;
pub mod broker;
pub mod cli;
pub mod config;
pub mod conformance;
pub mod control;
mod data;
pub mod digest;
pub mod discovery;
pub mod door;
pub mod http;
mod json_record;
pub mod plugins;
pub mod sandbox;
pub mod storage;
pub mod task;
pub mod telemetry;
mod text;
pub mod trust;
mod wall_clock;
mod whole_file;
pub mod wiring;
