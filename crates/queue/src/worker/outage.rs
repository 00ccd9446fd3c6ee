//! Outages, each with one line in the log at its beginning and one at its end, and an exponential backoff with jitter.

use std::time::{Duration, Instant};

/// First backoff; it doubles with each failure.
const FIRST: Duration = Duration::from_millis(200);
/// Longest backoff.
const LONGEST: Duration = Duration::from_secs(5);

/// A time in which one thing failed each time.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    failures: u32,
}

impl Outage {
    /// Counts a failure, and returns whether it is the first.
    pub(super) fn fail(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.since.replace(self.since.unwrap_or_else(Instant::now)).is_none()
    }

    /// Returns how long the outage lasted that ends now, if there was one.
    pub(super) fn end(&mut self) -> Option<Duration> {
        self.failures = 0;
        self.since.take().map(|since| since.elapsed())
    }

    /// Returns the pause before the next attempt; `jitter` is between 0 and 1.
    pub(super) fn backoff(&self, jitter: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        FIRST.saturating_mul(1 << doublings).min(LONGEST).mul_f64(0.5 + jitter / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_five_seconds() {
        let mut outage = Outage::default();
        for (jitter, millis) in [(1.0, 200), (1.0, 400), (0.5, 600), (0.0, 800), (1.0, 3200), (1.0, 5000), (0.0, 2500)]
        {
            outage.fail();
            assert_eq!(outage.backoff(jitter), Duration::from_millis(millis), "failure {}", outage.failures);
        }
        outage.failures = u32::MAX;
        outage.fail();
        assert_eq!(outage.backoff(1.0), LONGEST);
    }

    #[test]
    fn outage_begins_and_ends_once() {
        let mut outage = Outage::default();
        assert_eq!(outage.end(), None);
        assert!(outage.fail() && !outage.fail());
        assert!(outage.end().is_some() && outage.end().is_none());
        assert!(outage.fail(), "the next outage");
    }
}
