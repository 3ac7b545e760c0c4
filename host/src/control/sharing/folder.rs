//! The folder's side of sharing plugins: files that are put there and taken away. All calls block.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::discovery::{FileKind, MAX_PLUGIN_BYTES};
use crate::storage::{Content, PluginKey};
use crate::whole_file;

/// Where a plugin goes: where it was when it was dropped, if that is the name of a plugin's file and free, or else by its
/// own name. `None`: there is something else at both.
pub(super) fn place(folder: &Path, key: &PluginKey, told: &str, is_free: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let is_plain = Path::new(told).file_name() == Some(OsStr::new(told));
    let told = folder.join(told);
    let is_plain = is_plain && FileKind::of(&told) == Some(FileKind::Plugin);
    let own = folder.join(file_name(key));
    is_plain.then_some(told).into_iter().chain([own]).find(|file| is_free(file))
}

/// The file's name of a plugin that has none of its own. Names of plugins are made of letters that files may have.
pub(crate) fn file_name(key: &PluginKey) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let stem: String = format!("{}-{}", key.name, key.version).chars().map(plain).collect();
    format!("{}.wasm", stem.trim_start_matches('.'))
}

/// Puts a plugin there, its signature before it.
pub(super) fn put(file: &Path, wasm: &[u8], signature: Option<&[u8]>) -> io::Result<()> {
    match (FileKind::Plugin.signature(file), signature) {
        (Some(beside), Some(signature)) => whole_file::replace(&beside, signature)?,
        (Some(beside), None) => remove_if_there(&beside)?,
        (None, _) => {}
    }
    whole_file::replace(file, wasm)
}

/// Takes a plugin away, if the file is still that. Whether it is gone.
pub(super) fn remove(file: &Path, content: &Content) -> io::Result<bool> {
    match holds(file)? {
        Some(there) if there != *content => return Ok(false),
        _ => remove_if_there(file)?,
    }
    FileKind::Plugin.signature(file).map_or(Ok(()), |beside| remove_if_there(&beside))?;
    Ok(true)
}

/// What a file holds; `None`: there is none.
pub(super) fn holds(file: &Path) -> io::Result<Option<Content>> {
    let Some(wasm) = read(file)? else { return Ok(None) };
    let signature = FileKind::Plugin.signature(file).map_or(Ok(None), |beside| read(&beside))?;
    Ok(Some(Content { sha256: Digest::of(&wasm), signature }))
}

/// A file's bytes; `None`: there is none, or it is none that could be a plugin.
fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(file) {
        Ok(found) if found.is_file() && found.len() <= MAX_PLUGIN_BYTES => fs::read(file).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;

    fn key() -> PluginKey {
        PluginKey { name: "a$b".to_owned(), version: Version::new(1, 0, 0) }
    }

    #[test]
    fn a_name_from_elsewhere_leads_nowhere_else() {
        let folder = Path::new("plugins");
        let at = |told: &str| place(folder, &key(), told, |_| true);
        let own = folder.join("a_b-1.0.0.wasm");
        assert_eq!(at("x.wasm"), Some(folder.join("x.wasm")));
        for told in ["../x.wasm", "/x.wasm", "a/x.wasm", "..", ".", "", ".x.wasm", "x.json", "x", "x.wasm/", "./x.wasm"]
        {
            assert_eq!(at(told), Some(own.clone()), "{told}");
        }
        assert_eq!(place(folder, &key(), "x.wasm", |file| file == own), Some(own.clone()), "it is taken");
        assert_eq!(place(folder, &key(), "x.wasm", |_| false), None);
    }

    #[test]
    fn what_was_put_there_is_taken_away_unless_it_is_something_else_by_now() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("x.wasm");
        let content = Content { sha256: Digest::of(b"wasm"), signature: Some(b"signature".to_vec()) };
        put(&file, b"wasm", content.signature.as_deref())?;
        assert_eq!(holds(&file)?, Some(content.clone()));
        put(&file, b"other", None)?;
        assert!(!remove(&file, &content)?);
        assert_eq!(holds(&file)?, Some(Content { sha256: Digest::of(b"other"), signature: None }));
        put(&file, b"wasm", content.signature.as_deref())?;
        assert!(remove(&file, &content)? && remove(&file, &content)?);
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }
}
