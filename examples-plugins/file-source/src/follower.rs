//! All files that are followed: which of them are new, renamed, or gone, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sandbar_plugin::host::log;
use sandbar_plugin::{Result, SourceBatch};

use crate::identity::FileId;
use crate::listing::Seen;
use crate::piece::Piece;
use crate::place::Place;
use crate::tail::Tail;
use crate::{LineLimits, Start};

/// How many files are held open: the sandbox and the process have their own limits.
const MAX_OPEN: usize = 64;
/// How many bytes one poll reads at the most, lines that are skipped among them: a bound on the work of one call.
const MAX_POLL_BYTES: u64 = 8 << 20;
/// A file whose name is not wanted any more may still be written to by a program that has it open. It is let go when it
/// has not grown for so long.
const RETIRED_QUIET: Duration = Duration::from_secs(10);

/// The files that are followed.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    tails: Vec<Tail>,
    /// Whose turn comes first in the next poll.
    turn: usize,
    piece: Piece,
    /// The files that could not be read, so that each is told of once.
    unreadable: BTreeSet<PathBuf>,
}

impl Follower {
    /// Takes note of what is there now.
    pub(crate) fn reconcile(&mut self, seen: Vec<Seen>, start: Start, first: bool, now: Duration) -> Result<()> {
        let paths: BTreeSet<&PathBuf> = seen.iter().map(|seen| &seen.path).collect();
        self.unreadable.retain(|path| paths.contains(path));
        let mut unknown: BTreeMap<FileId, Seen> = seen.into_iter().map(|seen| (seen.stat.id.clone(), seen)).collect();
        let mut left: BTreeMap<PathBuf, FileId> = BTreeMap::new();
        for tail in &mut self.tails {
            match unknown.remove(&tail.id) {
                Some(seen) => {
                    if seen.path != tail.path {
                        let old = std::mem::replace(&mut tail.path, seen.path);
                        log::info(format!("\"{}\" is now \"{}\"", old.display(), tail.path.display()));
                        left.insert(old, tail.id.clone());
                        tail.moved = true;
                    }
                    tail.retired = !seen.wanted;
                    tail.gone = false;
                    tail.seen(&seen.stat);
                }
                None => {
                    (tail.retired, tail.gone) = (true, true);
                    left.insert(tail.path.clone(), tail.id.clone());
                }
            }
        }
        self.tails.retain(|tail| !tail.gone || tail.is_open());
        self.take_up(unknown.into_values().collect(), &left, start, first, now)
    }

    /// Begins to follow files: from their stored place, whatever path it is stored under.
    fn take_up(
        &mut self,
        mut new: Vec<Seen>,
        left: &BTreeMap<PathBuf, FileId>,
        start: Start,
        first: bool,
        now: Duration,
    ) -> Result<()> {
        new.sort_by(|a, b| a.path.cmp(&b.path));
        let mut own: BTreeMap<PathBuf, Place> = BTreeMap::new();
        let mut by_id: BTreeMap<FileId, Place> = BTreeMap::new();
        // Only while the task starts can a file that is not wanted be one that was: later its tail says so.
        new.retain(|seen| seen.wanted || first);
        for seen in &new {
            let Some(place) = Place::load(&seen.path)? else { continue };
            if let Some(inode) = &place.inode {
                let known = by_id.entry(inode.clone()).or_insert_with(|| place.clone());
                if known.position < place.position {
                    *known = place.clone();
                }
            }
            own.insert(seen.path.clone(), place);
        }
        for seen in new {
            let stored = own.get(&seen.path);
            let is_its = |place: &&Place| place.inode.as_ref().is_none_or(|inode| *inode == seen.stat.id);
            let place = stored.filter(is_its).or_else(|| by_id.get(&seen.stat.id));
            if place.is_none() && !seen.wanted {
                continue;
            }
            let mut tail = Tail::new(seen.path.clone(), &seen.stat, !seen.wanted, now);
            let before = left.get(&seen.path).or(stored.and_then(|place| place.inode.as_ref()));
            tail.after = before.filter(|before| **before != seen.stat.id).cloned();
            self.make_room();
            let begun = match (place, start) {
                (Some(place), _) => tail.resume(place),
                (None, Start::End) => tail.start_at_end(),
                (None, Start::Beginning) => Ok(()),
            };
            // What cannot be read now is tried again with the next listing.
            if self.readable(&seen.path, begun) {
                self.tails.push(tail);
            }
        }
        Ok(())
    }

