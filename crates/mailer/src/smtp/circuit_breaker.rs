//! Circuit breaker of a provider: a pure state machine, with time as an argument.
//!
//! ```text
//!             failure                     probe succeeds               a mail is accepted
//!   closed ─────────────> open (5, 10, 20, 30 s) ─────────> half-open ─────────────────> closed
//!                          ^   │ probe fails: next step        │
//!                          └───┴───────── failure ─────────────┘
//! ```
//! A probe is a login without a mail. Refused logins and senders are probed at a fixed interval: an operator fixes those,
//! time does not. An outage ends with an accepted mail; each of its failures is reported once, and once more each day.

use std::time::{Duration, Instant};

use super::provider_failure::ProviderFailure;

/// Backoff before a probe, by number of failures in a row.
const BACKOFF: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20), Duration::from_secs(30)];

/// Time after which a failure that lasts is reported again.
const REPORT_AGAIN: Duration = Duration::from_hours(24);

/// The circuit breaker of one provider.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    state: State,
    step: usize,
    /// When the outage began, until a mail is accepted.
    outage_since: Option<Instant>,
    /// The failures of this outage that were reported, and when.
    reported: Vec<(ProviderFailure, Instant)>,
    /// Interval between probes of a refused login, and the longest backoff.
    probe_interval: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    HalfOpen { since: Instant },
    Open { since: Instant, probe_at: Instant, failure: ProviderFailure },
}

/// What a failure means for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whether the state has changed.
    pub(crate) is_new_state: bool,
    /// Whether the failure is to be reported.
    pub(crate) is_news: bool,
}

/// The next probe of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) at: Instant,
    pub(crate) failure: ProviderFailure,
}

/// Circuit state of a provider, ordered by how much it lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CircuitState {
    /// Open until an operator fixes the cause: no mail is sent.
    NeedsOperator,
    /// No mail is sent for now.
    Open,
    /// No mail is sent for now: a rate is used up.
    Limited,
    /// One mail at a time is sent.
    HalfOpen,
    /// All mails are sent.
    Closed,
}

impl CircuitState {
    /// Returns whether a mail may be sent.
    pub(crate) fn allows_mail(self) -> bool {
        self >= Self::HalfOpen
    }

    /// Value of the metric `mailer_breaker_state`.
    pub(crate) fn metric(self) -> f64 {
        match self {
            Self::Closed | Self::Limited => 0.0,
            Self::HalfOpen => 1.0,
            Self::Open => 2.0,
            Self::NeedsOperator => 3.0,
        }
    }
}

impl CircuitBreaker {
    pub(crate) fn new(probe_interval: Duration) -> Self {
        Self { state: State::Closed, step: 0, outage_since: None, reported: Vec::new(), probe_interval }
    }

    pub(crate) fn state(&self) -> CircuitState {
        match self.state {
            State::Closed => CircuitState::Closed,
            State::HalfOpen { .. } => CircuitState::HalfOpen,
            State::Open { failure, .. } if failure.needs_operator() => CircuitState::NeedsOperator,
            State::Open { .. } => CircuitState::Open,
        }
    }

    /// Records a failure. Concurrent mails with the same failure count as one.
    pub(crate) fn failed(&mut self, failure: ProviderFailure, now: Instant) -> Change {
        let since = match self.state {
            State::Open { failure: known, .. } if known == failure || known.needs_operator() => {
                return Change { is_new_state: false, is_news: false };
            }
            _ => *self.outage_since.get_or_insert(now),
        };
        self.open(since, failure, now);
        Change { is_new_state: true, is_news: self.is_news(failure, now) }
    }

    /// Records a failed probe; returns whether the failure is to be reported.
    pub(crate) fn probe_failed(&mut self, failure: ProviderFailure, now: Instant) -> bool {
        let State::Open { since, .. } = self.state else { return false };
        self.open(since, failure, now);
        self.is_news(failure, now)
    }

