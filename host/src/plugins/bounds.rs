//! Bounds on what compiling a valid module may cost, within those of `counts.rs`. A few kilobytes of nested loops over many
//! locals can keep a compiler busy for hours, and fill the machine's memory.
//!
//! The numbers are measured on one core, with fuel and epochs; the bounds leave what toolchains write alone by a wide
//! margin. A host that is not being attacked never meets them.

use wasmparser::{BlockType, FuncType, FunctionBody, Operator, Parser, Payload};

use super::counts::within;
use super::error::PluginError;
use super::module::Module;

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
/// How many times as heavy a target of `br_table` is that it names more than once: each is a way of its own, on which the
/// locals are moved. A thousand that are the same over sixty locals, in a kilobyte, take 10 seconds.
const REPEATED_TARGET_WEIGHT: u64 = 32;
/// What blocks take and leave, times the blocks: a compiler has a table of the two. Sixteen thousand of one each, in 93 KiB,
/// take 5 seconds and 550 MiB.
const MAX_BLOCK_VALUES: u64 = 100_000_000;
/// What calls return: each takes some 600 bytes while the function is compiled, and a call is two bytes.
const MAX_CALL_VALUES: u64 = 400_000;
/// What all of a module may cost, in microseconds of one core at worst; of what compilers write, a tenth of that at most.
const MAX_WORK: u64 = 120_000_000;

/// What things cost, in the unit of [`MAX_WORK`]: the most that was measured of each.
mod work {
    pub(super) const FUNCTION: u64 = 150;
    pub(super) const BYTE: u64 = 3;
    pub(super) const BLOCK: u64 = 50;
    pub(super) const TYPE_VALUE: u64 = 8;
    pub(super) const CALL_VALUE: u64 = 2;
    /// Of blocks times what they take and leave, per thousand.
    pub(super) const BLOCK_VALUES_PER_MILLE: u64 = 50;
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
        Err(error) => errors.push(PluginError::invalid(&error)),
    }
    errors.extend(within("units of work to be compiled", counted.work, MAX_WORK).err());
    errors
}

#[derive(Debug, Default)]
struct Counted {
    functions: u64,
    work: u64,
}

