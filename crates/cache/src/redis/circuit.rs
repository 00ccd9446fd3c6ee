//! The circuit: while Redis answers nobody, no reader waits for it.

use std::time::{Duration, Instant};

use examhall_redis::{Connection, Route};

use super::Redis;
use crate::{
    Error, Event,
    breaker::Breaker,
    connection::{busy_aware_sleep, command, is_absence},
    pressure::CpuPressure,
};

/// Such spans that a call waits while Redis answers others.
const MAX_SPANS: u32 = 6;

/// A wait for an answer, from its beginning.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    began: Instant,
    pressure: CpuPressure,
}

impl Wait {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), pressure: CpuPressure::now() }
    }
}

impl Redis {
    /// Returns whether the circuit is open.
    pub(crate) fn is_circuit_open(&self) -> bool {
        self.breaker.lock().is_open()
    }

    /// Reads it again at once: it has just shown that it answers.
    pub(super) fn close_circuit(&self) {
        self.count(Breaker::succeeded);
    }

    /// Closes the circuit if commands are answered as fast as they should be.
    pub(super) async fn close_circuit_if_answered(&self) {
        if !self.breaker.lock().is_open() {
            return;
        }
        if command::<()>(&self.commands, self.health.settings.silence(), "PING", Route::Any, vec![]).await.is_ok() {
            self.close_circuit();
        }
    }

    /// Waits for an answer unless the circuit is open, and opens it if Redis answers nobody. While it answers others, or
    /// this machine has no CPU for it, a call waits longer: to give up on a server that is merely busy would load what
    /// another process is loading.
    pub(super) async fn guarded<R>(&self, answer: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
        if !self.breaker.lock().admits(Instant::now()) {
            return Err(Error::Bypassed);
        }
        tokio::pin!(answer);
        for _ in 0..MAX_SPANS {
            let began = Instant::now();
            let is_busy = tokio::select! {
                biased;
                answer = &mut answer => {
                    self.note(&answer);
                    return answer;
                }
                is_busy = silence(self.health.settings.silence()) => is_busy,
            };
            if !is_busy && !self.has_answered_since(began) {
                self.count(Breaker::silent);
                return Err(Error::Slow);
            }
        }
        self.count(Breaker::failed);
        Err(Error::Slow)
    }

    /// Opens the circuit if Redis has answered nobody during this wait, which was long enough, and this machine had CPU for
    /// it.
    pub(crate) fn waited_in_vain(&self, wait: Wait) {
        if !wait.pressure.was_high() && !self.has_answered_since(wait.began) {
            self.count(Breaker::silent);
        }
    }

    pub(super) fn note<R>(&self, answer: &Result<R, Error>) {
        let is_failure = answer.as_ref().is_err_and(is_absence);
        self.count(if is_failure { Breaker::failed } else { Breaker::succeeded });
    }

    fn count(&self, result: fn(&mut Breaker, Instant)) {
        let mut breaker = self.breaker.lock();
        let was_open = breaker.is_open();
        result(&mut breaker, Instant::now());
        let is_open = breaker.is_open();
        if is_open != was_open {
            self.health.events.send(|| if is_open { Event::CircuitOpened } else { Event::CircuitClosed });
        }
        self.publish(is_open);
    }

    /// Returns whether Redis has answered anything, on any connection.
    fn has_answered_since(&self, moment: Instant) -> bool {
        let is_since = |connection: &Connection| connection.answered_within(moment.elapsed());
        self.heard.lock().is_some_and(|heard| heard >= moment) || is_since(&self.commands) || is_since(&self.bulk)
    }
}

/// Sleeps for this long. Returns whether this machine was busy. Most answers come before that is looked at.
async fn silence(silence: Duration) -> bool {
    busy_aware_sleep(silence / 4).await;
    let pressure = CpuPressure::now();
    busy_aware_sleep(silence * 3 / 4).await;
    pressure.was_high()
}
