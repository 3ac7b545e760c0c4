//! The contract between host and guest, in one place both sides compile: names, frames, status codes, manifest.
//!
//! This crate knows nothing of wasmtime, tokio or Kafka. `docs/abi.md` is the normative text; where the two differ,
//! one of them is a defect.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod frame;
pub mod http;
pub mod manifest;
pub mod message;
pub mod names;
pub mod pattern;
pub mod signatures;
pub mod status;

pub use frame::{Disposition, Frame, FrameBuilder, FrameError, Record, TopicPartition};
pub use manifest::Manifest;
pub use signatures::{Signature, ValType};
pub use status::ErrorClass;
