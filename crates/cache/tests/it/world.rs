//! The world around the protocol in a small model: what `model` takes for granted is what may fail here. Redis goes back to
//! an earlier state; there are two masters, and a process and its link are with different ones; a message is lost; the
//! writer dies while Redis is away; two releases share one Redis. Against all of it there are the journal, the trust in
//! Redis, the proof of the link and the shape numbers.
//!
//! There is one change, from OLD to NEW, and one flight in each of two processes; the first is the writer's. Time is two
//! moments: once a second has passed since the commit, every process that follows the journal has read it; once it is
//! settled, its number alone says that a load includes it. What must hold in every state:
//!
//! - once that second has passed, no process serves OLD: not from memory, not from the Redis that it is connected to;
//! - no memory is proven by another server than the one that the process's commands go to, for longer than a heartbeat;
//! - no value of another release's shape is served.

mod steps;

use std::collections::HashSet;

const OLD: u8 = 0;
const NEW: u8 = 1;

/// A value in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stored {
    version: u8,
    /// Whether it says that it includes the change.
    includes: bool,
    /// Shape of the release that wrote it.
    shape: u8,
}

/// What one Redis holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Server {
    value: Option<Stored>,
    /// The process that may fill.
    lease: Option<usize>,
    mark: bool,
    /// Whether it remembers that the change was cleared.
    cleared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Flight {
    Ground,
    /// It may load, and fill this server.
    Leased {
        server: usize,
        includes: bool,
        is_clean: bool,
    },
    /// It has read.
    Read {
        server: usize,
        version: u8,
        includes: bool,
        is_clean: bool,
    },
}

#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    /// Server of its commands, and of its link.
    commands: usize,
    link: usize,
    /// Whether it reads from Redis.
    is_trusting: bool,
    /// Whether a heartbeat has proven the link.
    is_proven: bool,
    /// Whether one has done so at another server than that of the commands.
    is_astray: bool,
    /// Whether it has read of the change in the journal.
    knows: bool,
    memory: Option<u8>,
    /// Whether a message that the value was removed is in flight to it.
    is_notified: bool,
    flight: Flight,
    /// Shape of its release.
    shape: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    Marked,
    Committed,
    /// It has cleared, or died.
    Done,
}

#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    database: u8,
    writer: Writer,
    servers: [Server; 2],
    /// The state to which the first server may go back.
    snapshot: Option<Server>,
    has_restored: bool,
    has_split: bool,
    processes: [Process; 2],
    has_second_passed: bool,
    is_settled: bool,
}

/// What may happen.
#[expect(clippy::struct_excessive_bools, reason = "each may happen or not")]
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    /// The first server goes back to an earlier state.
    restore: bool,
    /// The second server, a copy, becomes a master of its own for the second process.
    split: bool,
    /// The link of the second process stays where it was then.
    demoted: bool,
    /// Messages are lost.
    lost_messages: bool,
    /// The writer dies after the commit, while Redis is away.
    death: bool,
    /// The second process is of the next release.
    release: bool,
}

/// Which cures are left out.
#[derive(Clone, Copy, Debug, Default)]
struct Without {
    /// Every process reads the journal, and values name what they include.
    journal: bool,
    /// Heartbeats are looked for on the server of the commands.
    link_check: bool,
    /// Values have the shape of their release.
    shape: bool,
}

impl World {
    fn start(events: Events) -> Self {
        let process = |shape| Process {
            commands: 0,
            link: 0,
            is_trusting: true,
            is_proven: true,
            is_astray: false,
            knows: false,
            memory: None,
            is_notified: false,
            flight: Flight::Ground,
            shape,
        };
        Self {
            database: OLD,
            writer: Writer::Idle,
            servers: [Server::default(); 2],
            snapshot: None,
            has_restored: false,
            has_split: false,
            processes: [process(0), process(u8::from(events.release))],
            has_second_passed: false,
            is_settled: false,
        }
    }

