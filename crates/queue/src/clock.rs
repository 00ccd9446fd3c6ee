//! Times in milliseconds. BullMQ's timestamps are the clients', not the server's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Up to this time, in September 2039, a double holds the scores of delayed jobs, `ms * 4096`, exactly.
pub(crate) const LAST_TIME: i64 = 1 << 41;

/// Returns the time in milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
