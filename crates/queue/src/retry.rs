//! Retry policy: whether and when a failed job runs again.

use std::time::Duration;

/// How often a job runs, and its backoff between runs.
/// ```
/// use examhall_queue::{AfterFailure, Backoff, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = RetryPolicy::new(3, Backoff::exponential(Duration::from_secs(2)));
/// assert_eq!(policy.after_failure(1, 0.5), AfterFailure::RetryAfter(Duration::from_secs(2)));
/// assert_eq!(policy.after_failure(2, 0.5), AfterFailure::RetryAfter(Duration::from_secs(4)));
/// assert_eq!(policy.after_failure(3, 0.5), AfterFailure::GiveUp);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Runs in all, the first one included, as BullMQ counts. 0 means 1.
    pub attempts: u32,
    /// Delay before the next run.
    pub backoff: Backoff,
}

/// Delay between two runs, by BullMQ's formulas.
/// ```
/// # use examhall_queue::Backoff;
/// # use std::time::Duration;
/// let backoff = Backoff::exponential(Duration::from_secs(2));
/// assert_eq!(backoff.delay_after(3, 0.0), Duration::from_secs(8));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Backoff {
    /// How delays grow.
    pub kind: BackoffKind,
    /// First delay. Zero: retried at once.
    pub delay: Duration,
    /// Random part of each delay, 0 to 1: with 0.25 a delay of 8 s lasts between 6 and 8 s.
    pub jitter: f64,
}

/// How delays grow from one failure to the next.
/// ```
/// # use examhall_queue::{Backoff, BackoffKind};
/// # use std::time::Duration;
/// assert_eq!(Backoff::fixed(Duration::from_secs(2)).kind, BackoffKind::Fixed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackoffKind {
    /// Each delay is as long as the first.
    Fixed,
    /// Each delay is twice as long as the one before.
    Exponential,
}

/// What to do with a job whose run has failed.
/// ```
/// # use examhall_queue::{AfterFailure, Backoff, RetryPolicy};
/// # use std::time::Duration;
/// let once_more = RetryPolicy::new(2, Backoff::fixed(Duration::ZERO));
/// assert_eq!(once_more.after_failure(1, 0.0), AfterFailure::RetryAfter(Duration::ZERO));
/// assert_eq!(once_more.after_failure(2, 0.0), AfterFailure::GiveUp);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterFailure {
    /// No run is left.
    GiveUp,
    /// Run it again after this time; zero means at once.
    RetryAfter(Duration),
}

impl RetryPolicy {
    /// Up to `attempts` runs, the first one included, with this backoff between them.
    pub const fn new(attempts: u32, backoff: Backoff) -> Self {
        Self { attempts, backoff }
    }

    /// Decides after the `failures`-th failed run, including the one just ended; `sample` is a random sample in [0, 1).
    pub fn after_failure(&self, failures: u32, sample: f64) -> AfterFailure {
        if failures >= self.attempts {
            AfterFailure::GiveUp
        } else {
            AfterFailure::RetryAfter(self.backoff.delay_after(failures, sample))
        }
    }
}

impl Backoff {
    /// Longest delay: one year. BullMQ keeps due times as `ms * 4096` in a double, which a longer delay could break.
    pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

    /// Delays that double: `first`, 2 x `first`, 4 x `first`, ...
    pub const fn exponential(first: Duration) -> Self {
        Self { kind: BackoffKind::Exponential, delay: first, jitter: 0.0 }
    }

    /// Constant delays.
    pub const fn fixed(delay: Duration) -> Self {
        Self { kind: BackoffKind::Fixed, delay, jitter: 0.0 }
    }

