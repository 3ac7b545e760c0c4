//! Every rule of `docs/abi.md` with who keeps it. A test holds this table to the document.

use std::collections::BTreeSet;

use sandbar_abi::manifest::Kind;

use super::cases::Case;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number.
    pub number: u16,
    /// The section of `docs/abi.md` it stands in.
    pub section: Section,
    /// What it says, in short.
    pub says: &'static str,
    /// Who keeps it.
    pub keeper: Keeper,
}

/// Who keeps a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The module: read from its bytes.
    Module,
    /// The plugin: seen when it runs.
    Plugin,
    /// The host: not the plugin's to keep.
    Host,
}

/// A section of `docs/abi.md`.
#[allow(missing_docs)] // the headings of the document
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Module,
    Manifest,
    Exports,
    Returns,
    Imports,
    Leaves,
    Frame,
    Results,
    Budgets,
    Versions,
}

impl Section {
    /// Its number and its heading in the document.
    #[must_use]
    pub const fn heading(self) -> (u8, &'static str) {
        match self {
            Self::Module => (1, "The module"),
            Self::Manifest => (2, "The manifest"),
            Self::Exports => (3, "Exports"),
            Self::Returns => (4, "Return values"),
            Self::Imports => (5, "Imports"),
            Self::Leaves => (6, "What a call leaves"),
            Self::Frame => (7, "The frame"),
            Self::Results => (8, "Results"),
            Self::Budgets => (10, "Budgets"),
            Self::Versions => (12, "Versions"),
        }
    }
}

impl Rule {
    /// The rule of a number.
    #[must_use]
    pub fn of(number: u16) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.number == number)
    }

    /// The cases that are about it; a rule without any is kept by the host, or seen in every call.
    pub fn cases(&self) -> impl Iterator<Item = Case> + use<> {
        let number = self.number;
        Case::ALL.iter().copied().filter(move |case| case.about().contains(&number))
    }

    /// The kinds it is about; empty: all of them.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Kind> {
        match self.number {
            19 => BTreeSet::from([Kind::Sink]),
            22 => BTreeSet::from([Kind::Transform]),
            74 => BTreeSet::from([Kind::Source]),
            33 => BTreeSet::from([Kind::Sink, Kind::Transform]),
            _ => self.cases().flat_map(|case| case.kinds().iter().copied()).collect(),
        }
    }

    /// Whether it is judged in every call of a case, whatever that is about.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        EVERYWHERE.contains(&self.number)
    }
}

/// Rules that each answer is held against.
const EVERYWHERE: &[u16] =
    &[19, 22, 26, 27, 29, 30, 33, 38, 39, 40, 41, 42, 43, 45, 47, 48, 49, 50, 51, 52, 70, 73, 74];

const fn rule(number: u16, section: Section, keeper: Keeper, says: &'static str) -> Rule {
    Rule { number, section, says, keeper }
}

use Keeper::{Host, Module, Plugin};
use Section as S;