    /// Whether a process serves this value from Redis.
    fn serves(process: &Process, stored: Stored, without: Without) -> bool {
        let is_current = without.journal || !process.knows || stored.includes;
        let is_readable = without.shape || stored.shape == process.shape;
        process.is_trusting && is_current && is_readable
    }

    fn fault(&self, without: Without) -> Option<&'static str> {
        for process in &self.processes {
            let stored = self.servers[process.commands].value.filter(|stored| Self::serves(process, *stored, without));
            if stored.is_some_and(|stored| stored.shape != process.shape) {
                return Some("a value of another shape is served");
            }
            if !self.has_second_passed {
                continue;
            }
            if process.is_proven && process.memory == Some(OLD) {
                return Some("memory serves the old value");
            }
            if stored.is_some_and(|stored| stored.version == OLD) {
                return Some("Redis serves the old value");
            }
            if process.is_astray {
                return Some("memory is proven by a server that nobody writes to");
            }
        }
        None
    }
}

/// Visits every state; returns how many there are, or the first fault.
fn explore(events: Events, without: Without) -> Result<usize, &'static str> {
    let start = World::start(events);
    let (mut seen, mut open) = (HashSet::from([start.clone()]), vec![start]);
    while let Some(world) = open.pop() {
        if let Some(fault) = world.fault(without) {
            return Err(fault);
        }
        open.extend(world.steps(events, without).into_iter().filter(|next| seen.insert(next.clone())));
    }
    Ok(seen.len())
}

/// The journal switched off, and nothing else.
const NO_JOURNAL: Without = Without { journal: true, link_check: false, shape: false };

#[test]
fn nothing_old_is_served_whatever_redis_forgets() {
    let none = Events::default();
    let split = Events { split: true, ..none };
    let restore = Events { restore: true, ..none };
    let one_each = [restore, Events { demoted: true, ..split }, Events { lost_messages: true, ..none }]
        .into_iter()
        .chain([Events { death: true, ..none }, Events { release: true, ..none }]);
    let pairs = [
        Events { lost_messages: true, ..restore },
        Events { death: true, ..restore },
        Events { release: true, ..restore },
        Events { death: true, ..split },
        Events { lost_messages: true, ..split },
    ];
    let is_long = std::env::var_os("EXAMHALL_LONG").is_some(); // a minute for the pairs
    let worlds: Vec<Events> = one_each.chain(pairs.into_iter().filter(|_| is_long)).collect();
    let explored =
        |events: &Events| explore(*events, Without::default()).unwrap_or_else(|fault| panic!("{events:?}: {fault}"));
    let states: usize = worlds.iter().map(explored).sum();
    assert_eq!(states, if is_long { 3_639_036 } else { 930_158 }, "as the crate's page says");
}

#[test]
fn without_journal_a_restored_redis_serves_old_values() {
    let restore = Events { restore: true, ..Events::default() };
    assert_eq!(explore(restore, NO_JOURNAL), Err("Redis serves the old value"));
}

#[test]
fn without_journal_a_dead_writer_leaves_old_values() {
    let death = Events { death: true, ..Events::default() };
    assert!(explore(death, NO_JOURNAL).is_err());
}

#[test]
fn without_journal_a_second_master_serves_old_values() {
    let split = Events { split: true, ..Events::default() };
    assert!(explore(split, NO_JOURNAL).is_err());
}

#[test]
fn without_journal_a_lost_message_leaves_memory_old() {
    let lost = Events { lost_messages: true, ..Events::default() };
    assert_eq!(explore(lost, NO_JOURNAL), Err("memory serves the old value"));
}

#[test]
fn without_its_check_a_link_stays_with_a_demoted_master() {
    let demoted = Events { split: true, demoted: true, ..Events::default() };
    let without = Without { link_check: true, ..Without::default() };
    assert_eq!(explore(demoted, without), Err("memory is proven by a server that nobody writes to"));
}

#[test]
fn without_shape_numbers_another_release_is_misread() {
    let release = Events { release: true, ..Events::default() };
    let without = Without { shape: true, ..Without::default() };
    assert_eq!(explore(release, without), Err("a value of another shape is served"));
}
