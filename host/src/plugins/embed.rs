//! Writes a manifest into a built module, for languages whose toolchain cannot write custom sections.

use sandbar_abi::manifest::ManifestError;
use sandbar_abi::{Manifest, names};
use thiserror::Error;

use super::error::PluginError;
use super::header;
use super::sections::{CUSTOM, custom_name, sections, write_custom};

/// Why a manifest could not be written.
#[derive(Debug, Error)]
pub enum EmbedError {
    /// The file is not a module that can take one.
    #[error(transparent)]
    Module(#[from] PluginError),
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The module with this manifest as its last section, in place of any it had. All other sections keep their bytes and order.
pub fn embed(wasm: &[u8], manifest: &Manifest) -> Result<Vec<u8>, EmbedError> {
    header::check(wasm)?;
    let contents = manifest.to_section()?;
    // A manifest built in code has not been checked yet, and one that cannot be read back must not be written.
    Manifest::from_section(&contents)?;

    let mut out = Vec::with_capacity(wasm.len() + contents.len() + names::MANIFEST_SECTION.len() + 16);
    out.extend(&wasm[..header::HEADER_BYTES]);
    for section in sections(wasm)? {
        let is_manifest =
            section.id == CUSTOM && custom_name(wasm, &section) == Some(names::MANIFEST_SECTION.as_bytes());
        if !is_manifest {
            out.extend(&wasm[section.whole]);
        }
    }
    write_custom(&mut out, names::MANIFEST_SECTION, &contents)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(version: &str) -> Manifest {
        let json = format!(r#"{{"name":"numbers","version":"{version}","kinds":["source"],"abi":1}}"#);
        Manifest::from_json(json.as_bytes()).expect("a valid manifest")
    }

    fn module() -> Vec<u8> {
        let text =
            "(module (@custom \"other\" \"kept\") (memory 1) (func (export \"f\")) (@custom \"last\" \"kept too\"))";
        wat::parse_str(text).expect("wat")
    }

    #[test]
    fn the_rest_of_the_module_keeps_its_bytes() {
        let before = module();
        let after = embed(&before, &manifest("1.0.0")).expect("it takes a manifest");
        assert!(after.starts_with(&before));
        let sections = sections(&after).expect("a whole module");
        let last = sections.last().expect("there is a section");
        assert_eq!(custom_name(&after, last), Some(names::MANIFEST_SECTION.as_bytes()));
    }

    #[test]
    fn embedding_again_replaces() {
        let first = embed(&module(), &manifest("1.0.0")).expect("it takes a manifest");
        let mut twice = first.clone();
        let contents = manifest("1.5.0").to_section().expect("it fits");
        write_custom(&mut twice, names::MANIFEST_SECTION, &contents).expect("it fits");
        let expected = embed(&module(), &manifest("2.0.0")).expect("it takes a manifest");
        for wasm in [first, twice] {
            assert_eq!(embed(&wasm, &manifest("2.0.0")).expect("it takes another"), expected);
        }
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(matches!(embed(b"text", &manifest("1.0.0")), Err(EmbedError::Module(PluginError::NotWasm { .. }))));
        let cut = module();
        let cut = &cut[..cut.len() - 1];
        assert!(matches!(embed(cut, &manifest("1.0.0")), Err(EmbedError::Module(PluginError::Truncated { .. }))));
    }

    #[test]
    fn a_manifest_that_cannot_be_read_back_is_refused() {
        let mut wrong = manifest("1.0.0");
        wrong.kinds.clear();
        assert!(matches!(
            embed(&module(), &wrong),
            Err(EmbedError::Manifest(ManifestError::Field { field: "kinds", .. }))
        ));
    }
}
