//! A circuit breaker: while Redis fails, nobody waits for it. Pure: time is an argument.

use std::time::{Duration, Instant};

/// Failures in a row that open it.
const IN_A_ROW: u32 = 5;
/// Calls within [`WINDOW`] from which on half of them failing opens it.
const ENOUGH: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);
/// How long it stays open, first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Lets calls through while they succeed; then one at a time, now and then, until one succeeds.
#[derive(Debug)]
pub(crate) struct Breaker {
    in_a_row: u32,
    window: (Instant, u32, u32),
    open_until: Option<Instant>,
    is_probing: bool,
    pause: Duration,
    last_silence: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            in_a_row: 0,
            window: (now, 0, 0),
            open_until: None,
            is_probing: false,
            pause: PAUSE.0,
            last_silence: None,
        }
    }

    /// Whether a call may be made. After a pause one may, as a probe; if nothing is heard of it, the next one a pause
    /// later.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                (self.open_until, self.is_probing) = (Some(now + self.pause), true);
                true
            }
        }
    }

    /// Whether calls are held back.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    pub(crate) fn succeeded(&mut self, now: Instant) {
        *self = Self { window: self.window, ..Self::new(now) };
        self.note(now, 0);
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.in_a_row += 1;
        self.is_probing = false;
        self.note(now, 1);
        let (_, calls, failures) = self.window;
        if self.is_open() {
            self.pause = (self.pause * 2).min(PAUSE.1);
            self.open_until = Some(now + self.pause);
        } else if self.in_a_row >= IN_A_ROW || calls >= ENOUGH && failures * 2 >= calls {
            self.open_until = Some(now + self.pause);
        }
    }

    /// A call has waited for `span`, or another such span, and heard nothing. However many wait, one silence of Redis, or
    /// one stall of this process, counts once. Gives whether calls are held back.
    pub(crate) fn silent(&mut self, now: Instant, span: Duration) -> bool {
        let is_new = self.last_silence.is_none_or(|last| now.duration_since(last) >= span);
        if is_new && (!self.is_open() || self.is_probing) {
            self.last_silence = Some(now);
            self.failed(now);
        }
        self.is_open()
    }

    fn note(&mut self, now: Instant, failures: u32) {
        if now.duration_since(self.window.0) >= WINDOW {
            self.window = (now, 0, 0);
        }
        self.window.1 += 1;
        self.window.2 += failures;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_failures_in_a_row_open_it_and_a_good_probe_closes_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..4 {
            breaker.failed(now);
        }
        assert!(breaker.admits(now));
        breaker.failed(now);
        assert!(!breaker.admits(now) && !breaker.admits(now + SECOND / 2));
        assert!(breaker.admits(now + SECOND), "one probe");
        assert!(!breaker.admits(now + SECOND), "and no second one beside it");
        breaker.succeeded(now + SECOND);
        assert!(breaker.admits(now + SECOND));
    }

    #[test]
    fn one_silence_counts_once_however_many_wait() {
        let (start, span) = (Instant::now(), Duration::from_millis(50));
        let mut breaker = Breaker::new(start);
        for nth in 1..=4 {
            for _ in 0..100 {
                assert!(!breaker.silent(start + span * nth, span));
            }
        }
        assert!(breaker.silent(start + span * 5, span), "a quarter of a second is enough");
        assert!(breaker.silent(start + span * 6, span));
        let probed = start + span * 5 + SECOND;
        assert!(breaker.admits(probed), "who still waits has not made the pause longer");
        assert!(breaker.silent(probed + span, span));
        assert!(!breaker.admits(probed + span + SECOND) && breaker.admits(probed + span + SECOND * 2));
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
    fn each_bad_probe_doubles_the_pause_up_to_ten_seconds() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(now);
        (0..5).for_each(|_| breaker.failed(now));
        for seconds in [1, 2, 4, 8, 10, 10] {
            let (pause, nearly) = (Duration::from_secs(seconds), Duration::from_millis(seconds * 1000 - 1));
            assert!(!breaker.admits(now + nearly), "{pause:?}");
            now += pause;
            assert!(breaker.admits(now), "{pause:?}");
            breaker.failed(now);
        }
    }
}
