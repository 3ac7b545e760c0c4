//! What `sandbar.toml` says of the plugins that may be loaded: the list, and the keys, which may be in files of their own.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::error::ErrorKind;
use super::keys::{self, is_key_file};
use super::reader::Reader;
use crate::trust::{Policy, PublicKey};

/// The most keys a worker trusts: several times what rolling them for many publishers takes.
const MAX_KEYS: usize = 64;
/// The largest `.pub` file, in bytes: minisign's comment has at most 1 KiB.
const MAX_KEY_FILE_BYTES: u64 = 4 << 10;

/// Reads the policy. A worker that cannot know what to trust does not start.
pub(super) fn policy(reader: &mut Reader<'_>) -> Policy {
    let require_signature = reader.flag(&keys::PLUGINS_REQUIRE_SIGNATURE);
    let trusted = public_keys(reader);
    if require_signature && trusted.is_empty() && !reader.told(&keys::PLUGINS_SIGNATURE_KEYS) {
        let what = "needs plugins.signature.keys: without a key no signature is right";
        reader.error(ErrorKind::Missing, keys::PLUGINS_REQUIRE_SIGNATURE.name, what);
    }
    // A list that is there and empty allows nothing.
    let allow = reader.has(&keys::PLUGINS_ALLOW).then(|| reader.list(&keys::PLUGINS_ALLOW));
    if allow.as_ref().is_some_and(Vec::is_empty) && !reader.told(&keys::PLUGINS_ALLOW) {
        reader.warning(keys::PLUGINS_ALLOW.name, "is empty: no plugin is loaded");
    }
    let allow = allow.map(|allowed| allowed.iter().filter_map(|digest| digest.parse().ok()).collect());
    Policy { allow, require_signature, keys: trusted }
}

fn public_keys(reader: &mut Reader<'_>) -> Vec<PublicKey> {
    let name = keys::PLUGINS_SIGNATURE_KEYS.name;
    let given = reader.list(&keys::PLUGINS_SIGNATURE_KEYS);
    if given.len() > MAX_KEYS {
        reader.error(ErrorKind::Invalid, name, format!("has {} keys, {MAX_KEYS} are allowed", given.len()));
        return Vec::new();
    }
    let mut trusted = Vec::new();
    for item in given {
        match public_key(&item, reader.origin.file.parent()) {
            Ok(key) => trusted.push(key),
            Err(message) => reader.error(ErrorKind::Invalid, name, message),
        }
    }
    trusted
}

/// Reads a key: its line, or its file, whose path starts at `folder` if it is relative.
pub fn public_key(text: &str, folder: Option<&Path>) -> Result<PublicKey, String> {
    if !is_key_file(text) {
        return PublicKey::parse(text).map_err(|error| error.to_string());
    }
    let path = folder.map_or_else(|| text.into(), |folder| folder.join(text));
    let shown = path.display();
    let content = read(&path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    PublicKey::parse(&content).map_err(|error| format!("{shown} {error}"))
}

fn read(path: &Path) -> io::Result<String> {
    let mut content = String::new();
    File::open(path)?.take(MAX_KEY_FILE_BYTES).read_to_string(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    //! What is trusted, and what keeps a worker from starting.

    use std::fs;

    use super::*;
    use crate::config::WorkerConfig;
    use crate::digest::Digest;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    /// The policy of a file in a folder that holds `a.pub`, with its warnings; or the errors.
    fn read(text: &str) -> Result<(Policy, Vec<String>), Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.pub"), format!("untrusted comment: a\n{KEY}\n")).unwrap();
        fs::write(folder.path().join("b.pub"), "nothing of the kind").unwrap();
        fs::write(folder.path().join("huge.pub"), format!("{}\n{KEY}", " ".repeat(1 << 20))).unwrap();
        let file = folder.path().join("sandbar.toml");
        let shown = |error: &dyn ToString| {
            error.to_string().replace(&format!("{}/", folder.path().display()), "").replace("sandbar.toml", "")
        };
        match WorkerConfig::parse(&file, text.as_bytes()) {
            Ok((worker, warnings)) => Ok((worker.trust, warnings.iter().map(|w| shown(w)).collect())),
            Err(errors) => Err(errors.iter().map(|e| shown(e)).collect()),
        }
    }

    #[test]
    fn by_default_everything_is_trusted() {
        assert_eq!(read(""), Ok((Policy::default(), vec![])));
    }

    #[test]
    fn keys_are_given_as_lines_and_as_files() {
        let key = PublicKey::parse(KEY).unwrap();
        let text = format!("[plugins]\nrequire.signature = true\nsignature.keys = [\"{KEY}\", \"a.pub\"]\n");
        let (policy, warnings) = read(&text).unwrap();
        assert_eq!((policy.keys, policy.require_signature, warnings), (vec![key.clone(), key], true, vec![]));
        let beside = format!("plugins = \"here\"\n\"plugins.signature.keys\" = \"{KEY}\"\n");
        assert_eq!(read(&beside).unwrap().0.keys.len(), 1);
    }

    #[test]
    fn the_list_is_of_files_and_an_empty_one_is_of_none() {
        let digest = Digest::of(b"x");
        let (policy, _) = read(&format!("[plugins]\nallow = [\"{digest}\"]\n")).unwrap();
        assert_eq!(policy.allow, Some([digest].into()));
        let (policy, warnings) = read("[plugins]\nallow = []\n").unwrap();
        assert_eq!(policy.allow, Some([].into()));
        assert_eq!(warnings, [":2:1: plugins.allow: is empty: no plugin is loaded"]);
    }

    #[test]
    fn what_cannot_be_trusted_for_sure_is_an_error() {
        for (text, expected) in [
            ("require.signature = true", "plugins.require.signature: needs plugins.signature.keys"),
            (
                "require.signature = true\nsignature.keys = []",
                "plugins.require.signature: needs plugins.signature.keys",
            ),
            ("require.signature = \"yes\"", "plugins.require.signature: must be one of true, false"),
            ("signature.keys = \"c.pub\"", "plugins.signature.keys: c.pub cannot be read: "),
            ("signature.keys = \"b.pub\"", "plugins.signature.keys: b.pub is no public key of minisign's"),
            ("signature.keys = \"huge.pub\"", "plugins.signature.keys: huge.pub is no public key of minisign's"),
            ("signature.keys = \"RW\"", "plugins.signature.keys: \"RW\" is no public key of minisign's"),
            ("allow = \"abc\"", "plugins.allow: \"abc\" is not a sha256"),
        ] {
            let errors = read(&format!("[plugins]\n{text}\n")).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(expected), "{errors:?} does not say {expected:?}");
        }
        let many = vec![format!("\"{KEY}\""); MAX_KEYS + 1].join(",");
        let errors = read(&format!("plugins.signature.keys = [{many}]\n")).unwrap_err();
        assert!(errors[0].contains("has 65 keys, 64 are allowed"), "{errors:?}");
    }
}