/// The rules, section by section.
pub const RULES: &[Rule] = &[
    rule(1, S::Module, Module, "one core module, of a size that is taken"),
    rule(2, S::Module, Module, "no feature of WebAssembly beyond those listed"),
    rule(3, S::Module, Module, "one linear memory, exported as memory"),
    rule(4, S::Module, Module, "no start section"),
    rule(5, S::Module, Module, "imports are functions of the ABI and of WASI, of their types"),
    rule(6, S::Module, Module, "exports what its kinds need, of the right types"),
    rule(7, S::Module, Module, "has its manifest once"),
    rule(8, S::Manifest, Module, "the manifest is a length and that much JSON"),
    rule(9, S::Manifest, Module, "the manifest has the fields that are listed, and no others"),
    rule(10, S::Exports, Host, "one call at a time, never from within another"),
    rule(11, S::Exports, Plugin, "starts with _initialize, then open"),
    rule(12, S::Exports, Plugin, "does not rely on being closed"),
    rule(13, S::Exports, Plugin, "reserve returns an aligned buffer in memory, or 0"),
    rule(14, S::Exports, Plugin, "the input buffer stays, and is the host's to write to between calls"),
    rule(15, S::Exports, Plugin, "a poll returns no more than it was asked for"),
    rule(16, S::Exports, Plugin, "a poll does not sleep"),
    rule(17, S::Exports, Plugin, "after END_OF_DATA there are no more records"),
    rule(74, S::Exports, Plugin, "records of a poll name no input"),
    rule(18, S::Exports, Plugin, "the number of committed batches may come again"),
    rule(19, S::Exports, Plugin, "a sink returns no records"),
    rule(20, S::Exports, Plugin, "offsets may have gaps; behind transforms there may be none"),
    rule(21, S::Exports, Plugin, "flush makes durable what was written, and may come again"),
    rule(22, S::Exports, Plugin, "each output names an input that is ok"),
    rule(23, S::Exports, Host, "records of one call come from one partition"),
    rule(24, S::Exports, Plugin, "a transform ignores the input numbers of the records it is given"),
    rule(25, S::Exports, Plugin, "assigned may come again, on a fresh instance"),
    rule(75, S::Exports, Plugin, "task_configs answers with one to max configurations"),
    rule(76, S::Exports, Plugin, "close takes any reason"),
    rule(73, S::Returns, Plugin, "a number below zero is an error class, and the sign bit nothing else"),
    rule(26, S::Returns, Plugin, "an output lies in memory and is not too long"),
    rule(27, S::Returns, Plugin, "outputs are frames, or JSON where JSON is asked for"),
    rule(28, S::Returns, Plugin, "the same call may come again, with fewer records"),
    rule(29, S::Returns, Plugin, "set_error before an error"),
    rule(
        70,
        S::Returns,
        Plugin,
        "what goes wrong is an error class or a disposition: no trap, no exit, no spent budget",
    ),
    rule(30, S::Imports, Plugin, "what is passed to host functions lies in memory"),
    rule(31, S::Imports, Host, "host functions do not call back"),
    rule(32, S::Imports, Host, "gets return a length, and write what fits"),
    rule(33, S::Imports, Plugin, "only a source puts offsets"),
    rule(34, S::Leaves, Host, "puts go to an overlay"),
    rule(35, S::Leaves, Host, "the overlay is merged once the call has succeeded"),
    rule(36, S::Leaves, Host, "some calls leave nothing"),
    rule(37, S::Leaves, Plugin, "a fresh instance goes on from committed offsets and state"),
    rule(38, S::Frame, Plugin, "magic, major version and total length"),
    rule(39, S::Frame, Plugin, "the header's length"),
    rule(40, S::Frame, Plugin, "where sections lie"),
    rule(41, S::Frame, Plugin, "strides"),
    rule(42, S::Frame, Plugin, "flags, and zero where nothing is said"),
    rule(43, S::Frame, Plugin, "every range lies in the heap"),
    rule(44, S::Frame, Plugin, "null is not empty"),
    rule(45, S::Frame, Plugin, "topics, header names and messages are UTF-8"),
    rule(46, S::Frame, Plugin, "keys, values and header values are bytes"),
    rule(47, S::Frame, Plugin, "headers follow one another"),
    rule(48, S::Frame, Plugin, "topic-partitions exist, numbers are not below -1"),
    rule(49, S::Frame, Plugin, "all records together fit a frame"),
    rule(50, S::Frame, Plugin, "dispositions are those that exist"),
    rule(72, S::Frame, Plugin, "a frame may hold no records"),
    rule(51, S::Results, Plugin, "each input has one result, or ALL_OK none"),
    rule(52, S::Results, Plugin, "what is not resolved is the end of the call"),
    rule(71, S::Budgets, Plugin, "memory does not grow with the number of calls"),
    rule(53, S::Versions, Module, "the marker of this major version"),
    rule(54, S::Versions, Host, "a minor only appends"),
    rule(55, S::Versions, Plugin, "reads what a newer minor writes"),
    rule(56, S::Versions, Module, "imports nothing that the host does not have"),
];
