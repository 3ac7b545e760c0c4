//! Bounds on what compiling a module may cost. Validation is linear in the file, compiling is not: a few kilobytes of nested
//! loops over many locals can keep a compiler busy for hours, and fill the machine's memory.
//!
//! The numbers are measured on one core, with fuel and epochs; the bounds leave what toolchains write alone by a wide
//! margin. A host that is not being attacked never meets them.

use wasmparser::{FuncType, FunctionBody, Operator, Parser, Payload};

use super::error::PluginError;
use super::module::Module;

/// Each function costs some 150 microseconds and 5 KiB, however short it is.
const MAX_FUNCTIONS: u64 = 50_000;
/// Each exported function costs some 250 microseconds, and the registry keeps its name.
const MAX_EXPORTS: u64 = 1_000;
/// The ABI and WASI have some sixty functions; the registry keeps the names.
const MAX_IMPORTS: u64 = 1_000;
/// Between 20,000 and 90,000 of them the time goes from 40 milliseconds to a minute.
const MAX_DATA_SEGMENTS: u64 = 10_000;
/// A compiler needs up to a thousand times a function's length as memory, on each core.
const MAX_FUNCTION_BYTES: u64 = 512 << 10;
/// Parameters included. Twenty thousand that are all in use across ten calls take 15 seconds.
const MAX_LOCALS: u64 = 5_000;
/// Two thousand nested loops, in 15 KiB, take 20 seconds: the time grows with the third power.
const MAX_LOOP_DEPTH: u64 = 100;
/// A hundred thousand nested blocks take 20 seconds: the time grows with the second power.
const MAX_BLOCK_DEPTH: u64 = 10_000;
/// Places where branches meet, times the locals that may be in use there: ten thousand times a thousand take 25 seconds
/// and 750 MiB.
const MAX_FUNCTION_WEIGHT: u64 = 4_000_000;
/// How many times as heavy a loop is as a block: what is in use anywhere in it is in use everywhere in it.
const LOOP_WEIGHT: u64 = 8;
/// What all of a module may cost, in microseconds of one core at worst; of what compilers write, a tenth of that at most.
const MAX_WORK: u64 = 120_000_000;

/// What things cost, in the unit of [`MAX_WORK`]: the most that was measured of each.
mod work {
    pub(super) const FUNCTION: u64 = 150;
    pub(super) const BYTE: u64 = 3;
    pub(super) const BLOCK: u64 = 50;
    pub(super) const TYPE_VALUE: u64 = 8;
    /// Of a function's weight, per thousand.
    pub(super) const WEIGHT_PER_MILLE: u64 = 2_500;
}

/// Everything about a valid module that is past a bound; of functions the first one only.
pub(super) fn check_bounds(wasm: &[u8], module: &Module<'_>) -> Vec<PluginError> {
    let mut counted = Counted::default();
    let mut errors = Vec::new();
    match counted.read(wasm, module) {
        Ok(first) => errors.extend(first),
        // What validates can be read.
        Err(error) => errors.push(PluginError::Invalid { message: error.message().to_owned(), offset: error.offset() }),
    }
    for (what, count, limit) in [
        ("functions", counted.functions, MAX_FUNCTIONS),
        ("exports", module.exports.len() as u64, MAX_EXPORTS),
        ("imports", module.imports.len() as u64, MAX_IMPORTS),
        ("data segments", counted.data_segments, MAX_DATA_SEGMENTS),
        ("units of work to be compiled", counted.work, MAX_WORK),
    ] {
        if count > limit {
            errors.push(PluginError::TooMany { what, count, limit });
        }
    }
    errors
}

#[derive(Debug, Default)]
struct Counted {
    functions: u64,
    data_segments: u64,
    work: u64,
}

impl Counted {
    /// Reads the module, and returns what is wrong with the first function that is past a bound.
    fn read(&mut self, wasm: &[u8], module: &Module<'_>) -> Result<Option<PluginError>, wasmparser::Error> {
        let mut first = None;
        self.work = module.function_types().map(|ty| values(ty) * work::TYPE_VALUE).sum();
        let imported = module.imported_functions();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::DataSection(section) => self.data_segments += u64::from(section.count()),
                Payload::CodeSectionEntry(body) => {
                    let index = imported + self.functions;
                    let params = module.type_of(index).map_or(0, |ty| ty.params().len() as u64);
                    let function = Function::read(&body, params)?;
                    self.functions += 1;
                    self.work = self.work.saturating_add(function.work());
                    first = first.or_else(|| function.past_a_bound(index));
                }
                _ => {}
            }
        }
        Ok(first)
    }
}

/// What of a function makes compiling it expensive.
#[derive(Debug, Default)]
struct Function {
    bytes: u64,
    locals: u64,
    blocks: u64,
    loops: u64,
    block_depth: u64,
    loop_depth: u64,
}

