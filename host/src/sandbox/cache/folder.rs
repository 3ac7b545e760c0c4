//! Folders and files that only the host's user can have put there. What is open is judged, not what has its name: nothing
//! can be exchanged between the look and the use. No link is followed below the cache's own folder.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::error::{At as _, CacheError, CacheFault};

/// What others must not be allowed to what the host relies on.
pub(super) const NOBODY_WRITES: u32 = 0o022;
/// What others must not be allowed to what is secret.
pub(super) const NOBODY_ELSE: u32 = 0o077;
/// Anybody may write.
const ANYBODY_WRITES: u32 = 0o002;
/// In a folder with this only the owner of a file may rename or remove it, as in `/tmp`.
const STICKY: u32 = 0o1000;
/// The user who may do everything anyway.
const ROOT: u32 = 0;
/// The mode of what is made here.
const PRIVATE_FOLDER: u32 = 0o700;

/// A folder that only the host's user may write.
pub(super) struct Folder {
    path: PathBuf,
    folder: File,
}

impl Folder {
    /// Opens a folder by its path, and makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path).at(path)?;
        let path = check_way(path)?;
        match open_folder(rustix::fs::CWD, &path).at(&path)? {
            Some(folder) => Self::checked(path, folder),
            None => Err(went_away(path)),
        }
    }

    /// Opens a folder in this one, if it is there.
    pub(super) fn enter(&self, name: &str) -> Result<Option<Self>, CacheError> {
        let path = self.path.join(name);
        match open_folder(&self.folder, Path::new(name)).at(&path)? {
            Some(folder) => Self::checked(path, folder).map(Some),
            None => Ok(None),
        }
    }

    /// Opens a folder in this one, and makes it where there is none.
    pub(super) fn enter_or_create(&self, name: &str) -> Result<Self, CacheError> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.folder, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(CacheError::new(path, io::Error::from(error))),
        }
        self.enter(name)?.ok_or_else(|| went_away(path))
    }

    fn checked(path: PathBuf, folder: File) -> Result<Self, CacheError> {
        check(&folder, NOBODY_WRITES).at(&path)?;
        Ok(Self { path, folder })
    }

    /// Where something in it is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file in it, if it is there, and tells its length.
    pub(super) fn file(&self, name: &str) -> Result<Option<(File, u64)>, CacheError> {
        let path = self.path.join(name);
        open_file(&self.folder, Path::new(name), NOBODY_WRITES).at(path)
    }

    /// Makes a file in it that was not there before.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Gives a file in it another name, in place of what has it.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, from, &self.folder, to)?)
    }

    /// Removes a file in it. What is gone already is no error: another host may have been first.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        gone(rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()))
    }

    /// Removes a folder in it, if that is empty.
    pub(super) fn remove_folder(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            other => gone(other),
        }
    }

    /// The names in it; those that are not text are none of the host's.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }
}

fn gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// A folder that went away between two looks at it.
fn went_away(path: PathBuf) -> CacheError {
    CacheError::new(path, io::Error::from(io::ErrorKind::NotFound))
}

fn open_folder(at: impl AsFd, path: &Path) -> Result<Option<File>, CacheFault> {
    open(at, path, OFlags::DIRECTORY, "folder")
}

/// Opens a file to read that belongs to the host's user and denies this to others, and tells its length.
pub(super) fn open_file(at: impl AsFd, path: &Path, denied: u32) -> Result<Option<(File, u64)>, CacheFault> {
    // Opening a pipe would wait for somebody to write into it.
    let Some(file) = open(at, path, OFlags::NONBLOCK, "file")? else { return Ok(None) };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(CacheFault::Kind { expected: "file" });
    }
    check(&file, denied)?;
    Ok(Some((file, metadata.len())))
}

fn open(at: impl AsFd, path: &Path, flags: OFlags, expected: &'static str) -> Result<Option<File>, CacheFault> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, path, flags, Mode::empty()) {
        Ok(opened) => Ok(Some(opened.into())),
        Err(Errno::NOENT) => Ok(None),
        // A link, or something else than was asked for.
        Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => Err(CacheFault::Kind { expected }),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

fn check(open: &File, denied: u32) -> Result<(), CacheFault> {
    let metadata = open.metadata()?;
    let own = own();
    let mode = metadata.mode() & 0o7777;
    if metadata.uid() != own {
        return Err(CacheFault::Foreign { owner: metadata.uid(), own });
    }
    match denied {
        _ if mode & denied == 0 => Ok(()),
        NOBODY_ELSE => Err(CacheFault::Exposed { mode }),
        _ => Err(CacheFault::Writable { mode }),
    }
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes sure that nobody else can lead the way to a folder elsewhere, and returns the way without links. On it are only
/// folders and links that belong to the host's user or to root, and no folder that anybody may write; folders like `/tmp`,
/// where everybody keeps their own, are fine.
fn check_way(path: &Path) -> Result<PathBuf, CacheError> {
    let given = std::path::absolute(path).at(path)?;
    for part in given.ancestors() {
        let metadata = fs::symlink_metadata(part).at(part)?;
        if metadata.is_symlink() {
            trusted(metadata.uid()).at(part)?;
        }
    }
    let real = fs::canonicalize(&given).at(&given)?;
    for part in real.ancestors().skip(1) {
        let metadata = fs::metadata(part).at(part)?;
        trusted(metadata.uid()).at(part)?;
        let mode = metadata.mode() & 0o7777;
        if mode & ANYBODY_WRITES != 0 && mode & STICKY == 0 {
            return Err(CacheError::new(part, CacheFault::Writable { mode }));
        }
    }
    Ok(real)
}

fn trusted(owner: u32) -> Result<(), CacheFault> {
    let own = own();
    if owner == own || owner == ROOT { Ok(()) } else { Err(CacheFault::Foreign { owner, own }) }
}
