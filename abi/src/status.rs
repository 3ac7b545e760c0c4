//! What an exported call returns: nothing, the place of a frame, or an error class.

use core::fmt;

/// How an error is to be treated. The message travels separately, through `set_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The same call may succeed later: the host calls again with back-off.
    Retryable,
    /// The connector cannot go on with this configuration or this system.
    Fatal,
    /// A side broke the rules of the ABI.
    Contract,
    /// The other system asks for a pause; `set_error` carries the delay.
    Throttled,
}

impl ErrorClass {
    /// The negative number that stands for this class in a return value and in `set_error`.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Retryable => -1,
            Self::Fatal => -2,
            Self::Contract => -3,
            Self::Throttled => -4,
        }
    }

    /// The class of a code, if it is one.
    #[must_use]
    pub const fn from_code(code: i64) -> Option<Self> {
        match code {
            -1 => Some(Self::Retryable),
            -2 => Some(Self::Fatal),
            -3 => Some(Self::Contract),
            -4 => Some(Self::Throttled),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retryable => "retryable",
            Self::Fatal => "fatal",
            Self::Contract => "contract violation",
            Self::Throttled => "throttled",
        })
    }
}

/// A return value, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// `0`: done, no frame.
    Done,
    /// `(len << 32) | ptr`: an output frame in guest memory.
    Frame {
        /// Where it starts.
        ptr: u32,
        /// How long it is, in bytes.
        len: u32,
    },
    /// `< 0`: an error of this class.
    Error(ErrorClass),
    /// `< 0`, but no class that exists.
    Unknown(i64),
}

impl Returned {
    /// Takes a raw return value apart. The sign bit is reserved for errors, so a length is at most 2^31 - 1.
    #[must_use]
    pub const fn unpack(raw: i64) -> Self {
        if raw == 0 {
            return Self::Done;
        }
        if raw < 0 {
            return match ErrorClass::from_code(raw) {
                Some(class) => Self::Error(class),
                None => Self::Unknown(raw),
            };
        }
        let raw = raw.cast_unsigned();
        #[allow(clippy::cast_possible_truncation)] // the two halves of a u64
        Self::Frame { ptr: raw as u32, len: (raw >> 32) as u32 }
    }

    /// Packs the place of a frame. `len` must fit 31 bits, which [`crate::names::MAX_FRAME_BYTES`] ensures.
    #[must_use]
    pub const fn pack(ptr: u32, len: u32) -> i64 {
        (((len as u64) << 32) | ptr as u64).cast_signed()
    }
}

/// Why a guest is closed; the argument of `sandbar_close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum CloseReason {
    /// The connector stops.
    Stop = 0,
    /// A new version or configuration follows.
    Replace = 1,
    /// The partitions moved elsewhere.
    Rebalance = 2,
}

impl CloseReason {
    /// The reason of a code; codes of a newer minor read as [`CloseReason::Stop`].
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            1 => Self::Replace,
            2 => Self::Rebalance,
            _ => Self::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_survives_packing() {
        for (ptr, len) in [(8, 1), (0, 1), (u32::MAX, i32::MAX.cast_unsigned()), (1 << 31, 64 << 20)] {
            assert_eq!(Returned::unpack(Returned::pack(ptr, len)), Returned::Frame { ptr, len });
        }
    }

    #[test]
    fn classes_and_codes_agree() {
        for class in [ErrorClass::Retryable, ErrorClass::Fatal, ErrorClass::Contract, ErrorClass::Throttled] {
            assert_eq!(Returned::unpack(i64::from(class.code())), Returned::Error(class));
        }
        assert_eq!(Returned::unpack(-5), Returned::Unknown(-5));
        assert_eq!(Returned::unpack(i64::MIN), Returned::Unknown(i64::MIN));
        assert_eq!(Returned::unpack(0), Returned::Done);
    }
}
