//! Whether the loops of a process turn.
//!
//! This is all that `/healthz` says, and all that a supervisor restarts a process for: that Redis or a mail provider is
//! away is no reason, for a new process would find them away too.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The loops of a process. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct Liveness(Arc<Mutex<Vec<Loop>>>);

struct Loop {
    name: &'static str,
    resting: Box<dyn Fn() -> Duration + Send + Sync>,
}

/// Held by a loop, which says with it that it turns.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Liveness {
    /// A loop that has not turned for so long is taken for dead. Far more than any of them waits for a server.
    pub const PATIENCE: Duration = Duration::from_mins(1);

    /// Expects a loop to [`beat`](Pulse::beat) from now on.
    pub fn pulse(&self, name: &'static str) -> Pulse {
        let pulse = Pulse(Arc::new(Mutex::new(Instant::now())));
        let last = pulse.clone();
        self.follow(name, move || last.lock().elapsed());
        pulse
    }

    /// Asks `resting` for how long a loop has not turned.
    pub fn follow(&self, name: &'static str, resting: impl Fn() -> Duration + Send + Sync + 'static) {
        self.lock().push(Loop { name, resting: Box::new(resting) });
    }

    /// Expects nothing any more: the process stops, and has its supervisor's deadline for that.
    pub fn release(&self) {
        self.lock().clear();
    }

    /// Whether all loops have turned within `patience`.
    ///
    /// # Errors
    /// A sentence that names a loop that has not.
    pub fn check(&self, patience: Duration) -> Result<(), String> {
        let loops = self.lock();
        let dead = loops.iter().map(|one| (one.name, (one.resting)())).find(|(_, resting)| *resting > patience);
        dead.map_or(Ok(()), |(name, resting)| Err(format!("{name} has not turned for {} s", resting.as_secs())))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Loop>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// The loop turns.
    pub fn beat(&self) {
        *self.lock() = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_named_until_nobody_expects_it() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("relay");
        liveness.follow("worker", || Duration::from_secs(61));
        let dead = liveness.check(Liveness::PATIENCE).expect_err("the worker stands still");
        assert_eq!(dead, "worker has not turned for 61 s");
        pulse.beat();
        assert!(liveness.check(Duration::from_mins(2)).is_ok());
        liveness.release();
        assert!(liveness.check(Liveness::PATIENCE).is_ok());
    }
}
