//! The error a plugin returns: what the host shall do about it, and what people shall read.

use std::fmt::{self, Display};
use std::time::Duration;

use sandbar_abi::ErrorClass;

/// What plugin code returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with its class.
///
/// Any [`std::error::Error`] becomes a fatal one through `?`: the host restarts the task with back-off. Where the same
/// call may succeed by itself, say so with [`Error::retryable`].
#[derive(Debug)]
pub struct Error {
    class: ErrorClass,
    message: String,
    delay: Duration,
}

impl Error {
    /// The connector cannot go on: the task fails.
    pub fn fatal(message: impl Display) -> Self {
        Self { class: ErrorClass::Fatal, message: message.to_string(), delay: Duration::ZERO }
    }

    /// The same call may succeed later: the host makes it again, with back-off.
    pub fn retryable(message: impl Display) -> Self {
        Self { class: ErrorClass::Retryable, message: message.to_string(), delay: Duration::ZERO }
    }

    /// The other system asks for a pause: the host makes the call again after it.
    pub fn throttled(delay: Duration, message: impl Display) -> Self {
        Self { class: ErrorClass::Throttled, message: message.to_string(), delay }
    }

    pub(crate) fn contract(message: impl Display) -> Self {
        Self { class: ErrorClass::Contract, message: message.to_string(), delay: Duration::ZERO }
    }

    /// What the host shall do about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The message, without the class.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The pause the other system asks for; zero where it asks for none.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// What `set_error` carries: the message, and before it the delay in milliseconds where there is one.
    pub(crate) fn payload(&self) -> String {
        match self.class {
            ErrorClass::Throttled => format!("{}\n{}", self.delay.as_millis(), self.message),
            _ => self.message.clone(),
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::fatal(message)
    }
}
