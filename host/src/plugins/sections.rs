//! Walks the sections of a module as byte ranges: enough to find a cut-off file and to replace one section.

use std::ops::Range;

use super::error::PluginError;
use super::header::HEADER_BYTES;

/// The id of a custom section.
pub(super) const CUSTOM: u8 = 0;

/// The most sections a module may have: toolchains write some dozens, this bounds the work a hostile file can ask for.
const MAX_SECTIONS: usize = 4096;
/// A `u32` takes at most this many bytes of LEB128.
const MAX_LEB_BYTES: usize = 5;

/// A section, as places in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) id: u8,
    /// From the id to the last byte.
    pub(super) whole: Range<usize>,
    /// What follows the size.
    pub(super) body: Range<usize>,
}

/// All sections of a module whose header has been checked.
pub(super) fn sections(wasm: &[u8]) -> Result<Vec<Section>, PluginError> {
    let mut sections = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some(&id) = wasm.get(at) {
        if sections.len() == MAX_SECTIONS {
            return Err(PluginError::TooManySections { limit: MAX_SECTIONS });
        }
        let (need, after_size) = read_u32(wasm, at + 1)?;
        let have = wasm.len() - after_size;
        if need > have {
            let what = format!("the {} section", name(id));
            return Err(PluginError::Truncated { what, offset: at, need, have });
        }
        let end = after_size + need;
        sections.push(Section { id, whole: at..end, body: after_size..end });
        at = end;
    }
    Ok(sections)
}

/// The name of a custom section, from its body. `None` where the body does not hold one.
pub(super) fn custom_name<'a>(wasm: &'a [u8], section: &Section) -> Option<&'a [u8]> {
    let (len, start) = read_u32(wasm, section.body.start).ok()?;
    let end = start.checked_add(len).filter(|end| *end <= section.body.end)?;
    wasm.get(start..end)
}

/// Appends a custom section.
pub(super) fn write_custom(wasm: &mut Vec<u8>, name: &str, data: &[u8]) -> Result<(), PluginError> {
    let mut body = Vec::with_capacity(data.len() + name.len() + MAX_LEB_BYTES);
    write_u32(&mut body, name.len())?;
    body.extend(name.as_bytes());
    body.extend(data);
    wasm.push(CUSTOM);
    write_u32(wasm, body.len())?;
    wasm.extend(body);
    Ok(())
}

/// Reads a LEB128 `u32`; returns it and where the next byte is.
fn read_u32(wasm: &[u8], at: usize) -> Result<(usize, usize), PluginError> {
    let mut value = 0_u64;
    for index in 0..MAX_LEB_BYTES {
        let Some(&byte) = wasm.get(at + index) else {
            return Err(PluginError::Truncated {
                what: "a length".to_owned(),
                offset: at,
                need: index + 1,
                have: index,
            });
        };
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| too_long(at))?;
            return Ok((value as usize, at + index + 1));
        }
    }
    Err(too_long(at))
}

fn write_u32(out: &mut Vec<u8>, value: usize) -> Result<(), PluginError> {
    let mut value = u32::try_from(value).map_err(|_| too_long(out.len()))?;
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    Ok(())
}

fn too_long(offset: usize) -> PluginError {
    PluginError::Invalid { message: "a length does not fit 32 bits".to_owned(), offset }
}

fn name(id: u8) -> &'static str {
    const NAMES: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    NAMES.get(usize::from(id)).unwrap_or(&"unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sections_of_a_module_tile_it() {
        let wasm = wat::parse_str("(module (memory 1) (func (export \"f\") (result i32) i32.const 7))").expect("wat");
        let sections = sections(&wasm).expect("a whole module");
        let mut at = HEADER_BYTES;
        for section in &sections {
            assert_eq!(section.whole.start, at);
            assert_eq!(section.whole.end, section.body.end);
            at = section.whole.end;
        }
        assert_eq!(at, wasm.len());
    }

    #[test]
    fn every_cut_through_a_section_is_found() {
        let wasm = wat::parse_str("(module (memory 1) (func (export \"f\") (result i32) i32.const 7))").expect("wat");
        let whole = sections(&wasm).expect("a whole module");
        for cut in HEADER_BYTES..wasm.len() {
            let between = cut == HEADER_BYTES || whole.iter().any(|section| section.whole.end == cut);
            assert_eq!(sections(&wasm[..cut]).is_ok(), between, "cut at {cut}");
        }
    }

    #[test]
    fn lengths_survive_the_way_out_and_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX as usize] {
            let mut out = Vec::new();
            write_u32(&mut out, value).expect("it fits");
            assert_eq!(read_u32(&out, 0).expect("it is whole"), (value, out.len()));
        }
        assert!(read_u32(&[0xff, 0xff, 0xff, 0xff, 0x7f], 0).is_err());
        assert!(read_u32(&[0x80; 6], 0).is_err());
    }

    #[test]
    fn the_number_of_sections_is_bounded() {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        (0..=MAX_SECTIONS).for_each(|_| write_custom(&mut wasm, "x", b"").expect("it fits"));
        assert!(matches!(sections(&wasm), Err(PluginError::TooManySections { .. })));
    }
}
