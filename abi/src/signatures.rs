//! The type of every function that crosses the boundary, as data: the validator, the linker and the SDK read one table.

use core::fmt;

use crate::manifest::Kind;
use crate::names;
use ValType::{F64, I32, I64};

/// The value types the ABI uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// A 32-bit integer: lengths, pointers, codes.
    I32,
    /// A 64-bit integer: packed results, identifiers.
    I64,
    /// A 64-bit float: metric values.
    F64,
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F64 => "f64",
        })
    }
}

/// The name and type of a function. It displays as `(i32, i32) -> i64`, without the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The function's name.
    pub name: &'static str,
    /// What it takes.
    pub params: &'static [ValType],
    /// What it returns: nothing or one value.
    pub results: &'static [ValType],
}

impl Signature {
    const fn new(name: &'static str, params: &'static [ValType], results: &'static [ValType]) -> Self {
        Self { name, params, results }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, param) in self.params.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{param}")?;
        }
        f.write_str(") -> ")?;
        match self.results {
            [] => f.write_str("()"),
            results => results.iter().try_for_each(|result| write!(f, "{result}")),
        }
    }
}

/// The functions of the module [`names::IMPORT_MODULE`].
pub const IMPORTS: &[Signature] = &[
    Signature::new(names::LOG, &[I32, I32, I32], &[]),
    Signature::new(names::SET_ERROR, &[I32, I32, I32], &[]),
    Signature::new(names::METRIC, &[I32, I32, I32, F64], &[]),
    Signature::new(names::CONFIG_GET, &[I32, I32, I32, I32], &[I64]),
    Signature::new(names::OFFSET_GET, &[I32, I32, I32, I32], &[I64]),
    Signature::new(names::OFFSET_PUT, &[I32, I32, I32, I32], &[I32]),
    Signature::new(names::STATE_GET, &[I32, I32, I32, I32], &[I64]),
    Signature::new(names::STATE_PUT, &[I32, I32, I32, I32], &[I32]),
    Signature::new(names::STATE_DELETE, &[I32, I32], &[I32]),
    Signature::new(names::HTTP_SEND, &[I32, I32, I32, I32], &[I64]),
];

/// When a plugin has to export a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Every plugin.
    Always,
    /// A plugin of this kind.
    For(Kind),
    /// Where it is there it is called.
    Optional,
}

/// A function a plugin exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name and type.
    pub signature: Signature,
    /// Who has to have it.
    pub need: Need,
}

/// The functions a plugin exports. Beside them every plugin exports its linear memory as [`names::MEMORY`].
pub const EXPORTS: &[Export] = &[
    Export::new(Need::Always, names::ABI_MARKER, &[], &[I32]),
    Export::new(Need::Always, names::RESERVE, &[I32], &[I32]),
    Export::new(Need::Always, names::OPEN, &[I32, I32], &[I64]),
    Export::new(Need::Always, names::CLOSE, &[I32], &[I64]),
    Export::new(Need::For(Kind::Source), names::POLL, &[I32, I32, I32], &[I64]),
    Export::new(Need::For(Kind::Sink), names::WRITE, &[I32, I32], &[I64]),
    Export::new(Need::For(Kind::Sink), names::FLUSH, &[], &[I64]),
    Export::new(Need::For(Kind::Transform), names::TRANSFORM, &[I32, I32], &[I64]),
    Export::new(Need::Optional, names::INITIALIZE, &[], &[]),
    Export::new(Need::Optional, names::COMMITTED, &[I64], &[I64]),
    Export::new(Need::Optional, names::CHECK, &[], &[I64]),
    Export::new(Need::Optional, names::DISCOVER, &[], &[I64]),
    Export::new(Need::Optional, names::TASK_CONFIGS, &[I32], &[I64]),
    Export::new(Need::Optional, names::ASSIGNED, &[I32, I32], &[I64]),
    Export::new(Need::Optional, names::REVOKED, &[I32, I32], &[I64]),
];

impl Export {
    const fn new(need: Need, name: &'static str, params: &'static [ValType], results: &'static [ValType]) -> Self {
        Self { signature: Signature::new(name, params, results), need }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_signature_displays_as_its_type() {
        let shown = |name: &str| IMPORTS.iter().find(|import| import.name == name).map(ToString::to_string);
        assert_eq!(shown(names::LOG).as_deref(), Some("(i32, i32, i32) -> ()"));
        assert_eq!(shown(names::METRIC).as_deref(), Some("(i32, i32, i32, f64) -> ()"));
        assert_eq!(shown(names::STATE_GET).as_deref(), Some("(i32, i32, i32, i32) -> i64"));
    }

    #[test]
    fn no_name_is_listed_twice() {
        let imports: BTreeSet<_> = IMPORTS.iter().map(|import| import.name).collect();
        let exports: BTreeSet<_> = EXPORTS.iter().map(|export| export.signature.name).collect();
        assert_eq!((imports.len(), exports.len()), (IMPORTS.len(), EXPORTS.len()));
    }
}
