//! Checks what a guest says of its input records: every one accounted for, once, and in an order offsets can follow.

use sandbar_abi::{Disposition, Frame};

use super::violation::Violation;
use crate::batch::Batch;
use crate::text::cut;

/// What a poll returned.
#[derive(Debug)]
pub struct PollReply {
    /// The records, if there are any.
    pub output: Option<Batch>,
    /// Whether the source has come to its end.
    pub end_of_data: bool,
}

/// What a transform returned.
#[derive(Debug)]
pub struct TransformReply {
    /// The records, if there are any; each names its input.
    pub output: Option<Batch>,
    /// What became of the inputs.
    pub outcomes: Outcomes,
}

/// What became of each input record, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcomes {
    /// All are resolved.
    AllOk,
    /// One for each input, in order.
    Each(Vec<Outcome>),
}

/// What became of one input record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What.
    pub disposition: Disposition,
    /// Why, where the guest says so.
    pub message: Option<String>,
}

impl Outcomes {
    /// The outcome of an input.
    #[must_use]
    pub fn disposition(&self, input: usize) -> Disposition {
        match self {
            Self::AllOk => Disposition::Ok,
            Self::Each(each) => each.get(input).map_or(Disposition::Ok, |o| o.disposition),
        }
    }

    /// Why an input has its outcome, where the guest says so.
    #[must_use]
    pub fn message(&self, input: usize) -> Option<&str> {
        match self {
            Self::AllOk => None,
            Self::Each(each) => each.get(input)?.message.as_deref(),
        }
    }

    /// How many inputs from the start are resolved; the rest is to be tried again.
    #[must_use]
    pub fn resolved(&self, inputs: usize) -> usize {
        match self {
            Self::AllOk => inputs,
            Self::Each(each) => each.iter().take_while(|o| o.disposition.is_resolved()).count(),
        }
    }

    /// The first input that failed.
    #[must_use]
    pub fn first_failed(&self) -> Option<usize> {
        match self {
            Self::AllOk => None,
            Self::Each(each) => each.iter().position(|o| o.disposition == Disposition::Failed),
        }
    }
}

/// Reads the outcomes of a call with that many inputs. The inputs are of one partition, so what is to be tried again must
/// be their end.
pub(super) fn outcomes(frame: &Frame<'_>, inputs: usize) -> Result<Outcomes, Violation> {
    let results = frame.results();
    if frame.all_ok() {
        return match results.len() {
            0 => Ok(Outcomes::AllOk),
            n => Err(Violation::NeedlessResults(n)),
        };
    }
    let mut each: Vec<Option<Outcome>> = vec![None; inputs];
    for result in results {
        let index = result.input as usize;
        match each.get_mut(index) {
            None => return Err(Violation::ResultOfNothing { input: index, inputs }),
            Some(Some(_)) => return Err(Violation::ResultTwice(index)),
            Some(slot) => {
                *slot = Some(Outcome {
                    disposition: result.disposition,
                    message: result.message.map(|text| cut(text).to_owned()),
                });
            }
        }
    }
    let mut outcomes = Vec::with_capacity(inputs);
    let mut again = None;
    for (index, outcome) in each.into_iter().enumerate() {
        let Some(outcome) = outcome else { return Err(Violation::NoResult(index)) };
        match (outcome.disposition.is_resolved(), again) {
            (false, None) => again = Some(index),
            (true, Some(first)) => return Err(Violation::NotASuffix { first, resolved: index }),
            _ => {}
        }
        outcomes.push(outcome);
    }
    Ok(Outcomes::Each(outcomes))
}

/// Checks that a source keeps to what it was asked for, and that no record names an input: a poll has none, and what is
/// done about records goes by their inputs.
pub(super) fn check_poll(frame: &Frame<'_>, max_records: usize, max_bytes: usize) -> Result<(), Violation> {
    let records = frame.len();
    if records > max_records {
        return Err(Violation::TooManyRecords { records, max: max_records });
    }
    let mut bytes = 0;
    for (output, record) in frame.records().enumerate() {
        if let Some(input) = record.input {
            return Err(Violation::PollInput { output, input });
        }
        if output > 0 && bytes >= max_bytes {
            return Err(Violation::TooManyBytes { output, bytes, max: max_bytes });
        }
        bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    }
    Ok(())
}

