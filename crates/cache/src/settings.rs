//! Settings of a cache: their defaults, what they may be, and what follows from them.

use std::{fmt::Debug, ops::RangeInclusive, time::Duration};

/// An option of the [`Builder`](crate::Builder) that cannot be used. For the developers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the option {option} must be {expected}, not {given}")]
#[non_exhaustive]
pub struct OptionError {
    /// The builder's function.
    pub option: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it was.
    pub given: String,
}

/// What [`Builder`](crate::Builder) sets.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) soft_load_limit: Duration,
    pub(crate) hard_load_limit: Duration,
    pub(crate) failure_ttl: Duration,
    pub(crate) negative_ttl: Duration,
    pub(crate) redis_jitter: f64,
    pub(crate) local_jitter: f64,
    pub(crate) max_waiters: usize,
    pub(crate) max_value_bytes: usize,
    pub(crate) concurrent_loads: usize,
    pub(crate) concurrent_loads_without_redis: usize,
    pub(crate) max_load_wait: Duration,
    pub(crate) lease: Duration,
    pub(crate) mark: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) redis_timeout: Duration,
    pub(crate) bulk_timeout: Duration,
    pub(crate) journal_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            soft_load_limit: Duration::from_millis(100),
            hard_load_limit: Duration::from_secs(3),
            failure_ttl: Duration::from_millis(250),
            negative_ttl: Duration::from_secs(5),
            redis_jitter: 0.1,
            local_jitter: 0.2,
            max_waiters: 20_000,
            max_value_bytes: 16 * 1024 * 1024,
            concurrent_loads: 64,
            concurrent_loads_without_redis: 8,
            max_load_wait: Duration::from_secs(30),
            lease: Duration::from_secs(1),
            mark: Duration::from_secs(10),
            heartbeat: Duration::from_millis(500),
            redis_timeout: Duration::from_millis(50),
            bulk_timeout: Duration::from_millis(500),
            journal_interval: Duration::from_secs(1),
        }
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Settings {
    /// Checks every option. The ranges are those of the builder's documentation.
    ///
    /// # Errors
    /// Returns the first that is out of its range.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        within("hard_load_limit", &self.hard_load_limit, ms(1)..=secs(600))?;
        within("soft_load_limit", &self.soft_load_limit, Duration::ZERO..=secs(600))?;
        within("failure_ttl", &self.failure_ttl, Duration::ZERO..=secs(60))?;
        within("negative_ttl", &self.negative_ttl, ms(1)..=secs(86_400))?;
        within("jitter", &self.redis_jitter, 0.0..=0.9)?;
        within("jitter", &self.local_jitter, 0.0..=0.9)?;
        within("max_waiters", &self.max_waiters, 1..=usize::MAX)?;
        within("max_value_bytes", &self.max_value_bytes, 1..=512 * 1024 * 1024)?; // Redis's limit of strings
        within("concurrent_loads", &self.concurrent_loads, 1..=100_000)?;
        within("concurrent_loads_without_redis", &self.concurrent_loads_without_redis, 1..=100_000)?;
        within("max_load_wait", &self.max_load_wait, ms(1)..=secs(600))?;
        within("lease", &self.lease, ms(200)..=secs(60))?;
        within("mark", &self.mark, secs(1)..=secs(600))?;
        within("heartbeat", &self.heartbeat, ms(20)..=secs(10))?;
        within("redis_timeout", &self.redis_timeout, ms(10)..=secs(1))?;
        within("bulk_timeout", &self.bulk_timeout, self.redis_timeout..=ms(1_500))?; // below the longest wait at all
        within("journal_interval", &self.journal_interval, ms(10)..=secs(60))
    }

    /// Returns how long memory may answer after the link to Redis was last proven: four heartbeats.
    pub(crate) fn proof(&self) -> Duration {
        self.heartbeat * 4
    }

    /// Returns how long a lease may be held: for a load, and until it ends if its holder died then.
    pub(crate) fn longest_lease(&self) -> Duration {
        self.hard_load_limit + self.lease
    }

    /// Returns the interval of renewals of a lease: three attempts before it ends.
    pub(crate) fn renewal(&self) -> Duration {
        self.lease * 3 / 10
    }

    /// Returns how long Redis may answer nobody until it counts as away: a reader waits for `redis_timeout` at most.
    pub(crate) fn silence(&self) -> Duration {
        self.redis_timeout * 4 / 5
    }

    /// Returns how long a reader waits for Redis that knows that another process loads.
    pub(crate) fn busy_timeout(&self) -> Duration {
        self.redis_timeout * 5
    }

    /// Returns when keys are cleared after a commit whose outcome is unknown. It may still be in progress when its caller
    /// is gone; what is stored meanwhile is removed by the next clear, at the latest when the mark would have ended.
    pub(crate) fn unknown_cleared(&self) -> [Duration; 3] {
        let soon = self.mark / 10;
        [Duration::ZERO, soon, soon * 9]
    }

    /// Returns how long Redis remembers what was cleared: longer than commits are unsettled in the journal, and the journal
    /// unread.
    pub(crate) fn remember(&self) -> Duration {
        self.mark * 6 + secs(60)
    }

    /// Returns the age from which a commit is settled: all that were added before it have ended, so nothing will appear
    /// before it, since no commit takes longer than its mark lives.
    pub(crate) fn settled(&self) -> Duration {
        self.mark * 3 / 2
    }
}

