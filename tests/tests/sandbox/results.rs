//! Guests whose frame is whole, but says things of its input that cannot be.

use anyhow::Result;
use sandbar_abi::Disposition::{self, Failed, Filtered, NotAttempted, Ok as Good, Retry};
use sandbar_abi::FrameBuilder;
use sandbar_tests::wat::Guest;

use crate::{Call, second_call_fails};

/// The guest answers so in its second call, in which it is given three records.
async fn refused(calls: &[Call], build: impl Fn(&mut FrameBuilder), cause: &str) -> Result<()> {
    let mut frame = FrameBuilder::new();
    build(&mut frame);
    let frame = frame.finish()?;
    for call in calls {
        let guest = Guest::new().second_answer(call.export(), &frame);
        second_call_fails(guest, *call, &format!("contract violation: {cause}")).await?;
    }
    Ok(())
}

fn results<'a>(results: &'a [(u32, Disposition)]) -> impl Fn(&mut FrameBuilder) + 'a {
    move |frame| {
        for (input, disposition) in results {
            frame.result(*input, *disposition, None);
        }
    }
}

const BOTH: &[Call] = &[Call::Transform, Call::Write];

#[tokio::test]
async fn every_input_is_accounted_for_once() -> Result<()> {
    refused(BOTH, results(&[]), "input 0 has no result").await?;
    refused(BOTH, results(&[(0, Good), (2, Good)]), "input 1 has no result").await?;
    refused(BOTH, results(&[(0, Good), (1, Good), (1, Failed), (2, Good)]), "input 1 has more than one result").await?;
    refused(BOTH, results(&[(3, Good)]), "a result names input 3, the call has 3").await?;
    refused(BOTH, results(&[(u32::MAX, Good)]), "a result names input 4294967295, the call has 3").await
}

#[tokio::test]
async fn the_flag_excludes_a_list() -> Result<()> {
    let both = |frame: &mut FrameBuilder| {
        frame.set_all_ok();
        frame.result(0, Good, None);
    };
    refused(BOTH, both, "the flag says that all is well, and 1 results follow").await
}

#[tokio::test]
async fn what_is_to_be_tried_again_is_the_end() -> Result<()> {
    let cause = "input 0 is to be tried again, but input 1 after it is resolved";
    refused(BOTH, results(&[(0, Retry), (1, Good), (2, Retry)]), cause).await?;
    refused(BOTH, results(&[(2, Retry), (1, Filtered), (0, NotAttempted)]), cause).await?;
    let cause = "input 1 is to be tried again, but input 2 after it is resolved";
    refused(BOTH, results(&[(0, Good), (1, NotAttempted), (2, Failed)]), cause).await
}

#[tokio::test]
async fn output_comes_of_an_input_that_went_well() -> Result<()> {
    let of = |input: Option<u32>, results: &'static [(u32, Disposition)]| {
        move |frame: &mut FrameBuilder| {
            let mut record = frame.record(None, Some(b"x"));
            if let Some(input) = input {
                record.input(input);
            }
            results.iter().for_each(|(input, disposition)| frame.result(*input, *disposition, None));
            if results.is_empty() {
                frame.set_all_ok();
            }
        }
    };
    let transform = &[Call::Transform];
    refused(transform, of(None, &[]), "output 0 does not name its input").await?;
    refused(transform, of(Some(3), &[]), "output 0 names input 3, the call has 3").await?;
    let cause = "output 0 comes of input 1, which did not go well";
    refused(transform, of(Some(1), &[(0, Good), (1, Failed), (2, Good)]), cause).await?;
    refused(transform, of(Some(1), &[(0, Good), (1, Filtered), (2, Good)]), cause).await?;
    refused(transform, of(Some(1), &[(0, Good), (1, Retry), (2, NotAttempted)]), cause).await
}

#[tokio::test]
async fn a_sink_returns_no_records() -> Result<()> {
    let record = |frame: &mut FrameBuilder| {
        frame.record(None, Some(b"x")).input(0);
        frame.set_all_ok();
    };
    refused(&[Call::Write], record, "a sink returned records").await
}

#[tokio::test]
async fn a_source_has_no_input_to_name() -> Result<()> {
    let record = |frame: &mut FrameBuilder| {
        frame.record(None, Some(b"x"));
        frame.record(None, Some(b"y")).input(0);
    };
    refused(&[Call::Poll], record, "output 1 names input 0, a poll has none").await
}

#[tokio::test]
async fn answers_in_json_that_are_none() -> Result<()> {
    for (call, answer, cause) in [
        (Call::TaskConfigs, "{}", "the answer is not valid: invalid type: map, expected a sequence at line 1 column 0"),
        (Call::TaskConfigs, "[", "the answer is not valid: EOF while parsing a list at line 1 column 1"),
        (Call::Assigned, "nonsense", "the answer is not valid: expected ident at line 1 column 2"),
        (
            Call::Assigned,
            r#"{"partitions":[{"topic":"t"}]}"#,
            "the answer is not valid: missing field `partition` at line 1 column 28",
        ),
    ] {
        let guest = Guest::new().second_answer(call.export(), answer.as_bytes());
        second_call_fails(guest, call, &format!("contract violation: {cause}")).await?;
    }
    Ok(())
}