impl Counted {
    /// Reads the module, and returns what is wrong with the first function that is past a bound.
    fn read(&mut self, wasm: &[u8], module: &Module<'_>) -> Result<Option<PluginError>, wasmparser::Error> {
        let mut first = None;
        self.work = module.function_types().map(|ty| values(ty) * work::TYPE_VALUE).sum();
        let imported = module.imported_functions();
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::CodeSectionEntry(body) = payload? {
                let index = imported + self.functions;
                let params = module.type_of(index).map_or(0, |ty| ty.params().len() as u64);
                let function = Function::read(&body, params, module)?;
                self.functions += 1;
                self.work = self.work.saturating_add(function.work());
                first = first.or_else(|| function.past_a_bound(index));
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
    repeated_targets: u64,
    /// What blocks take and leave.
    block_values: u64,
    /// What calls return.
    call_values: u64,
}

impl Function {
    fn read(body: &FunctionBody<'_>, params: u64, module: &Module<'_>) -> Result<Self, wasmparser::Error> {
        let mut function = Self { bytes: body.range().len() as u64, locals: params, ..Self::default() };
        for group in body.get_locals_reader()? {
            function.locals += u64::from(group?.0);
        }
        // Of each block that is open: whether it is a loop.
        let mut open = Vec::new();
        let mut loops = 0;
        let returned = |ty: Option<&FuncType>| ty.map_or(0, |ty| ty.results().len() as u64);
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Loop { blockty } => {
                    function.block_values += block_values(blockty, module);
                    function.loops += 1;
                    loops += 1;
                    open.push(true);
                }
                Operator::Block { blockty } | Operator::If { blockty } => {
                    function.block_values += block_values(blockty, module);
                    function.blocks += 1;
                    open.push(false);
                }
                Operator::BrIf { .. } | Operator::Else => function.blocks += 1,
                Operator::BrTable { targets } => {
                    let mut named: Vec<u32> = targets.targets().collect::<Result<_, _>>()?;
                    let count = named.len();
                    named.push(targets.default());
                    named.sort_unstable();
                    named.dedup();
                    function.blocks += named.len() as u64;
                    function.repeated_targets += (count + 1 - named.len()) as u64;
                }
                Operator::Call { function_index } => {
                    function.call_values += returned(module.type_of(function_index.into()));
                }
                Operator::CallIndirect { type_index, .. } => {
                    function.call_values += returned(module.function_type(type_index));
                }
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
        let branches = self.blocks + LOOP_WEIGHT * self.loops + REPEATED_TARGET_WEIGHT * self.repeated_targets;
        branches.saturating_mul(self.locals)
    }

    /// What blocks take and leave, times the blocks.
    fn block_table(&self) -> u64 {
        (self.blocks + self.loops).saturating_mul(self.block_values)
    }

    fn work(&self) -> u64 {
        work::FUNCTION
            + work::BYTE * self.bytes
            + work::BLOCK * (self.blocks + self.loops)
            + work::CALL_VALUE * self.call_values
            + self.weight().saturating_mul(work::WEIGHT_PER_MILLE) / 1000
            + self.block_table().saturating_mul(work::BLOCK_VALUES_PER_MILLE) / 1000
    }

    fn past_a_bound(&self, function: u64) -> Option<PluginError> {
        [
            ("locals", self.locals, MAX_LOCALS),
            ("nested loops", self.loop_depth, MAX_LOOP_DEPTH),
            ("nested blocks", self.block_depth, MAX_BLOCK_DEPTH),
            ("branches times locals", self.weight(), MAX_FUNCTION_WEIGHT),
            ("blocks times what they take and leave", self.block_table(), MAX_BLOCK_VALUES),
            ("values returned by calls", self.call_values, MAX_CALL_VALUES),
        ]
        .into_iter()
        .find(|(_, count, limit)| count > limit)
        .map(|(what, count, limit)| PluginError::FunctionTooLarge { function, what, count, limit })
    }
}

/// What a block takes and leaves.
fn block_values(block: BlockType, module: &Module<'_>) -> u64 {
    match block {
        BlockType::Empty => 0,
        BlockType::Type(_) => 1,
        BlockType::FuncType(index) => module.function_type(index).map_or(0, values),
    }
}

fn values(ty: &FuncType) -> u64 {
    (ty.params().len() + ty.results().len()) as u64
}

#[cfg(test)]
mod tests {
    use super::super::counts::*;
    use super::*;

    fn errors(fields: &str) -> Vec<String> {
        let wasm = wat::parse_str(format!("(module {fields})")).expect("the text is a module");
        let errors = Module::parse(&wasm).map_or_else(|error| vec![error], |module| check_bounds(&wasm, &module));
        errors.iter().map(ToString::to_string).collect()
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
        bound(MAX_TYPES, "types", |n| {
            (0..n).map(|n| format!("(type (func (param {})))", "i32 ".repeat(n % 9))).collect()
        });
        bound(MAX_RESULTS, "results in one function type", |n| format!("(type (func (result {})))", "i32 ".repeat(n)));
        bound(MAX_ELEMENT_SEGMENTS, "element segments", |n| "(func $f)".to_owned() + &"(elem func $f)".repeat(n));
        bound(MAX_ELEMENTS, "elements", |n| format!("(func $f) (elem func {})", "$f ".repeat(n)));
        let expressions = |n| format!("(elem funcref {})", "(ref.null func) ".repeat(n));
        bound(MAX_ELEMENTS, "elements", expressions);
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
    fn what_blocks_take_and_leave_counts_by_the_blocks() {
        let blocks = |n| format!("(func {})", "block (result i32) i32.const 0 end drop ".repeat(n));
        assert!(errors(&blocks(10_000)).is_empty());
        let refused = errors(&blocks(10_001));
        assert!(matches!(&refused[..], [one] if one.contains("100020001 blocks times what they")), "{refused:?}");
        let pairs = |n| {
            let body = "block (type $t) end ".repeat(n);
            format!("(type $t (func (param i32 i64) (result i32 i64))) (func i32.const 0 i64.const 0 {body} drop drop)")
        };
        assert!(errors(&pairs(5_000)).is_empty());
        assert_eq!(errors(&pairs(5_001)).len(), 1);
    }

    #[test]
    fn targets_count_by_the_locals_and_the_more_where_they_are_the_same() {
        let switch = |locals: usize, targets: &str| {
            format!("(func (local {}) (block (block i32.const 0 br_table {targets} 0)))", "i64 ".repeat(locals))
        };
        assert!(errors(&switch(1_000, "1")).is_empty());
        assert!(errors(&switch(1_000, &"1 ".repeat(120))).is_empty());
        let refused = errors(&switch(1_000, &"1 ".repeat(130)));
        assert!(matches!(&refused[..], [one] if one.contains("branches times locals")), "{refused:?}");
    }

    #[test]
    fn what_calls_return_is_counted() {
        let calls = |n| {
            let (ty, body) = ("i32 ".repeat(16), "call $f ".repeat(n));
            format!("(func $f (result {ty}) unreachable) (func {body} unreachable)")
        };
        assert!(errors(&calls(25_000)).is_empty());
        let refused = errors(&calls(25_001));
        assert!(matches!(&refused[..], [one] if one.contains("400016 values returned by calls")), "{refused:?}");
    }

    #[test]
    fn the_documentation_tells_every_bound() {
        let text = include_str!("../../../docs/abi.md");
        for (what, limit) in [
            ("functions of its own", MAX_FUNCTIONS),
            ("data segments", MAX_DATA_SEGMENTS),
            ("types", MAX_TYPES),
            ("results in one function type", MAX_RESULTS),
            ("element segments", MAX_ELEMENT_SEGMENTS),
            ("elements in all of them", MAX_ELEMENTS),
            ("blocks of one function, times what they take and leave", MAX_BLOCK_VALUES),
            ("values returned by calls in one function", MAX_CALL_VALUES),
            ("bytes of one function", MAX_FUNCTION_BYTES),
            ("locals of one function, parameters included", MAX_LOCALS),
            ("nested loops in one function", MAX_LOOP_DEPTH),
            ("nested blocks in one function", MAX_BLOCK_DEPTH),
            ("work to compile all of it, in microseconds of one core at worst", MAX_WORK),
        ] {
            assert!(text.contains(&format!("| {what} | {limit} |")), "{what}: {limit}");
        }
        assert!(MAX_IMPORTS == MAX_EXPORTS && text.contains(&format!("| imports, exports | {MAX_IMPORTS} each |")));
        assert!(text.contains(&format!("named once by a `br_table` | {MAX_FUNCTION_WEIGHT} |")));
    }

    #[test]
    fn a_loop_that_ended_is_no_longer_around_what_follows() {
        let after_each_other = "loop block end end ".repeat(1_000);
        assert!(errors(&format!("(func {after_each_other})")).is_empty());
    }
}
