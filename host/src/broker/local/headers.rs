//! How a record's headers lie in their column: for each, the name's length as little-endian `u32`, the name, the
//! value's length as little-endian `i32` with -1 for null, the value. A record without headers has NULL there.

use sandbar_abi::frame::{Headers, RecordBuilder};

/// A null value's length.
const NULL: i32 = -1;

/// Writes headers over what `out` held. Lengths fit: a frame holds no blob of more than 31 bits.
pub(super) fn encode(headers: Headers<'_>, out: &mut Vec<u8>) {
    out.clear();
    for (name, value) in headers {
        out.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        let len = value.map_or(NULL, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    }
}

/// Adds headers to a record. `None`: the bytes are not headers.
pub(super) fn decode(mut from: &[u8], record: &mut RecordBuilder<'_>) -> Option<()> {
    while !from.is_empty() {
        let len = u32::from_le_bytes(*take_array(&mut from)?);
        let name = str::from_utf8(take(&mut from, usize::try_from(len).ok()?)?).ok()?;
        let value = match i32::from_le_bytes(*take_array(&mut from)?) {
            NULL => None,
            len => Some(take(&mut from, usize::try_from(len).ok()?)?),
        };
        record.header(name, value);
    }
    Some(())
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    from.split_off(..len)
}

fn take_array<'a>(from: &mut &'a [u8]) -> Option<&'a [u8; 4]> {
    take(from, 4)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use sandbar_abi::{Frame, FrameBuilder};

    use super::*;

    fn encoded() -> Vec<u8> {
        let mut frame = FrameBuilder::new();
        frame.record(None, None).header("a", Some(b"1")).header("", None).header("a", Some(b""));
        let bytes = frame.finish().unwrap();
        let mut out = vec![9];
        for record in Frame::parse(&bytes).unwrap().records() {
            encode(record.headers, &mut out);
        }
        out
    }

    #[test]
    fn headers_come_back_in_order() {
        let mut frame = FrameBuilder::new();
        decode(&encoded(), &mut frame.record(None, None)).unwrap();
        let bytes = frame.finish().unwrap();
        let headers: Vec<_> = Frame::parse(&bytes).unwrap().records().flat_map(|record| record.headers).collect();
        let expected: [(&str, Option<&[u8]>); 3] = [("a", Some(b"1")), ("", None), ("a", Some(b""))];
        assert_eq!(headers, expected);
    }

    #[test]
    fn cut_off_bytes_are_no_headers() {
        let bytes = encoded();
        let whole = [0, 10, 18, bytes.len()];
        for len in (0..bytes.len()).filter(|len| !whole.contains(len)) {
            let mut frame = FrameBuilder::new();
            assert_eq!(decode(&bytes[..len], &mut frame.record(None, None)), None, "{len} bytes");
        }
    }
}
