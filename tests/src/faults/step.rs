//! The steps at which a task meets its broker. Each is a place where something can go wrong, so they have names: what a
//! fault plan, a trace and a killed process are told is the same word.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, bail};

/// A call of a task to its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The dead letter queue is created.
    CreateTopic,
    /// The session is opened, which fences a predecessor.
    Session,
    /// Source offsets are loaded.
    LoadOffsets,
    /// State is loaded.
    LoadState,
    /// Input, or a change of the assignment, is asked for.
    Consume,
    /// A change of the assignment is asked for, while something is tried again.
    StandBy,
    /// Partitions are taken up.
    Accept,
    /// Partitions are let go.
    Release,
    /// Records are added to the transaction.
    Stage,
    /// The transaction is committed.
    Commit,
    /// The transaction is dropped.
    Abort,
    /// The session is closed.
    Close,
}

/// On which side of a step: before it has happened, or after, when it has and nobody knows yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Nothing has happened yet.
    Before,
    /// It has happened, and its answer is on the way.
    After,
}

/// A moment in the life of a task, in text as `commit:after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment {
    /// The step.
    pub step: Step,
    /// On which side of it.
    pub side: Side,
}

impl Step {
    /// All of them, in the order in which a task first meets them.
    pub const ALL: [Self; 12] = [
        Self::CreateTopic,
        Self::Session,
        Self::LoadOffsets,
        Self::LoadState,
        Self::Consume,
        Self::StandBy,
        Self::Accept,
        Self::Release,
        Self::Stage,
        Self::Commit,
        Self::Abort,
        Self::Close,
    ];

    /// Its name, for traces and for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateTopic => "create-topic",
            Self::Session => "session",
            Self::LoadOffsets => "load-offsets",
            Self::LoadState => "load-state",
            Self::Consume => "consume",
            Self::StandBy => "stand-by",
            Self::Accept => "accept",
            Self::Release => "release",
            Self::Stage => "stage",
            Self::Commit => "commit",
            Self::Abort => "abort",
            Self::Close => "close",
        }
    }
}

impl Side {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.step, self.side)
    }
}

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (step, side) = text.split_once(':').unwrap_or((text, ""));
        let Some(step) = Step::ALL.into_iter().find(|known| known.name() == step) else {
            let known: Vec<_> = Step::ALL.into_iter().map(Step::name).collect();
            bail!("there is no step {step:?}, there are {}", known.join(", "));
        };
        let Some(side) = [Side::Before, Side::After].into_iter().find(|known| known.name() == side) else {
            bail!("a moment is written as {step}:before or {step}:after, not {text:?}");
        };
        Ok(Self { step, side })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for step in Step::ALL {
            for side in [Side::Before, Side::After] {
                let moment = Moment { step, side };
                assert_eq!(moment.to_string().parse::<Moment>().unwrap(), moment);
            }
        }
    }

    #[test]
    fn a_moment_that_does_not_exist_is_refused_with_those_that_do() {
        let error = "comit:after".parse::<Moment>().unwrap_err().to_string();
        assert!(error.contains("comit") && error.contains("commit"), "{error}");
        let error = "commit".parse::<Moment>().unwrap_err().to_string();
        assert!(error.contains("commit:before"), "{error}");
    }
}