/// Checks that each record a transform returned names an input that went well.
pub(super) fn check_output(frame: &Frame<'_>, outcomes: &Outcomes, inputs: usize) -> Result<(), Violation> {
    for (output, record) in frame.records().enumerate() {
        match record.input {
            None => return Err(Violation::OutputOfNothing(output)),
            Some(input) if input as usize >= inputs => {
                return Err(Violation::OutputOfNoInput { output, input, inputs });
            }
            Some(input) if outcomes.disposition(input as usize) != Disposition::Ok => {
                return Err(Violation::OutputOfFailure { output, input });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use Disposition::{Failed, Filtered, NotAttempted, Ok as Good, Retry};
    use sandbar_abi::FrameBuilder;
    use sandbar_abi::names::MAX_TEXT_BYTES;

    use super::*;

    #[track_caller]
    fn check(results: &[(u32, Disposition)], inputs: usize, expected: Result<usize, &str>) {
        let mut frame = FrameBuilder::new();
        for (input, disposition) in results {
            frame.result(*input, *disposition, None);
        }
        let bytes = frame.finish().unwrap();
        let found = outcomes(&Frame::parse(&bytes).unwrap(), inputs).map(|o| o.resolved(inputs));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn every_input_is_accounted_for_once() {
        check(&[(0, Good), (1, Filtered), (2, Failed)], 3, Ok(3));
        check(&[(2, Good), (0, Good), (1, Good)], 3, Ok(3));
        check(&[(0, Good)], 2, Err("input 1 has no result"));
        check(&[(0, Good), (0, Good)], 1, Err("more than one"));
        check(&[(7, Good)], 1, Err("names input 7"));
        check(&[], 1, Err("input 0 has no result"));
    }

    #[test]
    fn what_is_to_be_tried_again_is_the_end() {
        check(&[(0, Good), (1, Retry), (2, NotAttempted)], 3, Ok(1));
        check(&[(0, Retry), (1, Retry)], 2, Ok(0));
        check(&[(0, Retry), (1, Good)], 2, Err("input 1 after it is resolved"));
    }

    #[test]
    fn the_flag_excludes_a_list() {
        let mut frame = FrameBuilder::new();
        frame.set_all_ok();
        let bytes = frame.finish().unwrap();
        assert_eq!(outcomes(&Frame::parse(&bytes).unwrap(), 5), Ok(Outcomes::AllOk));
        frame.result(0, Good, None);
        let bytes = frame.finish().unwrap();
        assert!(outcomes(&Frame::parse(&bytes).unwrap(), 5).is_err());
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let mut frame = FrameBuilder::new();
        frame.result(0, Failed, Some(&"\u{e9}".repeat(MAX_TEXT_BYTES)));
        frame.result(1, Failed, Some(&format!("x{}", "\u{e9}".repeat(MAX_TEXT_BYTES))));
        let bytes = frame.finish().unwrap();
        let Ok(Outcomes::Each(each)) = outcomes(&Frame::parse(&bytes).unwrap(), 2) else { panic!() };
        let lengths: Vec<_> = each.iter().map(|o| o.message.as_ref().map(String::len)).collect();
        assert_eq!(lengths, [Some(MAX_TEXT_BYTES), Some(MAX_TEXT_BYTES - 1)]);
    }

    #[test]
    fn outputs_name_inputs_that_went_well() {
        let mut frame = FrameBuilder::new();
        frame.record(None, None).input(1);
        let bytes = frame.finish().unwrap();
        let frame = Frame::parse(&bytes).unwrap();
        assert!(check_output(&frame, &Outcomes::AllOk, 2).is_ok());
        assert!(check_output(&frame, &Outcomes::AllOk, 1).is_err());
        let failed = Outcome { disposition: Failed, message: None };
        assert!(check_output(&frame, &Outcomes::Each(vec![failed.clone(), failed]), 2).is_err());
    }
}