fn within<T: PartialOrd + Debug>(option: &'static str, given: &T, range: RangeInclusive<T>) -> Result<(), OptionError> {
    if range.contains(given) {
        return Ok(());
    }
    let expected = format!("between {:?} and {:?}", range.start(), range.end());
    Err(OptionError { option, expected, given: format!("{given:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Set = fn(&mut Settings);

    #[test]
    fn options_out_of_their_range_are_refused() {
        assert_eq!(Settings::default().check(), Ok(()));
        let cases: [(&str, Set); 24] = [
            ("heartbeat", |settings| settings.heartbeat = ms(19)),
            ("heartbeat", |settings| settings.heartbeat = secs(11)),
            ("hard_load_limit", |settings| settings.hard_load_limit = Duration::ZERO),
            ("hard_load_limit", |settings| settings.hard_load_limit = secs(601)),
            ("soft_load_limit", |settings| settings.soft_load_limit = secs(601)),
            ("failure_ttl", |settings| settings.failure_ttl = secs(61)),
            ("negative_ttl", |settings| settings.negative_ttl = Duration::ZERO),
            ("jitter", |settings| settings.redis_jitter = -0.1),
            ("jitter", |settings| settings.redis_jitter = f64::NAN),
            ("jitter", |settings| settings.local_jitter = 0.91),
            ("max_waiters", |settings| settings.max_waiters = 0),
            ("max_value_bytes", |settings| settings.max_value_bytes = 0),
            ("max_value_bytes", |settings| settings.max_value_bytes = 513 * 1024 * 1024),
            ("concurrent_loads", |settings| settings.concurrent_loads = 0),
            ("concurrent_loads", |settings| settings.concurrent_loads = usize::MAX),
            ("concurrent_loads_without_redis", |settings| settings.concurrent_loads_without_redis = 0),
            ("max_load_wait", |settings| settings.max_load_wait = Duration::ZERO),
            ("lease", |settings| settings.lease = ms(199)),
            ("mark", |settings| settings.mark = ms(999)),
            ("redis_timeout", |settings| settings.redis_timeout = ms(9)),
            ("redis_timeout", |settings| settings.redis_timeout = ms(1_001)),
            ("bulk_timeout", |settings| settings.bulk_timeout = ms(49)),
            ("bulk_timeout", |settings| settings.bulk_timeout = ms(1_501)),
            ("journal_interval", |settings| settings.journal_interval = Duration::ZERO),
        ];
        for (option, set) in cases {
            let mut settings = Settings::default();
            set(&mut settings);
            assert_eq!(settings.check().map_err(|error| error.option), Err(option));
        }
        let error = Settings { lease: ms(5), ..Settings::default() }.check().expect_err("too short");
        assert_eq!(error.to_string(), "the option lease must be between 200ms and 60s, not 5ms");
    }
}