    /// Records a successful probe.
    pub(crate) fn probe_succeeded(&mut self, now: Instant) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::HalfOpen { since: now };
        }
    }

    /// How long the circuit has been half-open, if it is.
    pub(crate) fn half_open_for(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::HalfOpen { since } => Some(now.saturating_duration_since(since)),
            State::Closed | State::Open { .. } => None,
        }
    }

    /// Records an accepted mail; returns whether it changes the state.
    pub(crate) fn accepted(&mut self) -> bool {
        let changes = self.state != State::Closed;
        (self.state, self.step, self.outage_since) = (State::Closed, 0, None);
        self.reported.clear();
        changes
    }

    /// The next probe, if the circuit is open.
    pub(crate) fn next_probe(&self) -> Option<Probe> {
        match self.state {
            State::Open { probe_at, failure, .. } => Some(Probe { at: probe_at, failure }),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// Start of the outage, if the circuit is open.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        match self.state {
            State::Open { since, .. } => Some(since),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// Start of the outage, which ends with an accepted mail.
    pub(crate) fn outage_since(&self) -> Option<Instant> {
        self.outage_since
    }

    fn is_news(&mut self, failure: ProviderFailure, now: Instant) -> bool {
        let is_known =
            |(known, at): &(_, Instant)| *known == failure && now.saturating_duration_since(*at) < REPORT_AGAIN;
        if self.reported.iter().any(is_known) {
            return false;
        }
        self.reported.retain(|(known, _)| *known != failure);
        self.reported.push((failure, now));
        true
    }

    fn open(&mut self, since: Instant, failure: ProviderFailure, now: Instant) {
        let wait =
            if failure.needs_operator() { self.probe_interval } else { BACKOFF[self.step].min(self.probe_interval) };
        self.step = (self.step + 1).min(BACKOFF.len() - 1);
        self.state = State::Open { since, probe_at: now + wait, failure };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn wait(breaker: &CircuitBreaker, now: Instant) -> u64 {
        (breaker.next_probe().expect("open").at - now).as_secs()
    }

    fn opens(breaker: &mut CircuitBreaker, failure: ProviderFailure, now: Instant) -> bool {
        breaker.failed(failure, now).is_new_state
    }

    #[test]
    fn each_failure_of_an_outage_is_reported_once_a_day() {
        let (mut breaker, start) = (CircuitBreaker::new(INTERVAL), Instant::now());
        let mut reports = Vec::new();
        for hour in 0..49 {
            let now = start + Duration::from_hours(hour);
            // The login works, and the next mail is refused again.
            breaker.probe_succeeded(now);
            reports.push(breaker.failed(ProviderFailure::SenderRefused, now).is_news);
        }
        let at: Vec<_> = reports.iter().enumerate().filter_map(|(hour, is_news)| is_news.then_some(hour)).collect();
        assert_eq!(at, [0, 24, 48]);
        assert!(breaker.probe_failed(ProviderFailure::LoginRefused, start), "another failure, which a probe meets");
        assert!(!breaker.probe_failed(ProviderFailure::LoginRefused, start));
        breaker.probe_succeeded(start);
        breaker.accepted();
        assert!(breaker.failed(ProviderFailure::SenderRefused, start).is_news, "a new outage");
    }

    #[test]
    fn failed_probes_back_off_up_to_thirty_seconds() {
        let (mut breaker, now) = (CircuitBreaker::new(INTERVAL), Instant::now());
        assert!(opens(&mut breaker, ProviderFailure::Unavailable, now));
        assert_eq!((breaker.state(), wait(&breaker, now)), (CircuitState::Open, 5));
        let mut waits = Vec::new();
        for _ in 0..4 {
            breaker.probe_failed(ProviderFailure::Unavailable, now);
            waits.push(wait(&breaker, now));
        }
        assert_eq!(waits, [10, 20, 30, 30]);
        assert_eq!(breaker.open_since(), Some(now));
    }

    #[test]
    fn concurrent_failures_of_one_kind_count_once() {
        let (mut breaker, now) = (CircuitBreaker::new(INTERVAL), Instant::now());
        assert!(opens(&mut breaker, ProviderFailure::Unavailable, now));
        assert!(!opens(&mut breaker, ProviderFailure::Unavailable, now));
        assert_eq!(wait(&breaker, now), 5);
    }

    #[test]
    fn good_probe_half_opens_and_accepted_mail_closes() {
        let (mut breaker, now) = (CircuitBreaker::new(INTERVAL), Instant::now());
        breaker.failed(ProviderFailure::Unavailable, now);
        breaker.probe_succeeded(now);
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        breaker.failed(ProviderFailure::Unavailable, now);
        assert_eq!((wait(&breaker, now), breaker.open_since()), (10, Some(now)), "the outage goes on");
        let later = now + INTERVAL;
        breaker.probe_succeeded(later);
        breaker.failed(ProviderFailure::Throttled, later);
        assert_eq!(breaker.open_since(), Some(now), "until a mail is accepted");
        breaker.probe_succeeded(now);
        assert!(breaker.accepted() && !breaker.accepted());
        assert_eq!(breaker.state(), CircuitState::Closed);
        breaker.failed(ProviderFailure::Unavailable, now);
        assert_eq!(wait(&breaker, now), 5, "a new outage");
    }

    #[test]
    fn refused_login_needs_operator_and_is_probed_steadily() {
        let (mut breaker, now) = (CircuitBreaker::new(INTERVAL), Instant::now());
        breaker.failed(ProviderFailure::Unavailable, now);
        assert!(opens(&mut breaker, ProviderFailure::LoginRefused, now), "worse than the known failure");
        for _ in 0..3 {
            assert_eq!((breaker.state(), wait(&breaker, now)), (CircuitState::NeedsOperator, 30));
            assert!(!opens(&mut breaker, ProviderFailure::Unavailable, now), "a mail in flight changes nothing");
            breaker.probe_failed(ProviderFailure::LoginRefused, now);
        }
        breaker.probe_failed(ProviderFailure::Unavailable, now);
        assert_eq!(breaker.state(), CircuitState::Open);
    }
}
