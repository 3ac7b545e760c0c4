//! Tells a core module from everything else that gets dropped under its name, by the first bytes.

use super::error::PluginError;

/// The length of a WebAssembly header: magic, version, layer.
pub(super) const HEADER_BYTES: usize = 8;

const MAGIC: &[u8; 4] = b"\0asm";
const MODULE: [u8; 4] = [1, 0, 0, 0];
/// The second half of the version field is the layer: 0 is a module, 1 is a component.
const COMPONENT_LAYER: [u8; 2] = [1, 0];
/// Runtimes serialise compiled code as an ELF image.
const ELF: &[u8] = b"\x7fELF";
/// How much of a file is looked at to tell text from binary.
const SNIFF_BYTES: usize = 512;

/// Refuses everything that does not begin as a core module does.
pub(super) fn check(bytes: &[u8]) -> Result<(), PluginError> {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(match bytes {
            [] => PluginError::Empty,
            _ if MAGIC.starts_with(bytes) => truncated(bytes),
            _ => PluginError::NotWasm { looks_like: looks_like(bytes) },
        });
    };
    if magic != MAGIC {
        return Err(match bytes.starts_with(ELF) {
            true => PluginError::Precompiled,
            false => PluginError::NotWasm { looks_like: looks_like(bytes) },
        });
    }
    match rest.first_chunk::<4>() {
        None => Err(truncated(bytes)),
        Some(&MODULE) => Ok(()),
        Some(version) if version.ends_with(&COMPONENT_LAYER) => Err(PluginError::Component),
        Some(version) => Err(PluginError::Version { version: u32::from_le_bytes(*version) }),
    }
}

fn truncated(bytes: &[u8]) -> PluginError {
    PluginError::Truncated { what: "the header".to_owned(), offset: 0, need: HEADER_BYTES, have: bytes.len() }
}

fn looks_like(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    if head.starts_with(b"\x1f\x8b") {
        return "a gzip archive: unpack it first";
    }
    if head.starts_with(b"PK\x03\x04") {
        return "a zip archive: unpack it first";
    }
    if head.starts_with(b"\x28\xb5\x2f\xfd") {
        return "a zstd archive: unpack it first";
    }
    let text = head.trim_ascii_start();
    if text.starts_with(b"(module") || text.starts_with(b";;") {
        return "WebAssembly in text form: assemble it first";
    }
    if text.starts_with(b"<") {
        return "a web page or XML: did the download go wrong?";
    }
    if head.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace()) {
        return "text";
    }
    "unknown binary data"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(bytes: &[u8], because: &str) {
        let error = check(bytes).expect_err("it must be refused").to_string();
        assert!(error.contains(because), "{error:?} does not say {because:?}");
    }

    #[test]
    fn every_look_alike_is_named() {
        refused(b"", "empty");
        refused(b"\0as", "truncated");
        refused(b"\0asm\x01\0", "truncated");
        refused(b"\0asm\x02\0\0\0", "version 0x00000002");
        refused(b"\0asm\x0d\0\x01\0", "component");
        refused(b"\x7fELF\x02\x01\x01", "precompiled artefact");
        refused(b"hello, world\n", "text");
        refused(b"{}", "text");
        refused(b"  (module)", "text form");
        refused(b"<!doctype html>", "web page");
        refused(b"\x1f\x8b\x08\0", "gzip");
        refused(b"PK\x03\x04", "zip");
        refused(b"\x28\xb5\x2f\xfd", "zstd");
        refused(&[0xff, 0, 1, 2], "unknown binary");
    }

    #[test]
    fn a_module_passes() {
        assert!(check(b"\0asm\x01\0\0\0").is_ok());
    }
}
