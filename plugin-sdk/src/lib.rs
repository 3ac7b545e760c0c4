//! Write Sandbar connectors in Rust.
//!
//! A plugin implements [`Source`], [`Sink`] or [`Transform`] and names it in [`export!`]. Built for `wasm32-wasip1` it is
//! a connector to drop into a folder; built natively the same code runs under [`testing`], through the same frames.
//!
//! ```
//! use sandbar_plugin::{Records, Result, Task, Transform, TransformBatch};
//!
//! struct Shout;
//!
//! impl Transform for Shout {
//!     type Config = sandbar_plugin::NoConfig;
//!
//!     fn open(_config: Self::Config, _task: &Task) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     fn transform(&mut self, records: Records<'_>, out: &mut TransformBatch) -> Result<()> {
//!         for record in records {
//!             let value = record.value.map(<[u8]>::to_ascii_uppercase);
//!             out.emit(&record, record.key, value.as_deref());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! sandbar_plugin::export! {
//!     transform: Shout,
//!     manifest: r#"{"name": "shout", "version": "0.1.0", "abi": 1, "kinds": ["transform"]}"#,
//! }
//! # fn main() {}
//! ```

mod batch;
mod error;
mod export;
pub mod guest;
pub mod host;
pub mod http;
pub mod json;
mod records;
mod sys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod traits;

pub use batch::{NewRecord, SinkResults, SourceBatch, TransformBatch};
pub use error::{Error, Result};
#[doc(hidden)]
pub use export::{BUSY as __BUSY, MINOR as __MINOR, pack as __pack, section as __section};
pub use records::{InputRecord, Records};
pub use sandbar_abi::message::AssignedPartition;
pub use sandbar_abi::status::CloseReason;
pub use sandbar_abi::{Disposition, ErrorClass, TopicPartition};
pub use serde;
pub use serde_json;
pub use traits::{NoConfig, NoSink, NoSource, NoTransform, PollLimits, Sink, Source, Task, Transform};
