//! What a plugin is before it runs: read, judged and described from its bytes alone. No guest code is compiled or called.
//!
//! [`admit`] is the gate every `.wasm` passes; [`embed()`] writes the manifest for languages whose tools cannot.

mod bounds;
mod contract;
mod counts;
mod embed;
mod error;
mod header;
mod inspection;
mod load;
mod module;
mod registry;
mod sections;
mod validate;

pub use embed::{EmbedError, embed};
pub use error::PluginError;
pub use inspection::{Export, Import, Inspection, Memory, OptionalExports};
pub use load::{Admitted, Load, LoadError, Loader, Refusal, admit};
pub use registry::{Duplicate, Plugin, Registry, Source};
pub use validate::{PLUGIN_FEATURES, inspect};
