//! What a folder held at one moment: which files matter, and enough of each to tell that it has changed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::problem::ScanProblem;

/// The largest plugin that is read, in bytes. Compiled toolchain output is well below 50 MiB; what is larger is a mistake,
/// and would hold a worker's memory for as long as it is in the folder.
pub const MAX_PLUGIN_BYTES: u64 = 128 << 20;
/// The largest connector definition that is read, in bytes.
pub const MAX_DEFINITION_BYTES: u64 = 1 << 20;

/// The largest signature file that is read, in bytes: minisign's comments have at most 9 KiB, the rest is some hundred.
pub const MAX_SIGNATURE_BYTES: u64 = 16 << 10;

/// What a signature's file adds to the name of the file that it signs.
const SIGNATURE_SUFFIX: &str = ".minisig";
/// The host's own configuration: it may lie in the watched folder, but is no connector.
const HOST_CONFIG: &str = "sandbar.toml";

/// What a file is for. Plugins sort first, so that a definition dropped together with its plugin finds it known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// A `.wasm` file.
    Plugin,
    /// A `.json` or `.toml` file that defines a connector.
    Definition,
}

impl FileKind {
    /// The kind of the file of this name, `None` for files that do not matter: other extensions, hidden files, and what
    /// editors and downloads leave beside the file they are about to write.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?;
        if is_scratch(name.as_encoded_bytes()) || name == HOST_CONFIG {
            return None;
        }
        let extension = path.extension()?;
        if extension.eq_ignore_ascii_case("wasm") {
            Some(Self::Plugin)
        } else if extension.eq_ignore_ascii_case("json") || extension.eq_ignore_ascii_case("toml") {
            Some(Self::Definition)
        } else {
            None
        }
    }

    /// Where the signature of a file of this kind is, if it may have one: beside it, as `NAME.wasm.minisig`.
    #[must_use]
    pub fn signature(self, path: &Path) -> Option<PathBuf> {
        match self {
            Self::Plugin => {
                let mut name = path.as_os_str().to_owned();
                name.push(SIGNATURE_SUFFIX);
                Some(name.into())
            }
            Self::Definition => None,
        }
    }

    /// The largest file of this kind that is read, in bytes.
    #[must_use]
    pub const fn max_bytes(self) -> u64 {
        match self {
            Self::Plugin => MAX_PLUGIN_BYTES,
            Self::Definition => MAX_DEFINITION_BYTES,
        }
    }

    /// The word for it in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Definition => "connector definition",
        }
    }
}

/// Tells one state of a file from another without reading it. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Length in bytes.
    pub len: u64,
    /// When the content was last written, as the file says: tools may set it to anything.
    pub mtime: i128,
    /// When the file was last changed in any way, a rename included: only the kernel sets it.
    pub ctime: i128,
    /// The device it is on; a link may be turned to another file system.
    pub device: u64,
    /// The inode; a rename over a file brings another.
    pub inode: u64,
}

impl Fingerprint {
    /// The fingerprint in a file's metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            len: metadata.size(),
            mtime: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanos(metadata.ctime(), metadata.ctime_nsec()),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A file of the folder. A symbolic link counts as what it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub kind: FileKind,
    /// Its state.
    pub fingerprint: Fingerprint,
    /// The state of its signature's file, if there is one. Both come to rest, change and are told together, so that a file
    /// is looked at again whichever of the two arrives last.
    pub signature: Option<Fingerprint>,
    /// Why it cannot be used, if so.
    pub problem: Option<ScanProblem>,
}

/// The files of the folder that matter, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The files.
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// Most scratch files have an extension of their own (`.swp`, `.tmp`, `.part`, `.crdownload`, `json~`) or none (`4913`);
/// these are the ones that keep the extension of the file they stand for.
fn is_scratch(name: &[u8]) -> bool {
    [b".".as_slice(), b"#", b"~"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_decide() {
        for (name, kind) in [
            ("a.wasm", Some(FileKind::Plugin)),
            ("A.WASM", Some(FileKind::Plugin)),
            ("a.b.json", Some(FileKind::Definition)),
            ("a.toml", Some(FileKind::Definition)),
            ("sandbar.toml", None),
            ("sandbar.json", Some(FileKind::Definition)),
            ("README.md", None),
            ("wasm", None),
            ("a.wasm.minisig", None),
            ("a.wat", None),
        ] {
            assert_eq!(FileKind::of(&Path::new("/folder").join(name)), kind, "{name}");
        }
    }

    #[test]
    fn a_signature_is_beside_the_plugin_it_signs() {
        let signature = FileKind::Plugin.signature(Path::new("/folder/A.WASM"));
        assert_eq!(signature.as_deref(), Some(Path::new("/folder/A.WASM.minisig")));
        assert_eq!(FileKind::Definition.signature(Path::new("a.json")), None);
    }

    #[test]
    fn what_editors_and_downloads_leave_is_ignored() {
        let scratch = [
            ".a.json",
            ".a.json.swp",
            ".a.json.swx",
            "a.json~",
            "a.json.swp",
            "#a.json#",
            ".#a.json",
            "#a.json",
            "~$a.json",
            "~a.json",
            "4913",
            "a.json.tmp",
            "a.tmp",
            "a.wasm.part",
            "a.wasm.crdownload",
            "a.wasm.download",
            "a.json.bak",
            "a.json.orig",
            ".wasm",
            ".goutputstream-X1",
            "a.json___jb_tmp___",
            "sedA1b2C3",
            ".a.wasm.x7Yz9Q",
            "a.wasm.filepart",
        ];
        for name in scratch {
            assert_eq!(FileKind::of(Path::new(name)), None, "{name}");
        }
    }
}
