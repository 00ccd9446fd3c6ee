//! Whether the loops of a process still run: what `/healthz` reports, and a supervisor restarts a process for.
//!
//! An outage of Redis or of a mail provider is no reason to restart: a new process would meet it too.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Watches the loops of a process. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct Liveness(Arc<Mutex<Vec<Loop>>>);

struct Loop {
    name: &'static str,
    idle: Box<dyn Fn() -> Duration + Send + Sync>,
}

/// Heartbeat of one loop.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Liveness {
    /// A loop without a heartbeat for this long counts as dead: far longer than any of them waits for a server.
    pub const TIMEOUT: Duration = Duration::from_mins(1);

    /// Expects a loop to [`beat`](Pulse::beat) from now on.
    pub fn pulse(&self, name: &'static str) -> Pulse {
        let pulse = Pulse(Arc::new(Mutex::new(Instant::now())));
        let last = pulse.clone();
        self.follow(name, move || last.0.lock().elapsed());
        pulse
    }

    /// Watches a loop; `idle` returns the time since its last heartbeat.
    pub fn follow(&self, name: &'static str, idle: impl Fn() -> Duration + Send + Sync + 'static) {
        self.0.lock().push(Loop { name, idle: Box::new(idle) });
    }

    /// Expects no more heartbeats: the process is stopping, and its supervisor has a deadline for that.
    pub fn release(&self) {
        self.0.lock().clear();
    }

    /// Checks that every loop had a heartbeat within `timeout`.
    ///
    /// # Errors
    /// Returns a sentence that names a dead loop.
    pub fn check(&self, timeout: Duration) -> Result<(), String> {
        let loops = self.0.lock();
        let dead = loops.iter().map(|one| (one.name, (one.idle)())).find(|(_, idle)| *idle > timeout);
        dead.map_or(Ok(()), |(name, idle)| Err(format!("{name} has had no heartbeat for {} s", idle.as_secs())))
    }
}

impl Pulse {
    /// Records a heartbeat.
    pub fn beat(&self) {
        *self.0.lock() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_loop_is_named_until_it_is_released() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("relay");
        liveness.follow("worker", || Duration::from_secs(61));
        let dead = liveness.check(Liveness::TIMEOUT).expect_err("the worker is dead");
        assert_eq!(dead, "worker has had no heartbeat for 61 s");
        pulse.beat();
        assert!(liveness.check(Duration::from_mins(2)).is_ok());
        liveness.release();
        assert!(liveness.check(Liveness::TIMEOUT).is_ok());
    }
}
