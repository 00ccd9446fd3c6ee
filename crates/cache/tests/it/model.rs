//! The protocol in a small model, all interleavings of it: two processes, each with a load that may crash, a writer that
//! may crash, a writer's invalidation that arrives, and fills that arrive late. Time passes where it may: leases and the
//! mark end at any moment that the protocol allows for.
//!
//! It is a model of the scripts in `src/lua/` and of the rules for the memory of a process; each step of it is one script
//! or one step of a process. What must hold in every state:
//!
//! - after the writer's clear, Redis holds the new value or none, and so does the memory of whoever has heard of it;
//! - after a crash between commit and clear, that holds once the mark has ended: nothing old is stored under it;
//! - a reader that begins after the clear gets the new value.

use std::collections::HashSet;

const OLD: u8 = 0;
const NEW: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    /// It holds a token, and has not read yet.
    Leased(u8),
    /// It has read; the fill is on its way, and may arrive at any time.
    Read(u8, u8),
    /// Redis answered that it stored (or had) this value; it is not in memory yet.
    Knows(u8),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    Marked,
    Committed,
    Cleared,
    /// It died between commit and clear.
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    database: u8,
    /// What Redis holds: value, lease, whether the mark stands.
    value: Option<u8>,
    lease: Option<u8>,
    mark: bool,
    next_token: u8,
    writer: Writer,
    readers: [Reader; 2],
    /// Per process: whether its flight was tainted since it began, what its memory holds, pushes not heard of yet.
    tainted: [bool; 2],
    memory: [Option<u8>; 2],
    pushes: [u8; 2],
    /// Fills of processes that died or gave up, still on their way: token and value.
    late: Vec<(u8, u8)>,
}

/// Which of the protocol's rules are left out, to see that the model would notice.
#[derive(Clone, Copy, Default)]
struct Without {
    fence: bool,
    mark: bool,
    taint: bool,
}

/// Called with each step that may be next, as a change of the world.
type May<'a> = dyn FnMut(&dyn Fn(&mut World)) + 'a;

impl World {
    fn start() -> Self {
        Self {
            database: OLD,
            value: None,
            lease: None,
            mark: false,
            next_token: 1,
            writer: Writer::Idle,
            readers: [Reader::Idle; 2],
            tainted: [false; 2],
            memory: [None; 2],
            pushes: [0; 2],
            late: Vec::new(),
        }
    }

    /// invalidate.lua: every process is told, whether there was a value or not.
    fn invalidate(&mut self) {
        (self.value, self.lease) = (None, None);
        self.push();
    }

    fn push(&mut self) {
        self.pushes.iter_mut().for_each(|pushes| *pushes = (*pushes + 1).min(2));
    }

    /// fill.lua
    fn fill(&mut self, token: u8, value: u8, without: Without) -> bool {
        if self.lease != Some(token) && !without.fence {
            return false;
        }
        self.value = Some(value);
        if self.lease == Some(token) {
            self.lease = None;
        }
        self.push();
        true
    }

    /// All that can happen next.
    fn steps(&self, without: Without) -> Vec<Self> {
        let mut next = Vec::new();
        let mut may = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            next.push(world);
        };
        match self.writer {
            Writer::Idle => may(&|world| {
                world.writer = Writer::Marked;
                if !without.mark {
                    world.mark = true;
                    world.invalidate();
                }
            }),
            Writer::Marked => may(&|world| (world.writer, world.database) = (Writer::Committed, NEW)),
            Writer::Committed => {
                may(&|world| world.writer = Writer::Dead);
                may(&|world| {
                    (world.writer, world.mark) = (Writer::Cleared, false);
                    world.invalidate();
                });
            }
            // A mark lives longer than a commit may take: it ends after the commit or not at all.
            Writer::Dead if self.mark => may(&|world| world.mark = false),
            Writer::Cleared | Writer::Dead => {}
        }
        if self.lease.is_some() {
            may(&|world| world.lease = None); // its time is over
        }
        for at in 0..self.late.len() {
            may(&|world| {
                let (token, value) = world.late.remove(at);
                world.fill(token, value, without);
            });
        }
        for n in 0..2 {
            if self.pushes[n] > 0 {
                may(&|world| {
                    world.pushes[n] -= 1;
                    world.memory[n] = None;
                    world.tainted[n] = true;
                });
            }
            self.read(n, without, &mut may);
        }
        next
    }

    /// The steps of one reader: acquire.lua, the database, fill.lua, memory.
    fn read(&self, n: usize, without: Without, may: &mut May<'_>) {
        match self.readers[n] {
            Reader::Idle => may(&|world| {
                world.tainted[n] = false; // listed before it asks
                match (world.value, world.mark, world.lease) {
                    (Some(value), ..) => world.readers[n] = Reader::Knows(value),
                    (None, true, _) => world.readers[n] = Reader::Done, // loads, stores nothing
                    (None, false, Some(_)) => {}                        // busy: asks again
                    (None, false, None) => {
                        (world.lease, world.readers[n]) = (Some(world.next_token), Reader::Leased(world.next_token));
                        world.next_token += 1;
                    }
                }
            }),
            Reader::Leased(token) => {
                may(&|world| world.readers[n] = Reader::Done); // it dies, or its load fails
                may(&|world| world.readers[n] = Reader::Read(token, world.database));
            }
            Reader::Read(token, value) => {
                may(&|world| {
                    world.readers[n] = Reader::Done; // it dies or does not wait; the fill is on its way
                    world.late.push((token, value));
                });
                may(&|world| {
                    let stored = world.fill(token, value, without);
                    world.readers[n] = if stored { Reader::Knows(value) } else { Reader::Done };
                });
            }
            Reader::Knows(value) => may(&|world| {
                world.readers[n] = Reader::Done;
                if !world.tainted[n] || without.taint {
                    world.memory[n] = Some(value);
                }
            }),
            Reader::Done if self.next_token < 4 => may(&|world| world.readers[n] = Reader::Idle),
            Reader::Done => {}
        }
    }

    fn fault(&self) -> Option<&'static str> {
        let is_over = self.writer == Writer::Cleared || self.writer == Writer::Dead && !self.mark;
        if is_over && self.value == Some(OLD) {
            return Some("Redis holds the old value");
        }
        let heard = |n: usize| self.pushes[n] == 0 && !matches!(self.readers[n], Reader::Knows(_));
        let stale = |n: usize| is_over && heard(n) && self.memory[n] == Some(OLD);
        (stale(0) || stale(1)).then_some("a memory holds the old value, and nobody will tell it")
    }
}

/// Visits every state; gives how many there are, or the first fault.
fn explore(without: Without) -> Result<usize, &'static str> {
    let (mut seen, mut open) = (HashSet::from([World::start()]), vec![World::start()]);
    while let Some(world) = open.pop() {
        if let Some(fault) = world.fault() {
            return Err(fault);
        }
        open.extend(world.steps(without).into_iter().filter(|next| seen.insert(next.clone())));
    }
    Ok(seen.len())
}

#[test]
fn no_interleaving_leaves_an_old_value_behind() {
    let states = explore(Without::default()).expect("no fault");
    assert!(states > 10_000, "only {states} states: the model does not move");
}

#[test]
fn each_rule_of_the_protocol_is_needed() {
    for without in [
        Without { fence: true, ..Without::default() },
        Without { mark: true, ..Without::default() },
        Without { taint: true, ..Without::default() },
    ] {
        assert!(explore(without).is_err());
    }
}
