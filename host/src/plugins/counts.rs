//! Bounds on what a module may declare, held while its outline is read: before anything is kept, validated or compiled. A
//! few bytes of a file can stand for thousands in memory, in this host and in what validates, compiles and runs it.

use wasmparser::{ElementItems, ElementSectionReader, FuncType};

use super::error::PluginError;

/// Toolchains write some hundreds, one for each signature in use.
pub(super) const MAX_TYPES: u64 = 10_000;
/// Toolchains write one, or two. A block or a call with a thousand lets three bytes of code stand for a thousand values.
pub(super) const MAX_RESULTS: u64 = 16;
/// Each function costs some 150 microseconds and 5 KiB, however short it is.
pub(super) const MAX_FUNCTIONS: u64 = 50_000;
/// Each exported function costs some 250 microseconds, and the registry keeps its name.
pub(super) const MAX_EXPORTS: u64 = 1_000;
/// The ABI and WASI have some sixty functions; the registry keeps the names.
pub(super) const MAX_IMPORTS: u64 = 1_000;
/// Between 20,000 and 90,000 of them the time goes from 40 milliseconds to a minute.
pub(super) const MAX_DATA_SEGMENTS: u64 = 10_000;
/// Of all element segments: as many as tables may have. Each instance keeps 16 bytes for each, outside its memory.
pub(super) const MAX_ELEMENTS: u64 = 100_000;
/// Toolchains write one for each table.
pub(super) const MAX_ELEMENT_SEGMENTS: u64 = 1_000;
/// A plugin has one; who has more is told how many, within reason.
pub(super) const MAX_MEMORIES: u64 = 1_000;
/// A compiler needs up to a thousand times a function's length as memory, on each core; a validator some hundred.
pub(super) const MAX_FUNCTION_BYTES: u64 = 512 << 10;

/// What there is so far of what the outline does not keep.
#[derive(Debug, Default)]
pub(super) struct Counts {
    data_segments: u64,
    element_segments: u64,
    elements: u64,
    bodies: u64,
}

impl Counts {
    pub(super) fn data(&mut self, count: u32) -> Result<(), PluginError> {
        self.data_segments += u64::from(count);
        within("data segments", self.data_segments, MAX_DATA_SEGMENTS)
    }

    pub(super) fn elements(&mut self, section: ElementSectionReader<'_>) -> Result<(), PluginError> {
        self.element_segments += u64::from(section.count());
        within("element segments", self.element_segments, MAX_ELEMENT_SEGMENTS)?;
        for element in section {
            self.elements += u64::from(match element.map_err(|error| PluginError::invalid(&error))?.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            });
            within("elements", self.elements, MAX_ELEMENTS)?;
        }
        Ok(())
    }

    /// A body of so many bytes; `imported` functions come before the first one.
    pub(super) fn body(&mut self, imported: u64, bytes: u64) -> Result<(), PluginError> {
        let function = imported + self.bodies;
        self.bodies += 1;
        if bytes > MAX_FUNCTION_BYTES {
            let (what, count, limit) = ("bytes", bytes, MAX_FUNCTION_BYTES);
            return Err(PluginError::FunctionTooLarge { function, what, count, limit });
        }
        Ok(())
    }
}

/// Refuses what is too many.
pub(super) fn within(what: &'static str, count: u64, limit: u64) -> Result<(), PluginError> {
    if count > limit { Err(PluginError::TooMany { what, count, limit }) } else { Ok(()) }
}

/// Refuses a type with too many results.
pub(super) fn check_type(ty: &FuncType) -> Result<(), PluginError> {
    within("results in one function type", ty.results().len() as u64, MAX_RESULTS)
}