    /// The same delays with a random part of each, 0 to 1: with 0.25 a delay of 8 s lasts between 6 and 8 s.
    #[must_use]
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Returns the delay after the `failures`-th failure (the first is 1), in whole milliseconds; `sample` is in [0, 1).
    pub fn delay_after(&self, failures: u32, sample: f64) -> Duration {
        let longest = self.full_delay_after(failures).min(Self::LONGEST);
        let jitter = self.jitter.clamp(0.0, 1.0);
        if jitter == 0.0 {
            return longest;
        }
        let part = 1.0 - jitter + jitter * sample.clamp(0.0, 1.0);
        let millis = longest.mul_f64(part).as_millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    fn full_delay_after(&self, failures: u32) -> Duration {
        match self.kind {
            BackoffKind::Fixed => self.delay,
            BackoffKind::Exponential => {
                let doublings = failures.saturating_sub(1);
                2_u32
                    .checked_pow(doublings)
                    .map_or(if self.delay.is_zero() { Duration::ZERO } else { Duration::MAX }, |factor| {
                        self.delay.saturating_mul(factor)
                    })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(attempts: u32, kind: BackoffKind, delay_ms: u64, jitter: f64) -> RetryPolicy {
        RetryPolicy { attempts, backoff: Backoff { kind, delay: Duration::from_millis(delay_ms), jitter } }
    }

    fn any_kind() -> impl Strategy<Value = BackoffKind> {
        prop_oneof![Just(BackoffKind::Fixed), Just(BackoffKind::Exponential)]
    }

    #[test]
    fn the_default_base_waits_2_then_4_then_8_seconds() {
        let policy = policy(4, BackoffKind::Exponential, 2000, 0.0);
        let waits: Vec<_> = (1..=4).map(|failures| policy.after_failure(failures, 0.9)).collect();
        let seconds = |s| AfterFailure::RetryAfter(Duration::from_secs(s));
        assert_eq!(waits, [seconds(2), seconds(4), seconds(8), AfterFailure::GiveUp]);
    }

    #[test]
    fn no_attempts_and_one_attempt_both_mean_one_run() {
        for attempts in [0, 1] {
            assert_eq!(policy(attempts, BackoffKind::Fixed, 5, 0.0).after_failure(1, 0.0), AfterFailure::GiveUp);
        }
    }

    proptest! {
        #[test]
        fn a_job_runs_as_often_as_its_attempts_allow(
            attempts in 0_u32..2000, kind in any_kind(), delay in 0_u64..=u64::MAX, jitter in 0.0_f64..=1.0, sample in 0.0_f64..1.0,
        ) {
            let policy = policy(attempts, kind, delay, jitter);
            let runs = (1..=3000).find(|&failures| policy.after_failure(failures, sample) == AfterFailure::GiveUp);
            prop_assert_eq!(runs, Some(attempts.max(1)));
        }

        #[test]
        fn no_delay_exceeds_the_longest(
            kind in any_kind(), delay in 0_u64..=u64::MAX, jitter in -1.0_f64..=2.0, failures in 0_u32..=u32::MAX, sample in 0.0_f64..1.0,
        ) {
            prop_assert!(policy(1, kind, delay, jitter).backoff.delay_after(failures, sample) <= Backoff::LONGEST);
        }

        #[test]
        fn jitter_shortens_a_delay_by_its_part_at_most(
            delay in 1_u64..100_000, failures in 1_u32..8, jitter in 0.0_f64..=1.0, sample in 0.0_f64..1.0,
        ) {
            let policy = policy(9, BackoffKind::Exponential, delay, jitter);
            let full = Duration::from_millis(delay * 2_u64.pow(failures - 1));
            let wait = policy.backoff.delay_after(failures, sample);
            prop_assert!(wait <= full, "{wait:?} > {full:?}");
            prop_assert!(wait + Duration::from_millis(1) >= full.mul_f64(1.0 - jitter));
        }

        #[test]
        fn exponential_delays_double(delay in 1_u64..1_000_000, failures in 1_u32..10) {
            let backoff = Backoff::exponential(Duration::from_millis(delay));
            prop_assert_eq!(backoff.delay_after(failures + 1, 0.0), backoff.delay_after(failures, 0.0) * 2);
        }
    }
}
