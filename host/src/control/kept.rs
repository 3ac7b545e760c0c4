//! Files of the data folder in which the host keeps what it must not forget over a restart: JSON, replaced whole or not at
//! all, and read with errors that name the file.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

use crate::whole_file;

/// What a file holds; the default where there is no file.
pub(super) fn read<T: DeserializeOwned + Default>(file: &Path) -> io::Result<T> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| not_understood(file, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}

/// The error of a file that holds something else than it should.
pub(super) fn not_understood(file: &Path, error: impl Display) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("{}: {error}; mend the file, or delete it to forget what it holds", file.display()),
    )
}

/// Puts something in the place of what a file holds.
pub(super) async fn write(file: PathBuf, content: &(impl Serialize + Sync)) -> io::Result<()> {
    let content = serde_json::to_vec_pretty(content)?;
    let written = spawn_blocking(move || {
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let done = folder.and_then(|()| whole_file::replace(&file, &content));
        done.map_err(|error| io::Error::new(error.kind(), format!("{} cannot be written: {error}", file.display())))
    });
    written.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_holds_what_was_written_last() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let file = data.path().join("new/kept.json");
        assert!(read::<Vec<u32>>(&file)?.is_empty());
        for content in [vec![1, 2, 3], vec![4]] {
            write(file.clone(), &content).await?;
            assert_eq!(read::<Vec<u32>>(&file)?, content);
        }
        Ok(())
    }

    #[tokio::test]
    async fn errors_name_the_file() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let file = data.path().join("kept.json");
        std::fs::write(&file, "[1,")?;
        let error = read::<Vec<u32>>(&file).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidData && error.to_string().contains("kept.json: EOF"), "{error}");
        std::fs::remove_file(&file)?;
        std::fs::create_dir(&file)?;
        let error = read::<Vec<u32>>(&file).unwrap_err().to_string();
        assert!(error.contains("kept.json: "), "{error}");
        let error = write(file, &[1]).await.unwrap_err().to_string();
        assert!(error.contains("kept.json cannot be written: "), "{error}");
        Ok(())
    }
}