impl Function {
    fn read(body: &FunctionBody<'_>, params: u64) -> Result<Self, wasmparser::Error> {
        let mut function = Self { bytes: body.range().len() as u64, locals: params, ..Self::default() };
        for group in body.get_locals_reader()? {
            function.locals += u64::from(group?.0);
        }
        // Of each block that is open: whether it is a loop.
        let mut open = Vec::new();
        let mut loops = 0;
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Loop { .. } => {
                    function.loops += 1;
                    loops += 1;
                    open.push(true);
                }
                Operator::Block { .. } | Operator::If { .. } => {
                    function.blocks += 1;
                    open.push(false);
                }
                Operator::BrIf { .. } | Operator::Else => function.blocks += 1,
                Operator::End if open.pop() == Some(true) => loops -= 1,
                _ => {}
            }
            function.block_depth = function.block_depth.max(open.len() as u64);
            function.loop_depth = function.loop_depth.max(loops);
        }
        Ok(function)
    }

    /// Places where branches meet, times the locals that may be in use there.
    fn weight(&self) -> u64 {
        (self.blocks + LOOP_WEIGHT * self.loops).saturating_mul(self.locals)
    }

    fn work(&self) -> u64 {
        work::FUNCTION
            + work::BYTE * self.bytes
            + work::BLOCK * (self.blocks + self.loops)
            + self.weight().saturating_mul(work::WEIGHT_PER_MILLE) / 1000
    }

    fn past_a_bound(&self, function: u64) -> Option<PluginError> {
        [
            ("bytes", self.bytes, MAX_FUNCTION_BYTES),
            ("locals", self.locals, MAX_LOCALS),
            ("nested loops", self.loop_depth, MAX_LOOP_DEPTH),
            ("nested blocks", self.block_depth, MAX_BLOCK_DEPTH),
            ("branches times locals", self.weight(), MAX_FUNCTION_WEIGHT),
        ]
        .into_iter()
        .find(|(_, count, limit)| count > limit)
        .map(|(what, count, limit)| PluginError::FunctionTooLarge { function, what, count, limit })
    }
}

fn values(ty: &FuncType) -> u64 {
    (ty.params().len() + ty.results().len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(fields: &str) -> Vec<String> {
        let wasm = wat::parse_str(format!("(module {fields})")).expect("the text is a module");
        let module = Module::parse(&wasm).expect("it is a module");
        check_bounds(&wasm, &module).iter().map(ToString::to_string).collect()
    }

    /// A module is taken, and with one more of something it is refused for this reason alone.
    #[track_caller]
    fn bound(count: u64, what: &str, fields: impl Fn(usize) -> String) {
        let count = usize::try_from(count).expect("a small bound");
        assert!(errors(&fields(count)).is_empty(), "{count} {what}: {:?}", errors(&fields(count)));
        let refused = errors(&fields(count + 1));
        assert!(matches!(&refused[..], [one] if one.contains(&format!("{} {what}", count + 1))), "{refused:?}");
    }

    #[test]
    fn a_module_has_a_bounded_number_of_everything() {
        bound(MAX_FUNCTIONS, "functions, a plugin may have 50000", |n| "(func)".repeat(n));
        bound(MAX_IMPORTS, "imports", |n| "(import \"sandbar_v1\" \"log\" (func))".repeat(n));
        let export = |n| (0..n).fold("(func $f)".to_owned(), |text, n| text + &format!("(export \"{n}\" (func $f))"));
        bound(MAX_EXPORTS, "exports", export);
        bound(MAX_DATA_SEGMENTS, "data segments", |n| "(memory 1)".to_owned() + &"(data \"x\")".repeat(n));
    }

    #[test]
    fn a_function_has_a_bounded_number_of_everything() {
        let why = ", one may have 5000: build it optimised, or split it";
        bound(MAX_LOCALS, &format!("locals{why}"), |n| format!("(func (param i32) {})", "(local i64)".repeat(n - 1)));
        bound(MAX_LOOP_DEPTH, "nested loops", |n| format!("(func {} {})", "loop ".repeat(n), "end ".repeat(n)));
        bound(MAX_BLOCK_DEPTH, "nested blocks", |n| format!("(func {} {})", "block ".repeat(n), "end ".repeat(n)));
        // A body is its code, one byte for `end` and one for the number of locals.
        bound(MAX_FUNCTION_BYTES, "bytes", |n| format!("(func {})", "nop ".repeat(n - 2)));
        let branches = |n| format!("(func (param i64) {})", "block end ".repeat(n));
        assert!(errors(&branches(100_000)).is_empty());
    }

    #[test]
    fn branches_count_by_the_locals_they_have_to_carry() {
        let function = |locals: usize, blocks: usize| {
            format!("(func {} {})", "(local i64)".repeat(locals), "block end ".repeat(blocks))
        };
        assert!(errors(&function(1_000, 4_000)).is_empty());
        let refused = errors(&function(1_000, 4_001));
        assert!(matches!(&refused[..], [one] if one.contains("4001000 branches times locals")), "{refused:?}");
        // No function is past its bound, but all together are: 12 times ten seconds.
        let refused = errors(&function(1_000, 4_000).repeat(12));
        assert!(matches!(&refused[..], [one] if one.contains("units of work to be compiled")), "{refused:?}");
    }

    #[test]
    fn the_documentation_tells_every_bound() {
        let text = include_str!("../../../docs/abi.md");
        for (what, limit) in [
            ("functions of its own", MAX_FUNCTIONS),
            ("data segments", MAX_DATA_SEGMENTS),
            ("bytes of one function", MAX_FUNCTION_BYTES),
            ("locals of one function, parameters included", MAX_LOCALS),
            ("nested loops in one function", MAX_LOOP_DEPTH),
            ("nested blocks in one function", MAX_BLOCK_DEPTH),
            ("work to compile all of it, in microseconds of one core at worst", MAX_WORK),
        ] {
            assert!(text.contains(&format!("| {what} | {limit} |")), "{what}: {limit}");
        }
        assert!(MAX_IMPORTS == MAX_EXPORTS && text.contains(&format!("| imports, exports | {MAX_IMPORTS} each |")));
        assert!(text.contains(&format!("`br_if` | {MAX_FUNCTION_WEIGHT} |")));
    }

    #[test]
    fn a_loop_that_ended_is_no_longer_around_what_follows() {
        let after_each_other = "loop block end end ".repeat(1_000);
        assert!(errors(&format!("(func {after_each_other})")).is_empty());
    }
}
