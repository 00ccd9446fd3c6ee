//! Settings of a cache, with their defaults.

use std::time::Duration;

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
        }
    }
}
