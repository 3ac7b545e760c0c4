//! The data files of a task, with a bound on how many are open at a time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sandbar_plugin::Result;

use crate::failed;
use crate::output::Output;

/// How many files are held open. The sandbox and the process have their own limits; a task must not come near them.
const MAX_OPEN: usize = 64;

/// The files, by path: one for each partition at the most.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<PathBuf, Output>,
}

impl Files {
    /// The file at a path; taken over if it is not yet.
    pub(crate) fn load(&mut self, path: PathBuf) -> Result<&mut Output> {
        if !self.files.contains_key(&path) {
            self.make_room()?;
        }
        match self.files.entry(path) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let file = Output::load(new.key().clone())?;
                Ok(new.insert(file))
            }
        }
    }

    /// Lets a file go as it is.
    pub(crate) fn forget(&mut self, path: &Path) {
        self.files.remove(path);
    }

    pub(crate) fn forget_staged(&mut self) {
        self.files.values_mut().for_each(Output::forget_staged);
    }

    /// Writes what is staged. Files that were written before one fails stay written, and know it when the records come
    /// again.
    pub(crate) fn write_staged(&mut self) -> Result<()> {
        let paths: Vec<PathBuf> =
            self.files.iter().filter(|(_, file)| file.is_staged()).map(|(path, _)| path.clone()).collect();
        for path in paths {
            if self.files.get(&path).is_some_and(|file| !file.is_open()) {
                self.make_room()?;
            }
            if let Some(file) = self.files.get_mut(&path) {
                file.write_staged()?;
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.files.values_mut().try_for_each(Output::flush)
    }

    /// Closes a file if as many are open as may be.
    fn make_room(&mut self) -> Result<()> {
        let mut open = self.files.values_mut().filter(|file| file.is_open());
        let first = open.next();
        match first {
            Some(first) if open.count() + 1 >= MAX_OPEN => first.release(),
            _ => Ok(()),
        }
    }
}

/// Whether files can be made in a directory.
pub(crate) fn check_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(failed("create", directory))?;
    let probe = directory.join(".sandbar-check");
    File::create(&probe).map_err(failed("create", &probe))?;
    fs::remove_file(&probe).map_err(failed("remove", &probe))
}
