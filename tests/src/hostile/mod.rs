//! Guests that mean harm, one purpose each, and what has to become of each. The tests run them one by one beside a
//! neighbour, and all at once in one folder.

mod bombs;
mod calls;
mod floods;
mod gate;
mod lies;
mod manifests;
mod pointers;
mod starts;

use anyhow::{Context as _, Result};

pub use manifests::TERMINAL;

use crate::wat::Guest;

/// A guest that means harm.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// Its name, which is that of its plugin too where it has a manifest.
    pub name: String,
    /// The file.
    pub wasm: Vec<u8>,
    /// What becomes of it.
    pub fate: Fate,
    /// It is stopped by the clock: it needs fuel without end, and little time.
    pub by_the_clock: bool,
}

/// What becomes of it. Text is part of what the error says.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Its bytes are refused.
    Refused(String),
    /// It passes the gate and does not compile or link.
    DoesNotCompile(String),
    /// It is not opened: this call fails.
    DoesNotStart {
        /// The call, without its prefix.
        call: &'static str,
        /// What the error says.
        cause: String,
    },
    /// This call fails. `poll` does so in as many ways as there are causes: it is told which, counted from 1, by the
    /// number of records it is asked for.
    Fails {
        /// The call, without its prefix.
        call: &'static str,
        /// What the error says.
        causes: Vec<String>,
    },
    /// Every call succeeds. It traps itself where a host function does not do what it must.
    Lives,
}

impl Hostile {
    fn new(name: &str, wasm: Vec<u8>, fate: Fate) -> Self {
        Self { name: name.to_owned(), wasm, fate, by_the_clock: false }
    }

    fn build(name: &str, guest: Guest, fate: Fate) -> Result<Self> {
        let wasm = guest.manifest("name", name).build().with_context(|| name.to_owned())?;
        Ok(Self::new(name, wasm, fate))
    }

    fn refused(name: &str, guest: Guest, because: &str) -> Result<Self> {
        Self::build(name, guest, Fate::Refused(because.to_owned()))
    }

    fn does_not_start(name: &str, guest: Guest, call: &'static str, cause: &str) -> Result<Self> {
        Self::build(name, guest, Fate::DoesNotStart { call, cause: cause.to_owned() })
    }

    fn fails(name: &str, guest: Guest, call: &'static str, cause: &str) -> Result<Self> {
        Self::build(name, guest, Fate::Fails { call, causes: vec![cause.to_owned()] })
    }

    fn lives(name: &str, guest: Guest) -> Result<Self> {
        Self::build(name, guest, Fate::Lives)
    }

    fn by_the_clock(mut self) -> Self {
        self.by_the_clock = true;
        self
    }

    /// Whether the host loads it: then a connector can be made of it.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        !matches!(self.fate, Fate::Refused(_) | Fate::DoesNotCompile(_))
    }
}

/// A transform that keeps to every rule and passes records on: the neighbour of all of them.
#[must_use]
pub fn neighbour() -> Guest {
    calls::echo()
}

/// All of them.
pub fn all() -> Result<Vec<Hostile>> {
    let mut all = gate::all()?;
    all.extend(manifests::all()?);
    all.extend(bombs::all()?);
    all.extend(starts::all()?);
    all.extend(pointers::all()?);
    all.extend(lies::all()?);
    all.extend(calls::all()?);
    all.extend(floods::all()?);
    Ok(all)
}

/// What is said of a guest that used up its fuel.
const OUT_OF_FUEL: &str = "used up its fuel of ";
/// What is said of a guest that traps by itself.
const UNREACHABLE: &str = "trapped: wasm trap: wasm `unreachable` instruction executed";
