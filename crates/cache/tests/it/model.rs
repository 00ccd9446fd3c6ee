//! The protocol in a small model, all interleavings of it: two flights, in one process or in two, that may fail at any
//! step and begin again; a writer, in the first process, that may die after its commit; fills that arrive late; a
//! reader that comes after the change, to either process, and joins what is in flight there. Time passes: leases and the
//! mark expire whenever the protocol allows for it.
//!
//! It is a model of the scripts in `src/lua/` and of the rules for the memory and the flights of a process; each step of
//! it is one script, or what a process does under one lock. What must hold in every state:
//!
//! - after the writer's clear, Redis holds the new value or none, and so does the memory of every notified process;
//! - after a crash between commit and clear, that holds once the mark has expired: no old value is stored under it;
//! - a reader in the writer's process once the change is answered, or in another one that was notified, gets the new
//!   value: from memory, or from a flight that it joins or begins.

mod steps;

use std::collections::{BTreeSet, HashSet};

const OLD: u8 = 0;
const NEW: u8 = 1;
/// The process of the writer.
const ITS_OWN: usize = 0;

/// Whether it is that of the current lease. None is drawn twice: a holder that has lost its lease does not get it back.
type Token = bool;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// On the ground: it has landed, failed, or never begun.
    Ground,
    /// It looks for the value in Redis next.
    Asks,
    /// It has found none, and asks for the value or a lease next.
    Misses,
    /// It may load, and store if its token is that of the lease.
    Leased(Token),
    /// It may load, and store nothing.
    Unleased,
    /// It has read; the fill is in flight, and may arrive at any time.
    Read(Token, u8),
    /// It has what may be kept in memory.
    Keeps(u8),
    /// Only without the lock: it has seen that it is clean, and keeps next.
    WasClean(u8),
    /// It notifies its callers.
    Lands(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flight {
    process: usize,
    at: At,
    /// Whether a caller would join it, and an invalidation would taint it.
    is_listed: bool,
    /// Whether nothing was invalidated since it asked.
    is_clean: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Caller {
    Away,
    /// For this flight.
    Waits(usize),
    Got(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Writer {
    Idle,
    Marked,
    Committed,
    Cleared,
    /// It has tainted what is in flight in its own process.
    Tainted,
    /// It has emptied its own memory, and says that the change is made.
    Answered,
    /// It died between commit and clear.
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    database: u8,
    /// What Redis holds: value, lease, whether the mark is set.
    value: Option<u8>,
    lease: bool,
    mark: bool,
    writer: Writer,
    flights: [Flight; 2],
    caller: Caller,
    /// Per process: what its memory holds, whether an invalidation is in flight to it, and whether it has tainted
    /// its flights for what it received and not yet emptied its memory.
    memory: [Option<u8>; 2],
    is_notified: [bool; 2],
    is_tainting: [bool; 2],
    /// Fills of flights that failed or gave up, still in flight: token and value.
    late: BTreeSet<(Token, u8)>,
}

/// Which of the protocol's rules are left out, to see that the model would notice.
#[expect(clippy::struct_excessive_bools, reason = "each rule is there or not")]
#[derive(Clone, Copy, Debug, Default)]
struct Without {
    /// A fill counts only under its lease.
    fence: bool,
    /// The mark bars leases while a commit is under way.
    mark: bool,
    /// What was tainted is not kept.
    taint: bool,
    /// What was tainted is joined by nobody.
    strike: bool,
    /// Between the look at the taint and the keeping nothing is tainted.
    lock: bool,
    /// The writer's process does not wait to be notified.
    own: bool,
}

impl World {
    fn start(processes: [usize; 2]) -> Self {
        let flight = |process| Flight { process, at: At::Ground, is_listed: false, is_clean: false };
        Self {
            database: OLD,
            value: None,
            lease: false,
            mark: false,
            writer: Writer::Idle,
            flights: processes.map(flight),
            caller: Caller::Away,
            memory: [None; 2],
            is_notified: [false; 2],
            is_tainting: [false; 2],
            late: BTreeSet::new(),
        }
    }

    /// invalidate.lua: every process is notified, whether there was a value or not.
    fn invalidate(&mut self) {
        self.value = None;
        self.end_lease();
        self.is_notified = [true; 2];
    }

    fn end_lease(&mut self) {
        self.lease = false;
        for flight in &mut self.flights {
            match &mut flight.at {
                At::Leased(token) | At::Read(token, _) => *token = false,
                _ => {}
            }
        }
        self.late = self.late.iter().map(|(_, value)| (false, *value)).collect();
    }

    /// fill.lua
    fn fill(&mut self, token: Token, value: u8, without: Without) -> bool {
        if !token && !without.fence {
            return false;
        }
        self.value = Some(value);
        self.is_notified = [true; 2];
        if token {
            self.end_lease();
        }
        true
    }

    /// What is in flight in a process is not kept, and joined by nobody.
    fn taint(&mut self, process: usize, without: Without) {
        for flight in self.flights.iter_mut().filter(|flight| flight.process == process) {
            flight.is_clean = false;
            flight.is_listed &= without.strike;
        }
    }

    fn is_listed(&self, process: usize) -> Option<usize> {
        self.flights.iter().position(|flight| flight.process == process && flight.is_listed)
    }

    fn is_cleared(&self) -> bool {
        matches!(self.writer, Writer::Cleared | Writer::Tainted | Writer::Answered)
    }

    /// Whether this process has acted on all that it was notified.
    fn has_received(&self, process: usize) -> bool {
        !self.is_notified[process] && !self.is_tainting[process]
    }

    fn fault(&self) -> Option<&'static str> {
        let is_over = self.is_cleared() || self.writer == Writer::Dead && !self.mark;
        if is_over && self.value == Some(OLD) {
            return Some("Redis holds the old value");
        }
        if is_over && (0..2).any(|n| self.has_received(n) && self.memory[n] == Some(OLD)) {
            return Some("a memory holds the old value, and nobody will tell it");
        }
        (self.caller == Caller::Got(OLD)).then_some("who came after the change got the old value")
    }
}

/// Visits every state; returns how many there are, or the first fault.
fn explore(without: Without) -> Result<usize, &'static str> {
    let start = [[0, 1], [0, 0], [1, 1]].map(World::start);
    let (mut seen, mut open) = (HashSet::from(start.clone()), start.to_vec());
    while let Some(world) = open.pop() {
        if let Some(fault) = world.fault() {
            return Err(fault);
        }
        if matches!(world.caller, Caller::Got(_)) {
            continue; // what else may happen does without the caller
        }
        open.extend(world.steps(without).into_iter().filter(|next| seen.insert(next.clone())));
    }
    Ok(seen.len())
}

#[test]
fn no_interleaving_leaves_or_serves_a_stale_value() {
    let states = explore(Without::default()).expect("no fault");
    assert_eq!(states, 530_473, "as the crate's page says");
}

#[test]
fn each_rule_of_the_protocol_is_needed() {
    let all = Without::default();
    let (in_redis, in_memory, served) = (
        "Redis holds the old value",
        "a memory holds the old value, and nobody will tell it",
        "who came after the change got the old value",
    );
    for (without, fault) in [
        (Without { fence: true, ..all }, in_redis),
        (Without { mark: true, ..all }, in_redis),
        (Without { taint: true, ..all }, in_memory),
        (Without { strike: true, ..all }, served),
        (Without { lock: true, ..all }, in_memory),
        (Without { own: true, ..all }, served),
    ] {
        assert_eq!(explore(without), Err(fault), "{without:?}");
    }
}
