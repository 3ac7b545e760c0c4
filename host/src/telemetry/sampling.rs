//! Which traces are recorded.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Which traces are recorded: those that others record, where it follows them, and a share of those that begin here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The share, from 0 to 1.
    pub ratio: f64,
    /// Whether what a span comes of decides before that.
    pub follows: bool,
}

impl Sampling {
    /// `parent` is whether the span's parent is recorded, where it has one; `links` the same of what it links to.
    fn decide(self, parent: Option<bool>, mut links: impl Iterator<Item = bool>, trace: TraceId) -> bool {
        match parent {
            Some(parent) if self.follows => parent,
            // A batch of many traces continues none; without it those that are recorded would end there.
            _ if self.follows && links.any(|sampled| sampled) => true,
            _ => {
                let root = Sampler::TraceIdRatioBased(self.ratio);
                let result = root.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
                result.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|context| context.span().span_context().clone()).filter(|parent| parent.is_valid());
        let links = links.iter().map(|link| link.span_context.is_sampled());
        let sampled = self.decide(parent.map(|parent| parent.is_sampled()), links, trace);
        SamplingResult {
            decision: if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: TraceState::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn decides(follows: bool, ratio: f64, parent: Option<bool>, links: &[bool], expected: bool) {
        let sampling = Sampling { ratio, follows };
        let trace = TraceId::from(u128::MAX / 2);
        assert_eq!(sampling.decide(parent, links.iter().copied(), trace), expected);
    }

    #[test]
    fn the_parent_decides_then_links_then_the_ratio() {
        decides(true, 0.0, Some(true), &[], true);
        decides(true, 1.0, Some(false), &[true], false);
        decides(true, 0.0, None, &[false, true], true);
        decides(true, 0.0, None, &[false], false);
        decides(true, 1.0, None, &[false], true);
        decides(true, 1.0, None, &[], true);
        decides(true, 0.0, None, &[], false);
    }

    #[test]
    fn one_that_follows_nobody_goes_by_the_ratio() {
        decides(false, 1.0, Some(false), &[], true);
        decides(false, 0.0, Some(true), &[true], false);
    }

    #[test]
    fn the_ratio_is_a_share_of_traces() {
        let sampling = Sampling { ratio: 0.25, follows: true };
        let sampled = |n: u64| {
            let id = u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            sampling.decide(None, std::iter::empty(), TraceId::from(id << 64 | id))
        };
        let share = (1..=4_000).filter(|n| sampled(*n)).count();
        assert!((900..1_100).contains(&share), "{share}");
    }
}
