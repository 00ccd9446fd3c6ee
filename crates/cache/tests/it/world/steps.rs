//! All that can happen next: of the writer, of time, of Redis and the network, and in each process.

use super::{Events, Flight, NEW, Process, Stored, Without, World, Writer};

/// Called with each step that may be next, as a change of the world.
type May<'a> = dyn FnMut(&dyn Fn(&mut World)) + 'a;

impl World {
    pub(super) fn steps(&self, events: Events, without: Without) -> Vec<Self> {
        let mut next = Vec::new();
        let mut may = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            next.push(world);
        };
        self.write(events, &mut may);
        self.pass_time(without, &mut may);
        self.fail(events, &mut may);
        for n in 0..2 {
            self.connect(n, events, without, &mut may);
            self.fly(n, without, &mut may);
        }
        next
    }

    /// The writer, in the first process.
    fn write(&self, events: Events, may: &mut May<'_>) {
        let server = self.processes[0].commands;
        match self.writer {
            Writer::Idle => may(&|world| {
                world.writer = Writer::Marked;
                world.servers[server].mark = true;
                world.invalidate(server);
            }),
            Writer::Marked => may(&|world| (world.writer, world.database) = (Writer::Committed, NEW)),
            Writer::Committed => {
                may(&|world| {
                    world.writer = Writer::Done;
                    (world.servers[server].mark, world.servers[server].cleared) = (false, true);
                    world.invalidate(server);
                });
                if events.death {
                    may(&|world| world.writer = Writer::Done); // and its mark had no effect: Redis was away
                }
            }
            Writer::Done => {}
        }
        // Redis was away when it was to be marked.
        if events.death && self.writer == Writer::Idle {
            may(&|world| (world.writer, world.database) = (Writer::Committed, NEW));
        }
    }

    fn pass_time(&self, without: Without, may: &mut May<'_>) {
        let is_read = without.journal || self.processes.iter().all(|process| process.knows);
        // The writer has cleared by then, or died; messages have arrived, or are lost.
        let is_over = self.processes.iter().all(|process| !process.is_notified);
        if self.writer == Writer::Done && is_read && is_over && !self.has_second_passed {
            may(&|world| world.has_second_passed = true);
        }
        if self.has_second_passed && !self.is_settled {
            may(&|world| world.is_settled = true);
        }
        for (n, server) in self.servers.iter().enumerate() {
            // A mark ends after the commit or not at all; a lease at any time; the memory of what was cleared in the end.
            if server.mark && self.database == NEW {
                may(&|world| world.servers[n].mark = false);
            }
            if server.lease.is_some() {
                may(&|world| world.servers[n].lease = None);
            }
            if server.cleared && self.is_settled {
                may(&|world| world.servers[n].cleared = false);
            }
        }
    }

    /// What goes wrong in Redis and on the network.
    fn fail(&self, events: Events, may: &mut May<'_>) {
        if events.restore && self.snapshot.is_none() {
            may(&|world| world.snapshot = Some(world.servers[0]));
        }
        if let Some(snapshot) = self.snapshot.filter(|_| !self.has_restored) {
            may(&|world| {
                // Leases and marks have ended meanwhile, unless it was quick.
                (world.servers[0], world.has_restored) = (snapshot, true);
                world.disconnect(0);
            });
        }
        if events.split && !self.has_split {
            may(&|world| {
                (world.servers[1], world.has_split) = (world.servers[0], true);
                let process = &mut world.processes[1];
                (process.commands, process.is_trusting) = (1, false);
                if !events.demoted {
                    process.link = 1;
                    process.forget();
                    process.is_proven = false;
                }
            });
        }
        for n in 0..2 {
            if events.lost_messages && self.processes[n].is_notified {
                may(&|world| world.processes[n].is_notified = false);
            }
        }
    }

    /// Messages, heartbeats, the journal, trust.
    fn connect(&self, n: usize, events: Events, without: Without, may: &mut May<'_>) {
        let process = self.processes[n];
        if process.is_notified {
            may(&|world| {
                world.processes[n].is_notified = false;
                world.processes[n].forget();
            });
        }
        let is_astray = process.link != process.commands;
        if is_astray && process.is_proven {
            may(&|world| {
                world.processes[n].forget();
                (world.processes[n].is_proven, world.processes[n].is_astray) = (without.link_check, without.link_check);
            });
        }
        if !process.is_proven && (!is_astray || without.link_check) {
            may(&|world| world.processes[n].is_proven = true);
        }
        if is_astray && !process.is_proven && events.demoted {
            may(&|world| world.processes[n].link = process.commands);
        }
        let has_entry = self.database == NEW;
        if !without.journal && has_entry && !process.knows {
            may(&|world| {
                world.processes[n].knows = true;
                world.processes[n].forget();
            });
        }
        if !process.is_trusting && (without.journal || process.knows || !has_entry) {
            may(&|world| world.processes[n].is_trusting = true);
        }
    }

    /// The steps of one flight: acquire.lua, the database, fill.lua, memory.
    fn fly(&self, n: usize, without: Without, may: &mut May<'_>) {
        let process = self.processes[n];
        let server = process.commands;
        match process.flight {
            Flight::Ground => self.acquire(n, without, may),
            Flight::Leased { server, includes, is_clean } => {
                may(&|world| {
                    let version = world.database;
                    world.processes[n].flight = Flight::Read { server, version, includes, is_clean };
                });
            }
            Flight::Read { server: of, version, includes, is_clean } => {
                may(&|world| world.processes[n].flight = Flight::Ground); // its fill is lost
                let is_leased = self.servers[of].lease == Some(n) && of == server;
                may(&|world| {
                    world.processes[n].flight = Flight::Ground;
                    if is_leased {
                        let stored = Stored { version, includes, shape: process.shape };
                        (world.servers[of].value, world.servers[of].lease) = (Some(stored), None);
                        if is_clean {
                            world.processes[n].memory = Some(version);
                        }
                    }
                });
            }
        }
    }

    fn acquire(&self, n: usize, without: Without, may: &mut May<'_>) {
        let process = self.processes[n];
        if !process.is_trusting {
            return;
        }
        let redis = self.servers[process.commands];
        let usable = redis.value.filter(|stored| Self::serves(&process, *stored, without));
        if let Some(stored) = usable {
            return may(&|world| world.processes[n].memory = Some(stored.version));
        }
        let is_newer = redis.value.is_some_and(|stored| stored.shape > process.shape);
        if redis.mark || redis.lease.is_some() || is_newer {
            return; // it loads, and stores nothing
        }
        may(&|world| {
            world.servers[process.commands].lease = Some(n);
            let includes = redis.cleared || process.knows && world.is_settled;
            world.processes[n].flight = Flight::Leased { server: process.commands, includes, is_clean: true };
        });
    }

    /// invalidate.lua
    fn invalidate(&mut self, server: usize) {
        (self.servers[server].value, self.servers[server].lease) = (None, None);
        for process in self.processes.iter_mut().filter(|process| process.link == server) {
            process.is_notified = true;
        }
    }

    /// A server starts again: who was connected to it has no messages, and no trust.
    fn disconnect(&mut self, server: usize) {
        for process in &mut self.processes {
            if process.commands == server {
                process.is_trusting = false;
            }
            if process.link == server {
                process.forget();
                (process.is_proven, process.is_notified) = (false, false);
            }
        }
    }
}

impl Process {
    /// Drops what is in memory, and keeps nothing that is in flight.
    fn forget(&mut self) {
        self.memory = None;
        if let Flight::Leased { is_clean, .. } | Flight::Read { is_clean, .. } = &mut self.flight {
            *is_clean = false;
        }
    }
}
