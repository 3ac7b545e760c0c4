//! The cases: what each does, for which kinds, and which rules it is about.

mod data;
mod growth;
mod life;
mod results;
mod sink;
mod source;

use sandbar_abi::manifest::Kind;

use super::trial::{Step, Trial};

/// A case.
#[allow(missing_docs)] // `does` says it
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Start,
    Buffer,
    Close,
    Abandoned,
    Errors,
    Questions,
    NewerHost,
    Nulls,
    Binary,
    Headers,
    Large,
    Empty,
    Full,
    Places,
    Again,
    CarriedInput,
    Flush,
    Assigned,
    PollLimits,
    PollPace,
    EndOfData,
    Committed,
    Growth,
}

const ALL: &[Kind] = &[Kind::Source, Kind::Sink, Kind::Transform];
const TAKES_RECORDS: &[Kind] = &[Kind::Sink, Kind::Transform];
const SOURCE: &[Kind] = &[Kind::Source];
const SINK: &[Kind] = &[Kind::Sink];
const TRANSFORM: &[Kind] = &[Kind::Transform];

/// Name, kinds, rules, and what it does.
type Facts = (&'static str, &'static [Kind], &'static [u16], &'static str);

impl Case {
    /// All of them, in the order they are run.
    pub const ALL: &'static [Self] = &[
        Self::Start,
        Self::Buffer,
        Self::Close,
        Self::Abandoned,
        Self::Errors,
        Self::Questions,
        Self::NewerHost,
        Self::Nulls,
        Self::Binary,
        Self::Headers,
        Self::Large,
        Self::Empty,
        Self::Full,
        Self::Places,
        Self::Again,
        Self::CarriedInput,
        Self::Flush,
        Self::Assigned,
        Self::PollPace,
        Self::PollLimits,
        Self::EndOfData,
        Self::Committed,
        Self::Growth,
    ];

    const fn facts(self) -> Facts {
        match self {
            Self::Start => ("start", ALL, &[11], "starts, opens and closes an instance"),
            Self::Buffer => (
                "buffer",
                ALL,
                &[13, 14],
                "asks for input buffers of 0 bytes to 2 GiB; writes over the buffer between calls",
            ),
            Self::Close => ("close", ALL, &[76], "closes for every reason, and for one that does not exist yet"),
            Self::Abandoned => {
                ("abandoned", ALL, &[12, 37], "throws an instance away and opens another from what was committed")
            }
            Self::Errors => ("errors", ALL, &[29], "opens with configurations that make no sense"),
            Self::Questions => ("questions", ALL, &[75], "calls check, discover and task_configs where they are there"),
            Self::NewerHost => {
                ("newer-host", ALL, &[55], "opens as a host of the next minor, with features; passes its frames")
            }
            Self::Nulls => (
                "nulls",
                TAKES_RECORDS,
                &[44, 70],
                "null and empty keys and values: told apart where they are passed on",
            ),
            Self::Binary => (
                "binary",
                TAKES_RECORDS,
                &[46, 70],
                "keys, values and header values that are no text: whole where passed on",
            ),
            Self::Headers => (
                "headers",
                TAKES_RECORDS,
                &[70],
                "no headers, a hundred, repeated and empty names, null and empty values",
            ),
            Self::Large => ("large", TAKES_RECORDS, &[70], "a value of 1 MiB, and a key of 1 MiB"),
            Self::Empty => ("empty", TAKES_RECORDS, &[72], "a batch without records"),
            Self::Full => ("full", TAKES_RECORDS, &[70], "the largest batch: batch.max.records, or 10,000 records"),
            Self::Places => ("places", SINK, &[20], "offsets with gaps; records without topic, partition and offset"),
            Self::Again => {
                ("again", TAKES_RECORDS, &[28, 51, 52], "the same records again, then their end, then one by one")
            }
            Self::CarriedInput => {
                ("carried-input", TRANSFORM, &[24], "records that carry input numbers of an earlier call")
            }
            Self::Flush => ("flush", SINK, &[21], "flushes with something written, and with nothing"),
            Self::Assigned => ("assigned", SINK, &[25], "assigns partitions, takes them away, assigns them again"),
            Self::PollLimits => ("poll-limits", SOURCE, &[15], "polls for 1 to 10,000 records of 1 byte to 1 MiB"),
            Self::PollPace => (
                "poll-pace",
                SOURCE,
                &[16],
                "polls four times and looks at fuel and clock, less the time that requests take",
            ),
            Self::EndOfData => ("end-of-data", SOURCE, &[17], "polls up to 200 times, and again after the end"),
            Self::Committed => ("committed", SOURCE, &[18], "tells a source twice that a batch is durable"),
            Self::Growth => (
                "growth",
                ALL,
                &[71],
                "a million calls of varying size, with commits in between: linear memory at the end against that after the first tenth",
            ),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// The kinds it is run for.
    #[must_use]
    pub const fn kinds(self) -> &'static [Kind] {
        self.facts().1
    }

    /// The rules it is about. Every case also holds every answer against the rules of answers.
    #[must_use]
    pub const fn about(self) -> &'static [u16] {
        self.facts().2
    }

    /// What it does.
    #[must_use]
    pub const fn does(self) -> &'static str {
        self.facts().3
    }

    pub(super) fn is_for(self, kind: Kind) -> bool {
        self.kinds().contains(&kind)
    }

    pub(super) async fn run(self, trial: &mut Trial<'_>, calls: u64) -> Step {
        match self {
            Self::Start => life::start(trial).await,
            Self::Buffer => life::buffer(trial).await,
            Self::Close => life::close(trial).await,
            Self::Abandoned => life::abandoned(trial).await,
            Self::Errors => life::errors(trial).await,
            Self::Questions => life::questions(trial).await,
            Self::NewerHost => data::newer_host(trial).await,
            Self::Nulls => data::nulls(trial).await,
            Self::Binary => data::binary(trial).await,
            Self::Headers => data::headers(trial).await,
            Self::Large => data::large(trial).await,
            Self::Empty => data::empty(trial).await,
            Self::Full => data::full(trial).await,
            Self::Places => sink::places(trial).await,
            Self::Again => results::again(trial).await,
            Self::CarriedInput => results::carried_input(trial).await,
            Self::Flush => sink::flush(trial).await,
            Self::Assigned => sink::assigned(trial).await,
            Self::PollLimits => source::limits(trial).await,
            Self::PollPace => source::pace(trial).await,
            Self::EndOfData => source::end_of_data(trial).await,
            Self::Committed => source::committed(trial).await,
            Self::Growth => growth::growth(trial, calls).await,
        }
    }
}
