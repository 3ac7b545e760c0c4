//! The outline of a module: types, imports, exports, memories and the sections the ABI cares for. Bodies are skipped.
//!
//! Reading is lenient about features, so that a module which uses a forbidden one still gets its imports and exports judged.

use sandbar_abi::names;
use wasmparser::{
    CompositeInnerType, Export, ExternalKind, FuncType, Import, MemoryType, Parser, Payload, TypeRef, WasmFeatures,
};

use super::counts::{self, Counts, within};
use super::error::PluginError;

/// What a module declares.
#[derive(Debug, Default)]
pub(super) struct Module<'a> {
    pub(super) imports: Vec<Import<'a>>,
    pub(super) exports: Vec<Export<'a>>,
    pub(super) memories: Vec<MemoryType>,
    pub(super) manifests: Vec<&'a [u8]>,
    pub(super) has_start: bool,
    /// By type index; `None` for types that are not functions.
    types: Vec<Option<FuncType>>,
    /// The type index of each function, imported ones first.
    functions: Vec<u32>,
    imported_functions: u64,
    counts: Counts,
}

impl<'a> Module<'a> {
    /// Reads the outline, unless the module has more of something than any plugin needs.
    pub(super) fn parse(wasm: &'a [u8]) -> Result<Self, PluginError> {
        let mut module = Self::default();
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        for payload in parser.parse_all(wasm) {
            module.read(payload.map_err(|error| PluginError::invalid(&error))?)?;
        }
        Ok(module)
    }

    fn read(&mut self, payload: Payload<'a>) -> Result<(), PluginError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for sub in group.map_err(|error| PluginError::invalid(&error))?.into_types() {
                        within("types", self.types.len() as u64 + 1, counts::MAX_TYPES)?;
                        self.types.push(match sub.composite_type.inner {
                            CompositeInnerType::Func(ty) => Some(ty),
                            _ => None,
                        });
                    }
                }
                self.function_types().try_for_each(counts::check_type)?;
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(|error| PluginError::invalid(&error))?;
                    within("imports", self.imports.len() as u64 + 1, counts::MAX_IMPORTS)?;
                    match import.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                            self.imported_functions += 1;
                            self.functions.push(ty);
                        }
                        TypeRef::Memory(memory) => self.memories.push(memory),
                        TypeRef::Table(_) | TypeRef::Global(_) | TypeRef::Tag(_) => {}
                    }
                    self.imports.push(import);
                }
            }
            Payload::FunctionSection(section) => {
                let own = self.functions.len() as u64 - self.imported_functions;
                within("functions", own + u64::from(section.count()), counts::MAX_FUNCTIONS)?;
                for ty in section {
                    self.functions.push(ty.map_err(|error| PluginError::invalid(&error))?);
                }
            }
            Payload::MemorySection(section) => {
                within("memories", self.memories.len() as u64 + u64::from(section.count()), counts::MAX_MEMORIES)?;
                for memory in section {
                    self.memories.push(memory.map_err(|error| PluginError::invalid(&error))?);
                }
            }
            Payload::ExportSection(section) => {
                within("exports", self.exports.len() as u64 + u64::from(section.count()), counts::MAX_EXPORTS)?;
                for export in section {
                    self.exports.push(export.map_err(|error| PluginError::invalid(&error))?);
                }
            }
            Payload::DataSection(section) => self.counts.data(section.count())?,
            Payload::ElementSection(section) => self.counts.elements(section)?,
            Payload::CodeSectionEntry(body) => {
                self.counts.body(self.imported_functions, body.range().len() as u64)?;
            }
            Payload::StartSection { .. } => self.has_start = true,
            Payload::CustomSection(section) if section.name() == names::MANIFEST_SECTION => {
                self.manifests.push(section.data());
            }
            _ => {}
        }
        Ok(())
    }

    /// The export of this name.
    pub(super) fn export(&self, name: &str) -> Option<&Export<'a>> {
        self.exports.iter().find(|export| export.name == name)
    }

    /// How many functions it imports: the index of its own first one.
    pub(super) fn imported_functions(&self) -> u64 {
        self.imported_functions
    }

    /// A function type by its index.
    pub(super) fn function_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(index as usize)?.as_ref()
    }

    /// The types of functions.
    pub(super) fn function_types(&self) -> impl Iterator<Item = &FuncType> {
        self.types.iter().flatten()
    }

    /// The type of a function by its index, imported ones first; `None` if there is no such function or type.
    pub(super) fn type_of(&self, function: u64) -> Option<&FuncType> {
        let ty = *self.functions.get(usize::try_from(function).ok()?)?;
        self.types.get(ty as usize)?.as_ref()
    }

    /// The type of an imported function; `None` if it is no function, or of no type there is.
    pub(super) fn import_type(&self, import: &Import<'_>) -> Option<&FuncType> {
        match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => self.types.get(ty as usize)?.as_ref(),
            _ => None,
        }
    }

    /// The type of an exported function; `None` if it is no function, or of no type there is.
    pub(super) fn export_type(&self, export: &Export<'_>) -> Option<&FuncType> {
        match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => self.type_of(export.index.into()),
            _ => None,
        }
    }
}

/// A function type as the ABI writes it: `(i32, i32) -> i64`.
pub(super) fn render(ty: &FuncType) -> String {
    let list = |types: &[wasmparser::ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match ty.results() {
        [one] => format!("({}) -> {one}", list(ty.params())),
        results => format!("({}) -> ({})", list(ty.params()), list(results)),
    }
}

/// The word for what an import is.
pub(super) fn import_kind(ty: &TypeRef) -> &'static str {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => "function",
        TypeRef::Table(_) => "table",
        TypeRef::Memory(_) => "memory",
        TypeRef::Global(_) => "global",
        TypeRef::Tag(_) => "tag",
    }
}

/// The word for what an export is.
pub(super) fn export_kind(kind: ExternalKind) -> &'static str {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "function",
        ExternalKind::Table => "table",
        ExternalKind::Memory => "memory",
        ExternalKind::Global => "global",
        ExternalKind::Tag => "tag",
    }
}
