//! What follows a failed run of a job: another run, and when, or the end.

use std::time::Duration;

/// How often a job is tried, and how long it waits in between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Runs in all, the first one included, as BullMQ counts. 0 means 1.
    pub attempts: u32,
    /// Waiting time before the next run.
    pub backoff: Backoff,
}

/// Waiting time between two runs, by BullMQ's formulas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// How the waits grow.
    pub kind: BackoffKind,
    /// The first wait. Zero: retried at once.
    pub delay: Duration,
    /// Part of each wait, 0 to 1, that chance decides: with 0.25 a wait of 8 s lasts between 6 and 8 s.
    pub jitter: f64,
}

/// How waits grow from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackoffKind {
    /// Each wait is as long as the first.
    Fixed,
    /// Each wait is twice as long as the one before.
    Exponential,
}

/// What to do with a job whose run has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// No run is left.
    GiveUp,
    /// Run it again after this time; zero means at once.
    RetryAfter(Duration),
}

impl RetryPolicy {
    /// Decides after the `failures`-th failed run, the one just ended included; `dice` is a number in [0, 1).
    pub fn after_failure(&self, failures: u32, dice: f64) -> AfterFailure {
        if failures >= self.attempts {
            AfterFailure::GiveUp
        } else {
            AfterFailure::RetryAfter(self.backoff.delay_after(failures, dice))
        }
    }
}

impl Backoff {
    /// No wait is longer: one year. BullMQ keeps due times as `ms * 4096` in a double, which a longer wait could break.
    pub const LONGEST: Duration = Duration::from_hours(365 * 24);

    /// Waits that double: `first`, 2 x `first`, 4 x `first`, ...
    pub const fn exponential(first: Duration) -> Self {
        Self { kind: BackoffKind::Exponential, delay: first, jitter: 0.0 }
    }

    /// Waits that are all the same.
    pub const fn fixed(delay: Duration) -> Self {
        Self { kind: BackoffKind::Fixed, delay, jitter: 0.0 }
    }

    /// The wait after the `failures`-th failure (the first is 1), in whole milliseconds; `dice` is in [0, 1).
    pub fn delay_after(&self, failures: u32, dice: f64) -> Duration {
        let longest = self.full_delay_after(failures).min(Self::LONGEST);
        let jitter = self.jitter.clamp(0.0, 1.0);
        if jitter == 0.0 {
            return longest;
        }
        let part = 1.0 - jitter + jitter * dice.clamp(0.0, 1.0);
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
        fn a_job_runs_as_often_as_its_attempts_say_and_never_more(
            attempts in 0_u32..2000, kind in any_kind(), delay in 0_u64..=u64::MAX, jitter in 0.0_f64..=1.0, dice in 0.0_f64..1.0,
        ) {
            let policy = policy(attempts, kind, delay, jitter);
            let runs = (1..=3000).find(|&failures| policy.after_failure(failures, dice) == AfterFailure::GiveUp);
            prop_assert_eq!(runs, Some(attempts.max(1)));
        }

        #[test]
        fn no_wait_overflows_or_passes_the_longest(
            kind in any_kind(), delay in 0_u64..=u64::MAX, jitter in -1.0_f64..=2.0, failures in 0_u32..=u32::MAX, dice in 0.0_f64..1.0,
        ) {
            prop_assert!(policy(1, kind, delay, jitter).backoff.delay_after(failures, dice) <= Backoff::LONGEST);
        }

        #[test]
        fn jitter_shortens_a_wait_by_its_part_at_most(
            delay in 1_u64..100_000, failures in 1_u32..8, jitter in 0.0_f64..=1.0, dice in 0.0_f64..1.0,
        ) {
            let policy = policy(9, BackoffKind::Exponential, delay, jitter);
            let full = Duration::from_millis(delay * 2_u64.pow(failures - 1));
            let wait = policy.backoff.delay_after(failures, dice);
            prop_assert!(wait <= full, "{wait:?} > {full:?}");
            prop_assert!(wait + Duration::from_millis(1) >= full.mul_f64(1.0 - jitter));
        }

        #[test]
        fn exponential_waits_double(delay in 1_u64..1_000_000, failures in 1_u32..10) {
            let backoff = Backoff::exponential(Duration::from_millis(delay));
            prop_assert_eq!(backoff.delay_after(failures + 1, 0.0), backoff.delay_after(failures, 0.0) * 2);
        }
    }
}