    /// Reads what is new, in turns. Whether there was anything.
    pub(crate) fn read(&mut self, limits: &LineLimits, now: Duration, out: &mut SourceBatch) -> bool {
        let mut budget = MAX_POLL_BYTES;
        let mut any = false;
        let mut idle = 0;
        self.turn %= self.tails.len().max(1);
        while idle < self.tails.len() && budget > 0 && !out.is_full() {
            let turn = self.turn;
            let read = self.take_turn(turn, limits, now, out);
            // What is left of a piece is emitted first by the next poll; then it is the next file's turn.
            if !(out.is_full() && self.tails.get(turn).is_some_and(|tail| tail.has_lines_in(&self.piece))) {
                self.turn = (turn + 1) % self.tails.len();
            }
            budget = budget.saturating_sub(read);
            idle = if read > 0 { 0 } else { idle + 1 };
            any |= read > 0;
        }
        any
    }

    /// Stores where every file stands that has moved on, and lets go of those that are done with.
    pub(crate) fn settle(&mut self, now: Duration) -> Result<()> {
        for tail in &mut self.tails {
            // What has no name any more cannot be found again, and its path may be another file's already.
            if std::mem::take(&mut tail.moved) && !tail.gone {
                tail.place().store(&tail.path)?;
            }
        }
        self.tails.retain(|tail| !(tail.retired && tail.is_at_end() && now.saturating_sub(tail.grew) >= RETIRED_QUIET));
        Ok(())
    }

    fn take_turn(&mut self, turn: usize, limits: &LineLimits, now: Duration, out: &mut SourceBatch) -> u64 {
        if self.must_wait(turn) {
            return 0;
        }
        if self.tails.get(turn).is_some_and(|tail| !tail.is_open() && !tail.is_at_end()) {
            self.make_room();
        }
        let Some(tail) = self.tails.get_mut(turn) else { return 0 };
        let piece = &mut self.piece;
        let read = tail.look(now).and_then(|same| {
            if !same {
                piece.forget();
            }
            if tail.is_at_end() { Ok(0) } else { tail.read(limits, piece, out) }
        });
        match read {
            Ok(0) => 0,
            Ok(read) => {
                self.unreadable.remove(&tail.path);
                read
            }
            Err(error) => {
                tail.release();
                let path = tail.path.clone();
                self.readable(&path, Err(error));
                0
            }
        }
    }

    /// Whether the file that had this one's path before still has lines.
    fn must_wait(&mut self, turn: usize) -> bool {
        let Some(after) = self.tails.get(turn).and_then(|tail| tail.after.as_ref()) else { return false };
        let has_lines = |tail: &Tail| !tail.is_at_end() && !self.unreadable.contains(&tail.path);
        if self.tails.iter().any(|tail| tail.id == *after && has_lines(tail)) {
            return true;
        }
        if let Some(tail) = self.tails.get_mut(turn) {
            tail.after = None;
        }
        false
    }

    /// Closes a file if as many are open as may be: one that has a name, and best one at its end.
    fn make_room(&mut self) {
        if self.tails.iter().filter(|tail| tail.is_open()).count() < MAX_OPEN {
            return;
        }
        let candidates = self.tails.iter_mut().filter(|tail| tail.is_open());
        if let Some(tail) = candidates.min_by_key(|tail| (tail.gone, !tail.is_at_end(), tail.grew)) {
            tail.release();
        }
    }

    fn readable(&mut self, path: &PathBuf, outcome: io::Result<()>) -> bool {
        match outcome {
            Ok(()) => {
                self.unreadable.remove(path);
                true
            }
            Err(error) => {
                if self.unreadable.insert(path.clone()) {
                    log::warn(format!("cannot read \"{}\": {error}", path.display()));
                }
                false
            }
        }
    }
}
