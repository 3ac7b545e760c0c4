//! A frame as a later minor version may write it: with more in its header and its entries, and flags nobody knows yet.

use sandbar_abi::frame::layout::{self, header};

/// Bytes added to the header and to each entry.
const MORE: usize = 8;
/// What the bytes hold that are new: nothing a reader may take for anything.
const FILL: u8 = 0xee;
/// A flag of the later minor.
const NEW_FLAG: u32 = 1 << 31;

/// The same records in a frame of the next minor.
pub(super) fn newer(frame: &[u8]) -> Vec<u8> {
    let number = |at: usize| frame.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
    let mut out = frame.get(..layout::HEADER_LEN).unwrap_or_default().to_vec();
    out.extend([FILL; MORE]);
    let mut descriptors = Vec::new();
    for section in 0..layout::SECTIONS {
        let at = header::SECTIONS + section * layout::SECTION_LEN;
        let (from, count, stride) = (number(at) as usize, number(at + 4), number(at + 8) as usize);
        let is_heap = section + 1 == layout::SECTIONS;
        descriptors.push((at, out.len(), if is_heap { 1 } else { stride + MORE }));
        for entry in 0..count as usize {
            out.extend(frame.get(from + entry * stride..from + (entry + 1) * stride).unwrap_or_default());
            if !is_heap {
                out.extend([FILL; MORE]);
            }
        }
        if !is_heap {
            out.resize(layout::align(out.len()), 0);
        }
    }
    let total = out.len();
    let mut set = |at: usize, value: usize| {
        if let Some(field) = out.get_mut(at..at + 4) {
            field.copy_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
        }
    };
    for (at, offset, stride) in descriptors {
        set(at, offset);
        set(at + 8, stride);
    }
    set(header::HEADER_LEN, layout::HEADER_LEN + MORE);
    set(header::TOTAL_LEN, total);
    set(header::FLAGS, (number(header::FLAGS) | NEW_FLAG) as usize);
    if let Some(minor) = out.get_mut(header::MINOR..header::MINOR + 2) {
        minor.copy_from_slice(&(layout::MINOR + 1).to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use sandbar_abi::{Frame, FrameBuilder};

    use super::*;

    #[test]
    fn a_newer_frame_reads_as_the_old_one() {
        let mut builder = FrameBuilder::new();
        let place = builder.topic_partition(Some("t"), Some(3));
        builder.record(Some(b"k"), None).offset(7).topic_partition(place).header("a", Some(b"1")).header("b", None);
        builder.record(None, Some(b"")).input(9);
        let old = builder.finish().unwrap();
        let new = newer(&old);
        let (old, new) = (Frame::parse(&old).unwrap(), Frame::parse(&new).unwrap());
        assert!(new.bytes().len() > old.bytes().len());
        for (old, new) in old.records().zip(new.records()) {
            assert_eq!((old.key, old.value, old.offset, old.input), (new.key, new.value, new.offset, new.input));
            assert_eq!(old.topic_partition, new.topic_partition);
            assert!(old.headers.eq(new.headers));
        }
        assert_eq!(old.len(), new.len());
    }
}
