//! All that can happen next, of the writer, of the flights, of a caller, and on the way between Redis and the processes.

use super::{At, Caller, Flight, ITS_OWN, NEW, Without, World, Writer};

/// Called with each step that may be next, as a change of the world.
type May<'a> = dyn FnMut(&dyn Fn(&mut World)) + 'a;

impl World {
    /// All that can happen next.
    pub(super) fn steps(&self, without: Without) -> Vec<Self> {
        let mut next = Vec::new();
        let mut may = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            if !without.fence {
                world.late.retain(|(token, _)| *token); // the others change nothing
            }
            next.push(world);
        };
        self.write(without, &mut may);
        self.hear(without, &mut may);
        if self.lease {
            may(&Self::end_lease); // its time is over
        }
        for &(token, value) in &self.late {
            may(&|world| {
                world.late.remove(&(token, value));
                world.fill(token, value, without);
            });
        }
        for n in 0..2 {
            self.fly(n, without, &mut may);
            if self.caller == Caller::Away {
                self.call(n, &mut may);
            }
        }
        next
    }

    fn write(&self, without: Without, may: &mut May<'_>) {
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
            Writer::Cleared if without.own => may(&|world| world.writer = Writer::Answered),
            Writer::Cleared => may(&|world| {
                world.writer = Writer::Tainted;
                world.taint(ITS_OWN, without);
            }),
            Writer::Tainted => may(&|world| (world.writer, world.memory[ITS_OWN]) = (Writer::Answered, None)),
            // A mark lives longer than a commit may take: it ends after the commit or not at all.
            Writer::Dead if self.mark => may(&|world| world.mark = false),
            Writer::Answered | Writer::Dead => {}
        }
    }

    fn hear(&self, without: Without, may: &mut May<'_>) {
        for n in 0..2 {
            if self.is_tainting[n] {
                may(&|world| (world.memory[n], world.is_tainting[n]) = (None, false));
            } else if self.is_notified[n] {
                // Of all its notifications, or of one and not yet of the next.
                for is_notified_again in [false, true] {
                    may(&|world| {
                        (world.is_notified[n], world.is_tainting[n]) = (is_notified_again, true);
                        world.taint(n, without);
                    });
                }
            }
        }
    }

    /// The steps of one flight: a glance, acquire.lua, the database, fill.lua, memory.
    fn fly(&self, n: usize, without: Without, may: &mut May<'_>) {
        let Flight { process, at, is_clean, .. } = self.flights[n];
        match at {
            At::Ground => {
                if self.is_listed(process).is_none() {
                    may(&|world| world.begin(n));
                }
            }
            At::Asks => may(&|world| world.glance(n)),
            At::Misses => may(&|world| world.acquire(n)),
            At::Leased(token) => {
                may(&|world| world.fail(n));
                may(&|world| world.flights[n].at = At::Read(token, world.database));
            }
            At::Unleased => may(&|world| world.flights[n].at = At::Lands(world.database)),
            At::Read(token, value) => {
                may(&|world| {
                    world.fail(n); // the fill is in flight all the same
                    world.late.insert((token, value));
                });
                may(&|world| {
                    let is_stored = world.fill(token, value, without);
                    world.flights[n].at = if is_stored { At::Keeps(value) } else { At::Lands(value) };
                });
            }
            At::Keeps(value) if !is_clean && !without.taint => may(&|world| world.flights[n].at = At::Lands(value)),
            At::Keeps(value) if without.lock => may(&|world| world.flights[n].at = At::WasClean(value)),
            At::Keeps(value) | At::WasClean(value) => may(&|world| {
                world.memory[process] = Some(value);
                world.flights[n].at = At::Lands(value);
            }),
            At::Lands(value) => may(&|world| world.land(n, value)),
        }
    }

    fn begin(&mut self, n: usize) {
        (self.flights[n].at, self.flights[n].is_listed) = (At::Asks, true);
    }

    /// It is listed before it asks, unless another is.
    fn glance(&mut self, n: usize) {
        let listed = self.is_listed(self.flights[n].process).unwrap_or(n);
        self.flights[listed].is_listed = true;
        self.flights[n].is_clean = listed == n;
        self.flights[n].at = self.value.map_or(At::Misses, At::Keeps);
    }

    fn acquire(&mut self, n: usize) {
        self.flights[n].at = match (self.value, self.mark, self.lease) {
            (Some(value), ..) => At::Keeps(value),
            (None, true, _) => At::Unleased,
            (None, false, true) => At::Asks, // somebody else loads: it asks again
            (None, false, false) => {
                self.lease = true;
                At::Leased(true)
            }
        };
    }

    fn fail(&mut self, n: usize) {
        self.end(n);
        if self.caller == Caller::Waits(n) {
            self.caller = Caller::Away; // an error, and it may come again
        }
    }

    fn land(&mut self, n: usize, value: u8) {
        self.end(n);
        if self.caller == Caller::Waits(n) {
            self.caller = Caller::Got(value);
        }
    }

    fn end(&mut self, n: usize) {
        let flight = &mut self.flights[n];
        (flight.at, flight.is_listed, flight.is_clean) = (At::Ground, false, false);
    }

    /// Somebody asks this process, to which the change has been made.
    fn call(&self, process: usize, may: &mut May<'_>) {
        let is_answered = process == ITS_OWN && self.writer == Writer::Answered;
        let is_notified = self.is_cleared() && self.has_received(process);
        if !is_answered && !is_notified {
            return;
        }
        if let Some(value) = self.memory[process] {
            return may(&|world| world.caller = Caller::Got(value));
        }
        if let Some(n) = self.is_listed(process) {
            return may(&|world| world.caller = Caller::Waits(n));
        }
        let on_ground = |flight: &Flight| flight.process == process && flight.at == At::Ground;
        if let Some(n) = self.flights.iter().position(on_ground) {
            may(&|world| {
                world.begin(n);
                world.caller = Caller::Waits(n);
            });
        }
    }
}
