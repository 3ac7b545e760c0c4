//! Which file it is, whatever its name: a rotated file keeps its identity, a new one under the old name has another.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// How many of a file's first bytes tell it from another one that got the same inode after it.
const FINGERPRINT_BYTES: usize = 256;

/// What the file system calls a file: device and inode, in hexadecimal. Hosts may hide the real numbers; all that counts
/// is that a file keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FileId(String);

/// A file as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) id: FileId,
    pub(crate) size: u64,
    /// When its contents last changed: seconds and nanoseconds since the epoch.
    pub(crate) modified: (i64, i64),
    pub(crate) is_file: bool,
}

impl Stat {
    pub(crate) fn of_path(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::stat(path)?))
    }

    pub(crate) fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }

    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            id: FileId(format!("{:x}:{:x}", stat.st_dev, stat.st_ino)),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: modified(stat),
            is_file: rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file(),
        }
    }
}

/// The time of change has a name of its own in each C library.
#[cfg(target_os = "wasi")]
fn modified(stat: &rustix::fs::Stat) -> (i64, i64) {
    (stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec.into())
}

#[cfg(not(target_os = "wasi"))]
fn modified(stat: &rustix::fs::Stat) -> (i64, i64) {
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// The first bytes of a file: as many of them as have been consumed, up to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// Reads the first bytes of a file of which so many bytes have been consumed.
    pub(crate) fn read(file: &mut File, consumed: u64) -> io::Result<Self> {
        let len = usize::try_from(consumed).unwrap_or(usize::MAX).min(FINGERPRINT_BYTES);
        let mut first = Vec::with_capacity(len);
        file.seek(SeekFrom::Start(0))?;
        file.take(len as u64).read_to_end(&mut first)?;
        Ok(Self(first))
    }

    /// Takes bytes in that have been consumed at a position.
    pub(crate) fn extend(&mut self, position: u64, bytes: &[u8]) {
        if position == self.0.len() as u64 {
            let more = bytes.len().min(FINGERPRINT_BYTES - self.0.len());
            self.0.extend_from_slice(&bytes[..more]);
        }
    }

    /// As it is stored: how many bytes, and their FNV-1a hash.
    pub(crate) fn text(&self) -> String {
        let hash = self.0.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        format!("{}:{hash:016x}", self.0.len())
    }
}
