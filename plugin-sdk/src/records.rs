//! The records of a call, borrowed from the input frame.

use std::ops::Deref;

use sandbar_abi::{Frame, Record};

/// The records of a call, in order.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    frame: Frame<'a>,
    next: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(frame: Frame<'a>) -> Self {
        Self { frame, next: 0 }
    }

    /// How many records the call carries.
    #[must_use]
    pub fn count_all(&self) -> usize {
        self.frame.len()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = InputRecord<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.frame.record(self.next)?;
        let index = self.next;
        self.next += 1;
        Some(InputRecord { record, index })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.frame.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Records<'_> {}

/// A record of the call. Its fields are those of [`Record`].
#[derive(Clone, Copy, Debug)]
pub struct InputRecord<'a> {
    record: Record<'a>,
    index: usize,
}

impl<'a> InputRecord<'a> {
    /// Its place in the call, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The topic it was read from; empty where it comes straight from a source that names none.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.record.topic_partition.and_then(|tp| tp.topic).unwrap_or("")
    }

    /// The partition it was read from, if there is one yet.
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        self.record.topic_partition.and_then(|tp| tp.partition)
    }
}

impl<'a> Deref for InputRecord<'a> {
    type Target = Record<'a>;

    fn deref(&self) -> &Record<'a> {
        &self.record
    }
}
