//! What operators said of connectors (pause, resume, stop), kept over restarts of the host: a connector that was stopped
//! for a reason must not run again because a machine was rebooted.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::kept;
use crate::config::InitialState;

/// The file in the worker's data folder.
const FILE: &str = "targets.json";

/// The states that operators want, by connector.
#[derive(Debug, Default)]
pub struct Targets {
    file: Option<PathBuf>,
    states: BTreeMap<String, InitialState>,
    /// Whether the file says something older.
    changed: bool,
}

impl Targets {
    /// Reads what is kept in a data folder. A file that cannot be read or understood is an error that names it: to run
    /// what was stopped would be worse than not to start.
    pub fn open(data: &Path) -> io::Result<Self> {
        let file = data.join(FILE);
        let state = |(connector, name): (String, String)| {
            let state = InitialState::from_name(&name)
                .ok_or_else(|| kept::not_understood(&file, format!("{name} of connector {connector} is no state")))?;
            Ok((connector, state))
        };
        let named: BTreeMap<String, String> = kept::read(&file)?;
        let states = named.into_iter().map(state).collect::<io::Result<_>>()?;
        Ok(Self { file: Some(file), states, changed: false })
    }

    /// What an operator wants of a connector, where one said something.
    #[must_use]
    pub fn of(&self, connector: &str) -> Option<InitialState> {
        self.states.get(connector).copied()
    }

    /// Keeps what an operator wants. On an error nothing has changed.
    pub async fn set(&mut self, connector: &str, state: InitialState) -> io::Result<()> {
        let before = self.states.insert(connector.to_owned(), state);
        self.changed |= before != Some(state);
        self.keep().await.inspect_err(|_| {
            match before {
                Some(before) => self.states.insert(connector.to_owned(), before),
                None => self.states.remove(connector),
            };
        })
    }

    /// Forgets what was wanted of a connector, until [`Targets::keep`] only here: its definition says something newer, or
    /// it is gone.
    pub fn forget(&mut self, connector: &str) {
        self.changed |= self.states.remove(connector).is_some();
    }

    /// Brings the file up to date, where it is not.
    pub async fn keep(&mut self) -> io::Result<()> {
        let Some(file) = self.file.clone().filter(|_| self.changed) else { return Ok(()) };
        let named: BTreeMap<_, _> = self.states.iter().map(|(connector, state)| (connector, state.name())).collect();
        kept::write(file, &named).await?;
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_said_is_kept_and_forgotten() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let mut targets = Targets::open(data.path())?;
        targets.set("orders", InitialState::Paused).await?;
        targets.set("audit", InitialState::Stopped).await?;
        targets.forget("audit");
        targets.keep().await?;
        let again = Targets::open(data.path())?;
        assert_eq!((again.of("orders"), again.of("audit")), (Some(InitialState::Paused), None));
        Ok(())
    }

    #[test]
    fn a_file_that_is_not_understood_is_named() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        for (content, why) in [("{", "EOF"), (r#"{"orders":"ASLEEP"}"#, "ASLEEP of connector orders is no state")] {
            std::fs::write(data.path().join(FILE), content)?;
            let error = Targets::open(data.path()).map(drop).unwrap_err().to_string();
            assert!(error.contains(FILE) && error.contains(why), "{error}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_not_taken() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let mut targets = Targets::open(data.path())?;
        std::fs::create_dir(data.path().join(FILE))?;
        let error = targets.set("orders", InitialState::Paused).await.unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        assert_eq!(targets.of("orders"), None);
        Ok(())
    }
}
