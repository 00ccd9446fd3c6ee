//! Expiry of mails.

use std::time::Duration;

use examhall_core::Timestamp;
use examhall_queue::Job;

use crate::payload::Payload;

/// Time for which a mail is tried if its job has no `expiresAt`.
const LIFETIME: Duration = Duration::from_hours(24);

/// Returns whether a mail has expired `now`, in ms since 1970.
pub(crate) fn has_expired(job: &Job<Payload>, now: i64) -> bool {
    job.data.0.expires_at.is_some_and(|end| end <= Timestamp::from_millis(now))
}

/// Returns when a mail is given up, in ms since 1970. An operator's retry starts a new lifetime.
pub(crate) fn last_moment(job: &Job<Payload>) -> i64 {
    let added_for = Timestamp::from_millis(job.timestamp).plus(job.options.delay);
    let meant_for = job.retried_on.map_or(added_for, |then| added_for.max(Timestamp::from_millis(then)));
    job.data.0.expires_at.unwrap_or(meant_for.plus(LIFETIME)).as_millis()
}
