//! The socket's file: in a folder that nobody but its owner may enter, and gone when the host is.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use axum::serve::Listener;
use thiserror::Error;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// The folder of the socket, in the data folder.
const FOLDER: &str = "control";
const FILE: &str = "sandbar.sock";
/// Its owner may enter it, and nobody else.
const OWNER_ONLY: u32 = 0o700;

/// Where the socket of a host with that data folder is.
#[must_use]
pub fn path(data: &Path) -> PathBuf {
    data.join(FOLDER).join(FILE)
}

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another host has it.
    #[error("another host answers on {}; give each a data folder of its own", .0.display())]
    InUse(PathBuf),
    /// The system refused. A path of more than about 100 bytes is too long for a socket.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The listening socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens in a data folder. What a host that was killed left there is replaced.
    pub async fn listen(data: &Path) -> Result<Self, SocketError> {
        let path = path(data);
        let wrong = |error| SocketError::Io { path: path.clone(), error };
        match UnixStream::connect(&path).await {
            Ok(_) => return Err(SocketError::InUse(path)),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(&path).map_err(wrong)?,
            // What keeps it from listening as well is said then.
            Err(_) => {}
        }
        let folder = data.join(FOLDER);
        DirBuilder::new()
            .recursive(true)
            .mode(OWNER_ONLY)
            .create(&folder)
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(OWNER_ONLY)))
            .map_err(|error| SocketError::Io { path: folder, error })?;
        let listener = UnixListener::bind(&path).map_err(wrong)?;
        Ok(Self { listener, path })
    }
}

impl Listener for Socket {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A file that stays is replaced by the next host.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> io::Result<u32> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o777)
    }

    #[tokio::test]
    async fn nobody_else_may_enter_and_nobody_listens_twice() -> Result<(), Box<dyn std::error::Error>> {
        let data = tempfile::tempdir()?;
        let folder = data.path().join(FOLDER);
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
        let socket = Socket::listen(data.path()).await?;
        assert_eq!(mode(&folder)?, OWNER_ONLY);
        assert!(matches!(Socket::listen(data.path()).await, Err(SocketError::InUse(_))));
        drop(socket);
        assert!(!path(data.path()).exists());
        Ok(())
    }

    #[tokio::test]
    async fn what_a_killed_host_left_is_replaced() -> Result<(), Box<dyn std::error::Error>> {
        let data = tempfile::tempdir()?;
        let mut killed = Socket::listen(data.path()).await?;
        let file = std::mem::replace(&mut killed.path, PathBuf::new());
        drop(killed);
        assert!(file.exists());
        Socket::listen(data.path()).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_named() -> Result<(), Box<dyn std::error::Error>> {
        let data = tempfile::tempdir()?;
        let long = data.path().join("d".repeat(120));
        let error = Socket::listen(&long).await.err().ok_or("it cannot be")?;
        assert!(error.to_string().starts_with(&path(&long).display().to_string()), "{error}");
        Ok(())
    }
}
