//! Versions of plugins that are in quarantine, kept over restarts of the host: what failed when it took over must not run
//! again because a machine was rebooted.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::kept;
use super::versions::Quarantined;

/// The file in the worker's data folder.
const FILE: &str = "quarantine.json";

/// What is in quarantine, by connector. The default is kept nowhere.
#[derive(Debug, Default)]
pub struct Quarantine {
    file: Option<PathBuf>,
    connectors: BTreeMap<String, Vec<Quarantined>>,
    /// Whether the file says something older.
    changed: bool,
}

impl Quarantine {
    /// Reads what is kept in a data folder. A file that cannot be read or understood is an error that names it: to run what
    /// failed would be worse than not to start.
    pub fn open(data: &Path) -> io::Result<Self> {
        let file = data.join(FILE);
        Ok(Self { connectors: kept::read(&file)?, file: Some(file), changed: false })
    }

    /// What is in quarantine for a connector.
    pub(super) fn of(&self, connector: &str) -> impl Iterator<Item = &Quarantined> {
        self.connectors.get(connector).into_iter().flatten()
    }

    /// Takes note of what is in quarantine for a connector by now, until [`Quarantine::keep`] only here.
    pub(super) fn note<'a>(&mut self, connector: &str, now: impl Iterator<Item = &'a Quarantined> + Clone) {
        if self.of(connector).eq(now.clone()) {
            return;
        }
        self.changed = true;
        let now: Vec<_> = now.cloned().collect();
        if now.is_empty() {
            self.connectors.remove(connector);
        } else {
            self.connectors.insert(connector.to_owned(), now);
        }
    }

    /// Brings the file up to date, where it is not.
    pub(super) async fn keep(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.clone().filter(|_| self.changed) {
            kept::write(file, &self.connectors).await?;
        }
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn quarantined(version: &str) -> Quarantined {
        Quarantined {
            plugin: "upper".to_owned(),
            version: version.to_owned(),
            sha256: Digest::of(version.as_bytes()),
            reason: "it \"failed\"".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_is_in_quarantine_is_kept_until_it_is_not() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let (two, three) = (quarantined("2.0.0"), quarantined("3.0.0"));
        let mut quarantine = Quarantine::open(data.path())?;
        quarantine.note("orders", [&two, &three].into_iter());
        quarantine.note("audit", [&two].into_iter());
        quarantine.keep().await?;
        let mut again = Quarantine::open(data.path())?;
        assert_eq!(again.of("orders").collect::<Vec<_>>(), [&two, &three]);
        again.note("orders", [&three].into_iter());
        again.note("audit", std::iter::empty());
        again.keep().await?;
        let last = Quarantine::open(data.path())?;
        assert_eq!(last.of("orders").collect::<Vec<_>>(), [&three]);
        assert_eq!((last.of("audit").count(), last.connectors.len()), (0, 1));
        Ok(())
    }

    #[tokio::test]
    async fn nothing_new_is_not_written() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let two = quarantined("2.0.0");
        let mut quarantine = Quarantine::open(data.path())?;
        quarantine.note("orders", [&two].into_iter());
        quarantine.keep().await?;
        std::fs::remove_file(data.path().join(FILE))?;
        quarantine.note("orders", [&two].into_iter());
        quarantine.note("audit", std::iter::empty());
        quarantine.keep().await?;
        assert!(!data.path().join(FILE).exists());
        Ok(())
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_later() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let two = quarantined("2.0.0");
        let mut quarantine = Quarantine::open(data.path())?;
        std::fs::create_dir(data.path().join(FILE))?;
        quarantine.note("orders", [&two].into_iter());
        quarantine.keep().await.unwrap_err();
        std::fs::remove_dir(data.path().join(FILE))?;
        quarantine.keep().await?;
        assert_eq!(Quarantine::open(data.path())?.of("orders").count(), 1);
        Ok(())
    }

    #[test]
    fn a_file_that_is_not_understood_is_named() -> io::Result<()> {
        let data = tempfile::tempdir()?;
        let bad = r#"{"orders":[{"plugin":"a","version":"1.0.0","sha256":"12","reason":"no"}]}"#;
        for (content, why) in [("{", "EOF"), (bad, "is not a sha256"), (r#"{"orders":[{}]}"#, "missing field `plugin`")]
        {
            std::fs::write(data.path().join(FILE), content)?;
            let error = Quarantine::open(data.path()).map(drop).unwrap_err().to_string();
            assert!(error.contains(FILE) && error.contains(why), "{error}");
        }
        Ok(())
    }
}
