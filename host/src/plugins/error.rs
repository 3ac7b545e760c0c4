//! Why a file is refused as a plugin: one variant a reason, each naming the thing and, where it helps, the way out.

use sandbar_abi::manifest::ManifestError;
use sandbar_abi::names;
use thiserror::Error;

/// A reason to refuse a plugin.
#[derive(Debug, Error)]
pub enum PluginError {
    /// There is nothing in the file.
    #[error("the file is empty: was the copy interrupted?")]
    Empty,
    /// The file is something else.
    #[error("the file is not WebAssembly: it looks like {looks_like}")]
    NotWasm {
        /// What it looks like, with advice where there is some.
        looks_like: &'static str,
    },
    /// Native code, which the host never takes from outside.
    #[error("the file is a precompiled artefact: these are refused, drop the .wasm itself")]
    Precompiled,
    /// A component, not a core module.
    #[error("the file is a WebAssembly component: plugins are core modules, build for the target wasm32-wasip1")]
    Component,
    /// A WebAssembly version that does not exist yet.
    #[error("the file has WebAssembly version {version:#010x}, expected 0x00000001")]
    Version {
        /// The version field of the header.
        version: u32,
    },
    /// The file ends in the middle.
    #[error("the file is truncated: {what} needs {need} bytes at offset {offset:#x}, {have} are left")]
    Truncated {
        /// The part that is cut.
        what: String,
        /// Where that part starts.
        offset: usize,
        /// How many bytes it needs.
        need: usize,
        /// How many there are.
        have: usize,
    },
    /// More sections than any toolchain writes.
    #[error("the module has more than {limit} sections")]
    TooManySections {
        /// How many a module may have.
        limit: usize,
    },
    /// It is not a valid module.
    #[error("the module is not valid: {message} at offset {offset:#x}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where.
        offset: usize,
    },
    /// It is a valid module but uses what plugins may not use.
    #[error(
        "the module uses the WebAssembly feature \"{feature}\", which plugins may not use: {message} at offset {offset:#x}"
    )]
    Feature {
        /// The feature.
        feature: String,
        /// What uses it.
        message: String,
        /// Where.
        offset: usize,
    },
    /// It has more of something than the host is ready to compile.
    #[error("the module has {count} {what}, a plugin may have {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it has.
        count: u64,
        /// How many it may have.
        limit: u64,
    },
    /// It has a function that would take too long, or too much memory, to compile.
    #[error("function {function} has {count} {what}, one may have {limit}: build it optimised, or split it")]
    FunctionTooLarge {
        /// The function's index.
        function: u64,
        /// What it has too much of.
        what: &'static str,
        /// How much it has.
        count: u64,
        /// How much it may have.
        limit: u64,
    },
    /// It has more than one linear memory.
    #[error("the module has {count} memories: a plugin has one, exported as \"{}\"", names::MEMORY)]
    Memories {
        /// How many it has.
        count: usize,
    },
    /// It runs code when it is instantiated.
    #[error("the module has a start section: `_initialize` is where start-up code goes")]
    StartSection,
    /// It says nothing of itself.
    #[error(
        "custom section \"{}\" is missing: the SDK writes it; in other languages `sandbar embed FILE.wasm MANIFEST.json` does",
        names::MANIFEST_SECTION
    )]
    ManifestMissing,
    /// It says more than one thing of itself.
    #[error("custom section \"{}\" is there {count} times, expected once", names::MANIFEST_SECTION)]
    ManifestRepeated {
        /// How often.
        count: usize,
    },
    /// What it says of itself cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It was built for another major version of the ABI.
    #[error("exports {exported}, this host speaks `{}`: rebuild the plugin with a matching SDK", names::ABI_MARKER)]
    AbiMajor {
        /// The markers it does export.
        exported: String,
    },
    /// It imports from a module that the host does not provide.
    #[error("import \"{module}\" \"{name}\": the host has no module of that name{hint}")]
    ImportModule {
        /// The module.
        module: String,
        /// The name in it.
        name: String,
        /// What the likely cause is, or nothing.
        hint: &'static str,
    },
    /// It imports a function that the host does not have.
    #[error("import \"{module}\" \"{name}\": there is no such function in this version of the host")]
    ImportUnknown {
        /// The module.
        module: String,
        /// The name in it.
        name: String,
    },
    /// It imports a function that is only there for plugins that ask for what it does.
    #[error("import \"{module}\" \"{name}\": is there only for plugins whose manifest asks for it: add {capability}")]
    ImportUnasked {
        /// The module.
        module: String,
        /// The name in it.
        name: String,
        /// The field of the manifest.
        capability: &'static str,
    },
    /// It imports something that is not a function.
    #[error("import \"{module}\" \"{name}\": is a {is}, only functions may be imported")]
    ImportKind {
        /// The module.
        module: String,
        /// The name in it.
        name: String,
        /// What it is.
        is: &'static str,
    },
    /// It imports a function by another type than it has.
    #[error("import \"{module}\" \"{name}\": has type {is}, expected {expected}")]
    ImportType {
        /// The module.
        module: String,
        /// The name in it.
        name: String,
        /// The type it has.
        is: String,
        /// The type it must have.
        expected: String,
    },
    /// It does not export what it must.
    #[error("export \"{name}\" is missing: {needed_by} needs {expected}")]
    ExportMissing {
        /// The export.
        name: &'static str,
        /// Who needs it.
        needed_by: String,
        /// What it must be.
        expected: String,
    },
    /// It exports something else by that name.
    #[error("export \"{name}\": is a {is}, expected {expected}")]
    ExportKind {
        /// The export.
        name: &'static str,
        /// What it is.
        is: &'static str,
        /// What it must be.
        expected: String,
    },
    /// It exports a function of another type by that name.
    #[error("export \"{name}\": has type {is}, expected {expected}")]
    ExportType {
        /// The export.
        name: &'static str,
        /// The type it has.
        is: String,
        /// The type it must have.
        expected: String,
    },
    /// The list ends here, the errors do not.
    #[error("and {count} more errors")]
    More {
        /// How many are not listed.
        count: usize,
    },
}

impl PluginError {
    /// What is wrong with a module that cannot be read or is not valid.
    pub(super) fn invalid(error: &wasmparser::Error) -> Self {
        let (message, offset) = (error.message().to_owned(), error.offset());
        let feature =
            error.missing_wasm_feature().and_then(|missing| missing.iter_names().next().map(|(name, _)| name));
        match feature {
            Some(name) => Self::Feature { feature: name.to_ascii_lowercase().replace('_', "-"), message, offset },
            None => Self::Invalid { message, offset },
        }
    }
}
