//! Defects that are planted, so that tests can show that the checks see them. No broker behaves like this.

/// A broker that breaks its promises, from a certain occasion on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Which promise.
    pub kind: DefectKind,
    /// It is kept so many times first.
    pub after: u64,
    /// It is broken so many times then.
    pub times: u64,
}

/// A promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefectKind {
    /// A commit is answered, and its records are gone.
    LoseRecords,
    /// Records are staged twice.
    DoubleRecords,
    /// Records of two calls change places.
    SwapRecords,
    /// Records and offsets of a commit are kept, but not its changes of state.
    LoseState,
    /// The offset that is committed lies one record further than it was told.
    SkipInput,
    /// No records come any more.
    Starve,
}

impl DefectKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::LoseRecords, Self::DoubleRecords, Self::SwapRecords, Self::LoseState, Self::SkipInput, Self::Starve];
}

impl Defect {
    /// Whether it is the turn of this occasion; counts it.
    pub(super) fn is_due(&mut self) -> bool {
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        let due = self.times > 0;
        self.times = self.times.saturating_sub(1);
        due
    }
}
