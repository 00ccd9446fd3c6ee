//! A circuit breaker: while Redis fails, no reader waits for it. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Consecutive failures that open it.
const MAX_CONSECUTIVE: u32 = 5;
/// With this many calls within [`WINDOW`] it also opens if half of them failed.
const MIN_CALLS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);
/// Shortest and longest time that it stays open.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Admits all calls while it is closed; once open, one probe after each backoff (half-open) until one succeeds.
#[derive(Debug)]
pub(crate) struct Breaker {
    consecutive: u32,
    window: Window,
    open_until: Option<Instant>,
    is_probing: bool,
    backoff: Duration,
}

/// Calls since a moment.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: Instant,
    calls: u32,
    failures: u32,
}

impl Breaker {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            consecutive: 0,
            window: Window { start: now, calls: 0, failures: 0 },
            open_until: None,
            is_probing: false,
            backoff: MIN_BACKOFF,
        }
    }

    /// Returns whether a call may be made. After a backoff one may, as a probe; if it gets no answer, the next one may a
    /// backoff later.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                (self.open_until, self.is_probing) = (Some(now + self.backoff), true);
                true
            }
        }
    }

    /// Returns whether calls are rejected.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    pub(crate) fn succeeded(&mut self, now: Instant) {
        *self = Self { window: self.window, ..Self::new(now) };
        self.note(now, 0);
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.consecutive += 1;
        self.note(now, 1);
        let Window { calls, failures, .. } = self.window;
        if self.is_open() || self.consecutive >= MAX_CONSECUTIVE || calls >= MIN_CALLS && failures * 2 >= calls {
            self.open(now);
        }
    }

    /// Records that Redis answers nobody: it opens at once, since to wait for more silences would cost readers as much
    /// again each time.
    pub(crate) fn silent(&mut self, now: Instant) {
        self.consecutive += 1;
        self.note(now, 1);
        self.open(now);
    }

    /// Opens, or stays open for longer after a probe that failed. Calls that still wait when it opens change nothing.
    fn open(&mut self, now: Instant) {
        if self.is_probing {
            self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
        } else if self.is_open() {
            return;
        }
        self.is_probing = false;
        self.open_until = Some(now + self.backoff);
    }

    fn note(&mut self, now: Instant, failures: u32) {
        if now.duration_since(self.window.start) >= WINDOW {
            self.window = Window { start: now, calls: 0, failures: 0 };
        }
        self.window.calls += 1;
        self.window.failures += failures;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_failures_open_it_and_a_good_probe_closes_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..4 {
            breaker.failed(now);
        }
        assert!(breaker.admits(now));
        breaker.failed(now);
        assert!(!breaker.admits(now) && !breaker.admits(now + SECOND / 2));
        assert!(breaker.admits(now + SECOND), "one probe");
        assert!(!breaker.admits(now + SECOND), "and no second one");
        breaker.succeeded(now + SECOND);
        assert!(breaker.admits(now + SECOND));
    }

    #[test]
    fn one_silence_opens_it_however_many_wait() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..100 {
            breaker.silent(now);
            breaker.failed(now);
        }
        assert!(!breaker.admits(now + SECOND / 2));
        let probed = now + SECOND;
        assert!(breaker.admits(probed), "calls that still wait have not made the backoff longer");
        breaker.silent(probed);
        assert!(!breaker.admits(probed + SECOND) && breaker.admits(probed + SECOND * 2));
        breaker.succeeded(probed + SECOND * 2);
        breaker.silent(probed + SECOND * 2);
        assert!(breaker.admits(probed + SECOND * 3), "its backoff is short again");
    }

    #[test]
    fn half_of_many_calls_failing_opens_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..10 {
            breaker.succeeded(now);
            breaker.failed(now);
        }
        assert!(!breaker.admits(now));
    }

    #[test]
    fn each_failed_probe_doubles_the_backoff_up_to_10_s() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now);
        (0..5).for_each(|_| breaker.failed(now));
        for seconds in [1, 2, 4, 8, 10, 10] {
            let (backoff, nearly) = (Duration::from_secs(seconds), Duration::from_millis(seconds * 1000 - 1));
            assert!(!breaker.admits(now + nearly), "{backoff:?}");
            now += backoff;
            assert!(breaker.admits(now), "{backoff:?}");
            breaker.failed(now);
        }
    }
}
