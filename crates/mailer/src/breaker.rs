//! When a provider is left alone, and for how long: a pure state machine, with time as an argument.
//!
//! ```text
//!             trouble                     probe succeeds             a mail is accepted
//!   closed ─────────────> open (5, 10, 20, 30 s) ─────────> on trial ─────────────────> closed
//!                          ^   │ probe fails: next step        │
//!                          └───┴───────── trouble ─────────────┘
//! ```
//! A probe is a log-in without a mail. Refused log-ins and senders are probed at a pace of their own: that is mended by
//! people, not by time.

use std::time::{Duration, Instant};

use crate::verdict::Trouble;

/// How long a provider is left alone, from one trouble to the next.
const STEPS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20), Duration::from_secs(30)];

/// The breaker of one provider.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    step: usize,
    /// How often a refused log-in is tried again.
    hold: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    OnTrial,
    Open { since: Instant, probe_at: Instant, trouble: Trouble },
}

/// How much may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Openness {
    /// Nothing; an operator has to mend it.
    Held,
    /// Nothing for now.
    Nothing,
    /// One mail at a time.
    OneByOne,
    /// Everything.
    All,
}

impl Breaker {
    pub(crate) fn new(hold: Duration) -> Self {
        Self { state: State::Closed, step: 0, hold }
    }

    pub(crate) fn openness(&self) -> Openness {
        match self.state {
            State::Closed => Openness::All,
            State::OnTrial => Openness::OneByOne,
            State::Open { trouble, .. } if trouble.needs_operator() => Openness::Held,
            State::Open { .. } => Openness::Nothing,
        }
    }

    /// Notes trouble; says whether that is news. Several mails that meet the same trouble at once count as one.
    pub(crate) fn trouble(&mut self, trouble: Trouble, now: Instant) -> bool {
        let since = match self.state {
            State::Open { trouble: known, .. } if known == trouble || known.needs_operator() => return false,
            State::Open { since, .. } => since,
            State::Closed | State::OnTrial => now,
        };
        self.open(since, trouble, now);
        true
    }

    /// Notes that a probe has failed.
    pub(crate) fn probe_failed(&mut self, trouble: Trouble, now: Instant) {
        if let State::Open { since, .. } = self.state {
            self.open(since, trouble, now);
        }
    }

    /// Notes that a probe has succeeded.
    pub(crate) fn probe_succeeded(&mut self) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::OnTrial;
        }
    }

    /// Notes that the provider has taken a mail; says whether that is news.
    pub(crate) fn accepted(&mut self) -> bool {
        let is_news = self.state != State::Closed;
        (self.state, self.step) = (State::Closed, 0);
        is_news
    }

    /// When to probe, and what for.
    pub(crate) fn next_probe(&self) -> Option<(Instant, Trouble)> {
        match self.state {
            State::Open { probe_at, trouble, .. } => Some((probe_at, trouble)),
            State::Closed | State::OnTrial => None,
        }
    }

    /// Since when nothing has been sent.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        match self.state {
            State::Open { since, .. } => Some(since),
            State::Closed | State::OnTrial => None,
        }
    }

    fn open(&mut self, since: Instant, trouble: Trouble, now: Instant) {
        let wait = if trouble.needs_operator() { self.hold } else { STEPS[self.step].min(self.hold) };
        self.step = (self.step + 1).min(STEPS.len() - 1);
        self.state = State::Open { since, probe_at: now + wait, trouble };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(30);

    fn wait(breaker: &Breaker, now: Instant) -> u64 {
        (breaker.next_probe().expect("open").0 - now).as_secs()
    }

    #[test]
    fn each_failed_probe_makes_the_next_wait_longer_up_to_thirty_seconds() {
        let (mut breaker, now) = (Breaker::new(HOLD), Instant::now());
        assert!(breaker.trouble(Trouble::Passing, now));
        assert_eq!((breaker.openness(), wait(&breaker, now)), (Openness::Nothing, 5));
        let mut waits = Vec::new();
        for _ in 0..4 {
            breaker.probe_failed(Trouble::Passing, now);
            waits.push(wait(&breaker, now));
        }
        assert_eq!(waits, [10, 20, 30, 30]);
        assert_eq!(breaker.open_since(), Some(now));
    }

    #[test]
    fn mails_that_meet_the_same_trouble_are_one_trouble() {
        let (mut breaker, now) = (Breaker::new(HOLD), Instant::now());
        assert!(breaker.trouble(Trouble::Passing, now) && !breaker.trouble(Trouble::Passing, now));
        assert_eq!(wait(&breaker, now), 5);
    }

    #[test]
    fn after_a_good_probe_it_is_on_trial_and_an_accepted_mail_ends_that() {
        let (mut breaker, now) = (Breaker::new(HOLD), Instant::now());
        breaker.trouble(Trouble::Passing, now);
        breaker.probe_succeeded();
        assert_eq!(breaker.openness(), Openness::OneByOne);
        breaker.trouble(Trouble::Passing, now);
        assert_eq!(wait(&breaker, now), 10, "it was not over");
        breaker.probe_succeeded();
        assert!(breaker.accepted() && !breaker.accepted());
        assert_eq!(breaker.openness(), Openness::All);
        breaker.trouble(Trouble::Passing, now);
        assert_eq!(wait(&breaker, now), 5, "it was over");
    }

    #[test]
    fn a_refused_log_in_is_held_and_probed_at_one_pace() {
        let (mut breaker, now) = (Breaker::new(HOLD), Instant::now());
        breaker.trouble(Trouble::Passing, now);
        assert!(breaker.trouble(Trouble::LogIn, now), "worse than what was known");
        for _ in 0..3 {
            assert_eq!((breaker.openness(), wait(&breaker, now)), (Openness::Held, 30));
            assert!(!breaker.trouble(Trouble::Passing, now), "a send that was under way says nothing new");
            breaker.probe_failed(Trouble::LogIn, now);
        }
        breaker.probe_failed(Trouble::Passing, now);
        assert_eq!(breaker.openness(), Openness::Nothing);
    }
}
