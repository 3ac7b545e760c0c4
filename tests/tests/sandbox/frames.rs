//! Guests whose answer is not where they say it is, or stands for more than it is. Lies in single fields are in the
//! catalogue of hostile guests.

use anyhow::Result;
use sandbar_abi::FrameBuilder;
use sandbar_abi::frame::layout::{self, record};
use sandbar_abi::names;
use sandbar_abi::status::Returned;
use sandbar_tests::wat::Guest;

use crate::{Call, second_call_fails};

#[tokio::test]
async fn a_small_frame_cannot_stand_for_an_enormous_batch() -> Result<()> {
    // Each record is the whole heap of 64 KiB again.
    let mut frame = FrameBuilder::new();
    frame.record(None, Some(&[b'x'; 64 << 10]));
    for _ in 0..2000 {
        frame.record(None, None);
    }
    let mut frame = frame.finish()?;
    // Records follow the header.
    let at = layout::HEADER_LEN;
    let value: [u8; 8] = frame[at + record::VALUE_AT..][..8].try_into()?;
    for n in 1..=2000 {
        frame[at + n * layout::RECORD_LEN + record::VALUE_AT..][..8].copy_from_slice(&value);
    }
    let cause = "contract violation: output frame: records[1024].value: the batch is larger than a frame may be";
    second_call_fails(Guest::new().second_answer(names::POLL, &frame), Call::Poll, cause).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_not_where_it_is_said_to_be() -> Result<()> {
    let short = "contract violation: output frame: frame of 50 bytes is shorter than the header of 104";
    let empty = "contract violation: output frame: frame of 0 bytes is shorter than the header of 104";
    let outside = |at: u32, len: u32| {
        format!("contract violation: an output at {at:#x} with {len} bytes does not lie in memory of 65536 bytes")
    };
    let long = "contract violation: an output of 67108865 bytes is longer than the limit of 67108864";
    let longest = "contract violation: an output of 2147483647 bytes is longer than the limit of 67108864";
    for (ptr, len, cause) in [
        (8, 50, short.to_owned()),
        (8, 0, empty.to_owned()),
        (65_536, 104, outside(65_536, 104)),
        (65_500, 104, outside(65_500, 104)),
        (u32::MAX, 104, outside(u32::MAX, 104)),
        (0, 65_537, outside(0, 65_537)),
        (0, (64 << 20) + 1, long.to_owned()),
        (u32::MAX, i32::MAX.cast_unsigned(), longest.to_owned()),
    ] {
        let answer = Returned::pack(ptr, len);
        for call in [Call::Poll, Call::Transform, Call::Write] {
            let guest = Guest::new().second_call(call.export(), &format!("(return (i64.const {answer}))"));
            second_call_fails(guest, call, &cause).await?;
        }
    }
    Ok(())
}
