//! Why a command did not do what it was asked to, told as `error: ...` with a hint, and the exit code that goes with it.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use super::text;
use crate::broker::BrokerError;
use crate::config::ConfigError;

/// What a command comes to.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// These errors, and what to do about them.
    Errors {
        /// One or more.
        messages: Vec<String>,
        /// Advice.
        hint: Option<String>,
    },
    /// Something is wrong, and the command's own report has said what.
    Reported,
    /// What was asked for could not even be tried, for this reason.
    Untried(Box<Self>),
    /// Whoever read the output has seen enough, as in `sandbar topic read t | head`.
    OutputClosed,
}

impl Failure {
    /// One error.
    pub fn new(message: impl ToString) -> Self {
        Self::Errors { messages: vec![message.to_string()], hint: None }
    }

    /// Several errors.
    pub fn of_all<E: ToString>(errors: impl IntoIterator<Item = E>) -> Self {
        Self::Errors { messages: errors.into_iter().map(|error| error.to_string()).collect(), hint: None }
    }

    /// An error of writing to standard output.
    pub fn output(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::new(format!("standard output cannot be written: {error}")),
        }
    }

    /// The same failure with advice.
    pub fn hint(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Errors { messages, hint } => Self::Errors { messages, hint: hint.or_else(|| Some(advice.into())) },
            other => other,
        }
    }

    /// The same failure, told apart from an answer of no.
    pub fn untried(self) -> Self {
        match self {
            Self::Errors { .. } => Self::Untried(Box::new(self)),
            other => other,
        }
    }

    /// Says it, and gives the exit code.
    pub fn tell(&self, out: &mut impl Write) -> ExitCode {
        match self {
            Self::Errors { messages, hint } => {
                let mut told = String::new();
                for message in messages {
                    told.push_str(&format!("error: {}\n", text::shown_lines(message)));
                }
                if let Some(hint) = hint {
                    told.push_str(&format!("hint: {}\n", text::shown_lines(hint)));
                }
                // If even this cannot be written there is nobody left to tell.
                let _ = out.write_all(told.as_bytes());
                ExitCode::FAILURE
            }
            Self::Untried(why) => {
                why.tell(out);
                ExitCode::from(2)
            }
            Self::Reported => ExitCode::FAILURE,
            Self::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::of_all(errors)
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::new(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    //! What is told, and the code that goes with it.

    use super::*;

    #[track_caller]
    fn told(failure: &Failure) -> String {
        let mut out = Vec::new();
        failure.tell(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn errors_come_one_a_line_with_one_hint() {
        let failure = Failure::of_all(["a", "b\x1b[2J"]).hint("do this").hint("not that");
        assert_eq!(told(&failure), "error: a\nerror: b\\u{1b}[2J\nhint: do this\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        assert_eq!(told(&Failure::output(ErrorKind::BrokenPipe.into())), "");
        assert!(told(&Failure::output(ErrorKind::StorageFull.into())).starts_with("error: standard output"));
    }
}
