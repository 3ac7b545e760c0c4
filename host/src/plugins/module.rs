//! The outline of a module: types, imports, exports, memories and the sections the ABI cares for. Bodies are skipped.
//!
//! Reading is lenient about features, so that a module which uses a forbidden one still gets its imports and exports judged.

use sandbar_abi::names;
use wasmparser::{
    CompositeInnerType, Export, ExternalKind, FuncType, Import, MemoryType, Parser, Payload, TypeRef, WasmFeatures,
};

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
}

impl<'a> Module<'a> {
    /// Reads the outline.
    pub(super) fn parse(wasm: &'a [u8]) -> Result<Self, wasmparser::Error> {
        let mut module = Self::default();
        let mut parser = Parser::new(0);
        parser.set_features(WasmFeatures::all());
        for payload in parser.parse_all(wasm) {
            module.read(payload?)?;
        }
        Ok(module)
    }

    fn read(&mut self, payload: Payload<'a>) -> Result<(), wasmparser::Error> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types.extend(group?.into_types().map(|sub| match sub.composite_type.inner {
                        CompositeInnerType::Func(ty) => Some(ty),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => self.functions.push(ty),
                        TypeRef::Memory(memory) => self.memories.push(memory),
                        TypeRef::Table(_) | TypeRef::Global(_) | TypeRef::Tag(_) => {}
                    }
                    self.imports.push(import);
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.functions.push(ty?);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.exports.push(export?);
                }
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
        let functions =
            self.imports.iter().filter(|import| matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
        functions.count() as u64
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
