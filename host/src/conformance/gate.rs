//! Which rule a file breaks that the host would not take: the reasons are those of `plugins::inspect`.

use sandbar_abi::manifest::ManifestError;
use sandbar_abi::names;

use crate::plugins::PluginError;

/// The number of the rule.
pub(super) fn rule(error: &PluginError) -> u16 {
    match error {
        PluginError::Empty
        | PluginError::NotWasm { .. }
        | PluginError::Precompiled
        | PluginError::Component
        | PluginError::Version { .. }
        | PluginError::Truncated { .. }
        | PluginError::TooManySections { .. }
        | PluginError::TooMany { .. }
        | PluginError::FunctionTooLarge { .. }
        | PluginError::Invalid { .. }
        | PluginError::More { .. } => 1,
        PluginError::Feature { .. } => 2,
        PluginError::Memories { .. } => 3,
        PluginError::StartSection => 4,
        PluginError::ManifestMissing | PluginError::ManifestRepeated { .. } => 7,
        PluginError::Manifest(error) => match error {
            ManifestError::Section(_) => 8,
            ManifestError::Json(error) if error.is_syntax() || error.is_eof() => 8,
            ManifestError::Field { field: "capabilities.http", .. } => 57,
            ManifestError::Json(_) | ManifestError::Field { .. } => 9,
        },
        PluginError::AbiMajor { .. } => 53,
        PluginError::ImportModule { .. } | PluginError::ImportKind { .. } | PluginError::ImportType { .. } => 5,
        PluginError::ImportUnknown { .. } => 56,
        PluginError::ImportUnasked { .. } => 58,
        PluginError::ExportMissing { name, .. } | PluginError::ExportKind { name, .. } if *name == names::MEMORY => 3,
        PluginError::ExportMissing { .. } | PluginError::ExportKind { .. } | PluginError::ExportType { .. } => 6,
    }
}
